// Small parts that every page is made of. Text goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** Makes an element: made("a", { class: "x", href: "/" }, "text", child); attributes that are null or false are left out. */
export function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  const shown = children.flat(9).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
  element.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

/** A text whose characters that are not seen are: one that turns the way of writing could make a name read as another. */
export function visible(text) {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export const link = (href, ...children) => made("a", { href }, ...children);
export const soft = (...children) => made("span", { class: "soft" }, ...children);

/** Tells it to whoever listens to the page. */
export function tell(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

export class Failure extends Error {}

/** Asks the console's own service; a Failure holds the line that it answered with. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  let reply;
  try {
    reply = await fetch(`/api/${path}${query.size ? `?${query}` : ""}`, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The console does not answer; is it still running?");
  }
  if (reply.status === 401) location.assign("/login");
  const content = await reply.json().catch(() => ({ error: `the console answered ${reply.status}` }));
  if (!reply.ok) throw new Failure(content.error);
  return content;
}

const MARKS = {
  good: ["live", "complete", "blessed", "verified", "pushed", "passed"],
  bad: ["failed", "refused", "altered", "missing", "died", "deleted", "lost", "problem"],
  wary: ["unproven", "canceled", "running", "new", "interrupted", "skipped", "by hand", "overridden"],
};
const SIGNS = { good: "✓", bad: "✕", wary: "!", plain: "" };

/** A word in a coloured pill, whose sign says the same without colour. */
export function badge(word, tone = null) {
  const found = tone ?? Object.keys(MARKS).find((name) => MARKS[name].includes(word)) ?? "plain";
  const sign = SIGNS[found] ? made("span", { "aria-hidden": "true" }, SIGNS[found]) : null;
  return made("span", { class: `badge ${found}` }, sign, word);
}

export const live = (name) => made("span", { class: "badge live" }, made("span", { "aria-hidden": "true" }, "●"), name);

/** A digest, shortened for the eye; a button takes the whole of it. */
export function digest(value, length = 12) {
  if (!value) return soft("none recorded");
  const text = made("code", { title: value }, value.length > length ? `${value.slice(0, length)}…` : value);
  return made("span", { class: "digest" }, text, copier(value, "digest"));
}

export function copier(value, what) {
  const button = made("button", { type: "button", class: "copy", "aria-label": `Copy the whole ${what}`, title: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(value);
      tell(`Copied the ${what}.`);
      button.classList.add("done");
    } catch {
      getSelection().selectAllChildren(button.previousSibling);
      tell(`Your browser did not let the page copy; the ${what} is selected.`);
    }
    setTimeout(() => button.classList.remove("done"), 1500);
  });
  return button;
}

const DATE = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short", timeZone: "UTC" });
export function when(iso) {
  if (!iso) return soft("–");
  return made("time", { datetime: iso, title: `${iso} (UTC)` }, DATE.format(new Date(iso)));
}

export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** A number as people read it: five digits that count, thousands apart. */
export function number(value) {
  if (typeof value !== "number") return value === null || value === undefined || value === "" ? "–" : String(value);
  if (Number.isInteger(value)) return value > 99999 && value < 1e9 ? value.toLocaleString("en") : String(value);
  return Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6 ? String(+value.toPrecision(5)) : value.toExponential(3);
}

/** A table with a caption for those who cannot see it; on a phone each row is a block with its columns' names. */
export function table(caption, columns, rows, attributes = {}) {
  const head = made("tr", {}, columns.map((column) => made("th", { scope: "col", class: column.class }, column.head ?? column)));
  const body = rows.map((cells) =>
    made("tr", cells.attributes ?? {}, cells.map((cell, index) => {
      const name = columns[index].name ?? columns[index].head ?? columns[index];
      const shape = { class: columns[index].class, "data-name": typeof name === "string" ? name : "" };
      return index === 0 ? made("th", { scope: "row", ...shape }, cell) : made("td", shape, cell);
    }))
  );
  return made(
    "div", { class: "scroller" },
    made("table", attributes, made("caption", { class: "visually-hidden" }, caption), made("thead", {}, head), made("tbody", {}, body))
  );
}

/** Names and values, one below the other. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return made("dl", { class: "facts" }, shown.map(([name, value]) => made("div", {}, made("dt", {}, name), made("dd", {}, value))));
}

export function card(title, ...children) {
  const id = `card-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return made("section", { class: "card", "aria-labelledby": id }, made("h2", { id }, title), ...children);
}

/** A value of a JSON document, as deep as it goes. */
export function tree(value) {
  if (Array.isArray(value)) {
    if (!value.length) return soft("none");
    if (value.every((one) => typeof one !== "object" || one === null)) return value.map(number).join(", ");
    return made("ol", { class: "tree" }, value.map((one) => made("li", {}, tree(one))));
  }
  if (value && typeof value === "object") {
    const pairs = Object.entries(value);
    return pairs.length ? facts(pairs.map(([name, one]) => [name, tree(one)])) : soft("none");
  }
  if (value === true || value === false) return value ? "yes" : "no";
  if (typeof value === "string" && /^[0-9a-f]{32,}$/.test(value)) return digest(value);
  if (typeof value === "string" && /^[[{]/.test(value)) {
    try {
      return made("details", {}, made("summary", {}, "show"), tree(JSON.parse(value)));
    } catch { /* it only looks like JSON */ }
  }
  return typeof value === "string" && value.length > 300 ? made("pre", {}, value) : number(value);
}
