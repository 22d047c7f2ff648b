// A field to name a model or a run in, with what there is to choose from.

import { ask, made, visible } from "./dom.js";

/** What there is to choose from. */
export async function choices(signal) {
  const [models, runs] = await Promise.all([ask("models", {}, signal), ask("runs", {}, signal)]);
  return { models, runs };
}

/** A search field over models and runs; `value()` is what the service takes: id:N, run:NAME, NAME/VERSION or one of `first`. */
export function picker(index, name, label, value, first = []) {
  const options = [
    ...first,
    ...index.models.filter((one) => one.id !== null).map((one) => [`id:${one.id}`, `${one.live ? "● live " : ""}${title(one)}`]),
    ...index.runs.map((one) => [`run:${one.run}`, `run ${one.run} of ${one.pipeline}`]),
  ].map(([key, text]) => [key, visible(text.replace(/\s+/g, " ").trim())]); // a field holds one line
  const known = new Map(options.map(([key, text]) => [text, key]));
  const texts = new Map(options);
  const id = `choices-${name}`;
  const field = made("input", {
    name, list: id, value: texts.get(value) ?? value, autocomplete: "off", spellcheck: "false", placeholder: "digits, digits/1700000000, id:11, run:…",
  });
  const offered = made("datalist", { id }, options.map(([, text]) => made("option", { value: text })));
  field.addEventListener("focus", () => field.select());
  return { element: made("label", { class: "wide" }, label, field, offered), value: () => known.get(field.value.trim()) ?? field.value.trim(), field };
}

function title(one) {
  const place = one.versions.at(-1);
  return `${place ? `${place.model}/${place.version}` : one.name} · id:${one.id}${one.decision ? `, ${one.decision}` : ""}`;
}
