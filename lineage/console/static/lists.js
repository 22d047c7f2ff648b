// Models and runs as lists: searched, filtered, sorted and picked in the browser, with what is chosen in the address.

import { ask, badge, lasted, link, live, made, number, soft, when } from "./dom.js";
import { refusedAgain, runAddress, runLink } from "./artifact.js";

const PAGE = 200;

const modelColumns = [
  { head: "Model", sort: (one) => one.name },
  { head: "Decision", sort: (one) => one.decision },
  { head: "Served", sort: (one) => one.versions.at(-1)?.version ?? 0 },
  { head: "Metric", class: "right", sort: (one) => one.value ?? -Infinity },
  { head: "Trained", sort: (one) => one.created, default: true },
  { head: "Run", sort: (one) => one.run },
];
const runColumns = [
  { head: "Run", sort: (one) => one.run },
  { head: "Pipeline", sort: (one) => one.pipeline },
  { head: "State", sort: (one) => one.state },
  { head: "Decision", sort: (one) => one.decision },
  { head: "Pushed", sort: (one) => one.pushed },
  { head: "Metric", class: "right", sort: (one) => one.value ?? -Infinity },
  { head: "Started", sort: (one) => one.created, default: true },
  { head: "Took", class: "right", sort: took },
];

function took(one) {
  return (new Date(one.updated) - new Date(one.created)) / 1000;
}

export async function models(context) {
  const all = await ask("models", {}, context.signal);
  const alive = all.filter((one) => one.live);
  const content = [
    made("h1", {}, "Models"),
    alive.length ? made("ul", { class: "lives", "aria-label": "Live now" }, alive.map(alight)) : made("p", { class: "note" }, "Nothing is live: no version answers requests that name none."),
    ...list({
      context, what: "models", rows: all, columns: modelColumns, cells: modelCells,
      target: (one) => (one.id === null ? null : `id:${one.id}`), name: (one) => `${one.name} ${one.id}`,
      text: (one) => [one.name, one.pipeline, one.run, one.node, `id:${one.id}`, one.digest, one.decision, ...one.versions.map((version) => `${version.model}/${version.version} ${version.labels.join(" ")}`)].join(" "),
      filters: [
        ["pipeline", "Pipeline", (one) => one.pipeline || one.name],
        ["decision", "Decision", (one) => one.decision || "none"],
        ["served", "Served", (one) => (one.live ? "live" : one.versions.some((version) => version.there) ? "there, not live" : "not there")],
        ["node", "Trained by", (one) => one.node || "unknown"],
      ],
    }),
  ];
  return { title: "Models", content };
}

function alight(one) {
  const version = one.versions.find((each) => each.live);
  const name = `${version.model}/${version.version}`;
  return made(
    "li", { class: "card" },
    made("div", { class: "title" }, made("strong", {}, one.id === null ? name : link(`/models/${one.id}`, name)), live("live")),
    one.id === null ? badge("nobody here pushed it", "wary") : made("span", { class: "soft" }, one.metric ? `${one.metric} ${number(one.value)}` : "no metric recorded"),
    one.id === null ? "" : made("span", { class: "soft" }, "trained ", when(one.created)),
    one.id === null ? "" : link(`/graph?artifact=${one.id}&up=all&down=3`, "Lineage graph")
  );
}

function modelCells(one) {
  const place = one.versions.at(-1);
  return [
    one.id === null ? one.name : [link(`/models/${one.id}`, `${one.name} · ${one.id}`), one.state === "deleted" ? [" ", badge("deleted")] : ""],
    one.decision
      ? made("span", { class: "badges" }, badge(one.decision, { forced: "wary", "held back": "wary" }[one.decision] ?? null), refusedAgain(one.decision, one.other_decisions))
      : soft("none"),
    place
      ? made("span", { class: "badges" }, one.live ? live(`live: ${place.version}`) : `${place.version}${place.there ? "" : ` (${place.how})`}`, one.labels.map((label) => badge(label, "plain")),
          place.statement ? badge("signed", "plain") : "")
      : soft("never"),
    metric(one),
    when(one.created),
    runLink(one.run),
  ];
}

const metric = (one) => (one.metric ? made("span", { title: one.metric }, number(one.value), made("span", { class: "metric soft" }, ` ${words(one.metric)}`)) : soft("–"));
const words = (name) => name.replace(/^SparseCategorical|^Categorical|^Binary/, "").replaceAll("_", " ").toLowerCase();

export async function runs(context) {
  const all = await ask("runs", {}, context.signal);
  const content = [
    made("h1", {}, "Runs"),
    ...list({
      context, what: "runs", rows: all, columns: runColumns, cells: runCells, target: (one) => `run:${one.run}`, name: (one) => one.run,
      text: (one) => [one.run, one.pipeline, one.state, one.decision, one.pushed, ...one.stopped_at].join(" "),
      filters: [
        ["pipeline", "Pipeline", (one) => one.pipeline || "none"], ["state", "State", (one) => one.state], ["decision", "Decision", (one) => one.decision || "none"],
      ],
    }),
  ];
  return { title: "Runs", content };
}

