"use strict";

const $ = (id) => document.getElementById(id);
let asking = null; // the request under way, which a newer one replaces

const RETRY_SECONDS = 5;

async function start() {
  try {
    const reply = await fetch("v1/model");
    const model = await reply.json();
    if (!reply.ok) throw new Error(model.error);
    $("waiting").hidden = true;
    offer(model);
  } catch (error) {
    const why = error instanceof TypeError ? "the service cannot be reached" : error.message;
    $("model").replaceChildren(chip("not connected"));
    const note = `No model yet: ${why}. This page tries again every ${RETRY_SECONDS} seconds.`;
    if ($("waiting").textContent !== note) $("waiting").textContent = note; // said once, not every time
    $("waiting").hidden = false;
    setTimeout(start, 1000 * RETRY_SECONDS);
  }
}

function offer(model) {
  document.title = $("title").textContent = model.title;
  named(model);
  $(`ask-${model.takes}`).hidden = false;
  $("url-form").hidden = !model.image_urls;
  if (model.takes === "row") $("fields").replaceChildren(...model.inputs.map(field));
}

function named(model) {
  const chips = [chip(model.model), chip(`version ${model.version}`, true)];
  if (model.label) chips.push(chip(model.label));
  $("model").replaceChildren(...chips);
}

function chip(text, strong = false) {
  return made("span", strong ? "chip strong" : "chip", text);
}

function made(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// A form's field for one input of the model; what has more than the batch's dimension is written as JSON.
function field(input) {
  const box = made("input");
  box.id = box.name = `input-${input.name}`;
  box.required = true;
  box.autocomplete = "off";
  const several = input.shape === null || input.shape.length > 1;
  box.dataset.kind = several ? "json" : input.type;
  if (!several && input.type !== "string" && input.type !== "bool") {
    box.type = "number";
    box.step = /int/.test(input.type) ? "1" : "any";
  }
  const shape = several && input.shape ? ` [${input.shape.slice(1).map((size) => (size < 0 ? "any" : size))}] as JSON` : "";
  const label = made("label", "", `${input.name} `, made("small", "", `${input.type}${shape}`), box);
  label.htmlFor = box.id;
  return made("div", "", label);
}

// The row as JSON, in which numbers stand as they were typed: an int64 may have more digits than a number of this language.
function row() {
  const values = [];
  for (const box of $("fields").querySelectorAll("input")) {
    const name = box.name.replace(/^input-/, "");
    let value = box.value;
    if (box.dataset.kind === "string") value = JSON.stringify(value);
    else {
      try {
        JSON.parse(value);
      } catch {
        throw new Error(`${name}: expected JSON such as ${box.dataset.kind === "bool" ? "true" : "[1, 2]"}`);
      }
    }
    values.push(`${JSON.stringify(name)}: ${value}`);
  }
  return `{"row": {${values.join(", ")}}}`;
}

async function ask(body, type) {
  asking?.abort();
  const mine = (asking = new AbortController());
  $("answer").classList.add("busy");
  const started = performance.now();
  try {
    const reply = await fetch("v1/predict", { method: "POST", body, headers: { "Content-Type": type }, signal: mine.signal });
    const content = await reply.json();
    if (!reply.ok) throw new Error(content.error);
    tell(content, performance.now() - started);
  } catch (error) {
    if (mine === asking) fail(error instanceof TypeError ? "The service cannot be reached." : error.message);
  } finally {
    if (mine === asking) $("answer").classList.remove("busy");
  }
}

const askJson = (content) => ask(JSON.stringify(content), "application/json");

function tell(answer, milliseconds) {
  $("error").hidden = true;
  const best = answer.predictions[0];
  const by = `version ${answer.version}`;
  if (best) $("said").replaceChildren(made("strong", "", best.label), " ", said(best, by));
  else $("said").replaceChildren(`Answered by ${by}.`);
  $("scores").replaceChildren(...answer.predictions.filter((one) => one.score !== null).map(scored));
  requestAnimationFrame(() => {
    for (const bar of $("scores").querySelectorAll(".bar")) bar.style.width = `${100 * bar.dataset.share}%`;
  });
  const outputs = best ? [] : Object.entries(answer.outputs);
  $("outputs").hidden = !outputs.length;
  $("outputs").replaceChildren(
    ...outputs.map(([name, value]) => made("div", "", made("dt", "", name), made("dd", "", shown(value))))
  );
  named(answer);
  $("version").textContent = answer.version;
  $("label").textContent = answer.label || "none";
  $("latency").textContent = `${answer.milliseconds.toFixed(1)} ms`;
  $("round-trip").textContent = `${milliseconds.toFixed(1)} ms`;
  $("facts").hidden = false;
}

function said(best, by) {
  return best.score === null ? `by ${by}` : `with ${percent(best.score)}, by ${by}`;
}

function shown(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function percent(score) {
  return score >= 0 && score <= 1 ? `${(100 * score).toFixed(1)} %` : score.toPrecision(4);
}

function scored(one) {
  const bar = made("span", "bar");
  bar.dataset.share = Math.min(Math.max(one.score, 0), 1);
  const track = made("span", "track", bar);
  track.setAttribute("aria-hidden", "true");
  return made("li", "", made("span", "name", one.label), track, made("span", "value", percent(one.score)));
}

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  $("said").replaceChildren("No answer.");
  $("scores").replaceChildren();
  $("outputs").hidden = $("facts").hidden = true;
}

function askPicture(file) {
  if (!file) return;
  select("drop");
  const preview = $("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.alt = file.name ? `Your picture ${file.name}` : "Your picture";
  preview.hidden = false;
  ask(file, "application/octet-stream"); // the service looks at the content, not at what a name promises
}

function select(way) {
  for (const one of ["draw", "drop"]) {
    $(`tab-${one}`).setAttribute("aria-selected", one === way);
    $(`tab-${one}`).tabIndex = one === way ? 0 : -1;
    $(`panel-${one}`).hidden = one !== way;
  }
}

const board = new Board($("canvas"), (png) => ask(png, "image/png"));
$("clear").addEventListener("click", () => board.clear());
for (const way of ["draw", "drop"]) {
  $(`tab-${way}`).addEventListener("click", () => select(way));
  $(`tab-${way}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = way === "draw" ? "drop" : "draw";
    select(other);
    $(`tab-${other}`).focus();
  });
}
$("preview").addEventListener("error", () => ($("preview").hidden = true));
$("file").addEventListener("change", (event) => askPicture(event.target.files[0]));
for (const name of ["dragenter", "dragover"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!$("ask-image").hidden) askPicture(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = event.clipboardData.files[0];
  if (file && !$("ask-image").hidden) askPicture(file);
});
$("url-form").addEventListener("submit", (event) => {
  event.preventDefault();
  askJson({ image_url: $("url").value });
});
$("ask-text").addEventListener("submit", (event) => {
  event.preventDefault();
  askJson({ text: $("text").value });
});
$("ask-row").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    ask(row(), "application/json");
  } catch (error) {
    fail(error.message);
  }
});
start();