function runCells(one) {
  return [
    link(runAddress(one.run), one.run),
    one.pipeline,
    [badge(one.state), one.stopped_at.length ? soft(` at ${one.stopped_at.join(", ")}`) : one.nodes.cached && one.state !== "cached" ? soft(` ${one.nodes.cached} cached`) : ""],
    one.decision ? badge(one.decision, { forced: "wary", "held back": "wary" }[one.decision] ?? null) : soft("–"),
    one.pushed ? [one.model ? link(`/models/${one.model}`, one.pushed) : one.pushed, one.copied ? "" : soft(" again")] : soft("–"),
    metric(one),
    when(one.created),
    lasted(took(one)),
  ];
}

/** A list with its search, filters, and what is picked to be compared. */
function list({ context, what, rows, columns, cells, target, name, text, filters }) {
  const chosen = context.parameters;
  const texts = new Map(rows.map((one) => [one, text(one).toLowerCase()]));
  const picked = new Map();
  const search = made("input", { type: "search", name: "q", value: chosen.get("q") ?? "", placeholder: `Name, run, version, digest…`, autocomplete: "off", spellcheck: "false" });
  const selects = filters.map(([key, label, value]) => {
    const counts = new Map();
    for (const one of rows) counts.set(value(one), (counts.get(value(one)) ?? 0) + 1);
    const options = [...counts].sort().map(([word, count]) => made("option", { value: word, selected: chosen.get(key) === word }, `${word} (${count})`));
    return { key, value, label: made("label", {}, label, made("select", { name: key }, made("option", { value: "" }, "all"), options)) };
  });
  const form = made("form", { class: "filters", role: "search", "aria-label": `Filter ${what}` }, made("label", { class: "wide" }, "Search", search), selects.map((one) => one.label));
  const count = made("p", { class: "hint", role: "status", "aria-live": "polite" });
  const holder = made("div", { class: "card list-card" });
  const bar = made("div", { class: "picked", role: "region", "aria-label": "Picked to compare", hidden: true });
  let sort = chosen.get("sort") ?? "";
  let most = PAGE;

  function matching() {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = selects.map(({ key, value }) => [value, form.elements[key].value]).filter(([, word]) => word);
    const found = rows.filter((one) => terms.every((term) => texts.get(one).includes(term)) && wanted.every(([value, word]) => value(one) === word));
    const column = columns.find((one) => one.head === sort.replace(/^-/, ""));
    if (!column) return found;
    const sign = sort.startsWith("-") ? -1 : 1;
    const key = new Map(found.map((one) => [one, column.sort(one)]));
    return found.sort((a, b) => sign * (key.get(a) < key.get(b) ? -1 : key.get(a) > key.get(b) ? 1 : 0));
  }

  function header(column) {
    const way = sort === column.head ? "ascending" : sort === `-${column.head}` || (!sort && column.default) ? "descending" : null;
    const arrow = made("span", { "aria-hidden": "true" }, way ? (way === "ascending" ? " ↑" : " ↓") : "");
    const button = made("button", { type: "button", "data-sort": column.head }, column.head, arrow);
    button.addEventListener("click", () => {
      sort = sort === `-${column.head}` ? column.head : `-${column.head}`;
      show();
      holder.querySelector(`[data-sort="${column.head}"]`).focus();
    });
    return made("th", { scope: "col", class: column.class, "aria-sort": way }, button);
  }

  function row(one) {
    const box = target(one) && made("input", { type: "checkbox", "aria-label": `Pick ${name(one)} to compare`, checked: picked.has(target(one)) });
    box?.addEventListener("change", () => {
      box.checked ? picked.set(target(one), name(one)) : picked.delete(target(one));
      pick();
    });
    const filled = cells(one).map((cell, index) => made(index ? "td" : "th", { scope: index ? null : "row", class: columns[index].class, "data-name": index ? columns[index].head : "" }, cell));
    return made("tr", {}, made("td", { class: "pick" }, box), filled);
  }

  function pick() {
    bar.hidden = !picked.size;
    const [a, b] = [...picked.keys()];
    bar.replaceChildren(
      made("span", {}, `Picked: ${[...picked.values()].join(", ")}`),
      picked.size === 2 ? made("a", { class: "button primary", href: `/diff?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}` }, "Compare these two") : made("span", {}, picked.size < 2 ? "Pick one more to compare." : "Pick only two."),
      made("button", { type: "button", class: "small", onclick: () => { picked.clear(); pick(); show(); } }, "Clear")
    );
  }

  function show() {
    const found = matching();
    count.textContent = found.length === rows.length ? `${rows.length} ${what}` : `${found.length} of ${rows.length} ${what}`;
    const body = found.slice(0, most).map(row);
    holder.replaceChildren(
      found.length
        ? made("div", { class: "scroller" }, made("table", { class: "list" }, made("caption", { class: "visually-hidden" }, what),
            made("thead", {}, made("tr", {}, made("th", { scope: "col" }, made("span", { class: "visually-hidden" }, "Pick")), columns.map(header))), made("tbody", {}, body)))
        : made("p", { class: "empty" }, rows.length ? `No ${what} are like that.` : `There are no ${what} yet.`),
      found.length > most ? made("p", { class: "empty" }, made("button", { type: "button", onclick: () => { most += PAGE; show(); } }, `Show more of ${found.length}`)) : ""
    );
    context.keep({ q: search.value.trim(), ...Object.fromEntries(selects.map(({ key }) => [key, form.elements[key].value])), sort });
  }

  form.addEventListener("input", () => { most = PAGE; show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
  return [form, count, holder, bar];
}
