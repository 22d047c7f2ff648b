// Two runs or models side by side, group by group, with what differs first.

import { ask, badge, made, number, soft, table, tell, tree } from "./dom.js";
import { choices, picker } from "./picker.js";

const TITLES = { parameters: "Parameters", code: "Code", data: "Data", environment: "Environment", metrics: "Metrics", decision: "Decision" };

export async function diff({ parameters, signal, keep }) {
  const index = await choices(signal);
  const [a, b] = ["a", "b"].map((name) => picker(index, name, name === "a" ? "First" : "Second", parameters.get(name) ?? ""));
  const swap = made("button", { type: "button", "aria-label": "Swap the two" }, "⇄");
  const form = made("form", { class: "filters", "aria-label": "What to compare" }, a.element, swap, b.element, made("button", { type: "submit", class: "primary" }, "Compare"));
  const all = made("input", { type: "checkbox", checked: parameters.get("all") === "1" });
  const told = made("div", { class: "stack", id: "differences", "aria-live": "polite" });
  let found = null;

  const show = () => {
    if (found) told.replaceChildren(...told_of(found, all));
  };
  async function compare() {
    keep({ a: a.value(), b: b.value(), all: all.checked ? 1 : "" });
    if (!a.value() || !b.value()) return;
    try {
      found = await ask("diff", { a: a.value(), b: b.value() }, signal);
      show();
      tell(found.same ? "They differ in nothing that was recorded." : "Compared.");
    } catch (error) {
      if (error.name !== "AbortError") told.replaceChildren(made("p", { class: "error", role: "alert" }, error.message));
    }
  }

  all.addEventListener("change", () => {
    keep({ a: a.value(), b: b.value(), all: all.checked ? 1 : "" });
    show();
  });
  swap.addEventListener("click", () => {
    [a.field.value, b.field.value] = [b.field.value, a.field.value];
    compare();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compare();
  });
  const content = [
    made("h1", {}, "Compare"),
    made("p", { class: "lead" }, "Two runs or models: their parameters, code, data, environment, metrics and decision."), form, told,
  ];
  return { title: "Compare", content, ready: compare };
}

const differs = (fact) => JSON.stringify(fact.a) !== JSON.stringify(fact.b);

function told_of(found, all) {
  const groups = Object.entries(found.groups).filter(([, facts]) => facts.length);
  const amount = groups.reduce((sum, [, facts]) => sum + facts.filter(differs).length, 0);
  const total = groups.reduce((sum, [, facts]) => sum + facts.length, 0);
  return [
    made(
      "section", { class: "card sides" },
      made("div", {}, soft("First"), made("strong", {}, found.a)), made("div", {}, soft("Second"), made("strong", {}, found.b)),
      made("p", {}, found.same ? badge("the same in all that was recorded", "good") : [made("strong", {}, String(amount)), ` of ${total} facts differ.`]),
      made("label", { class: "box" }, all, "Show what is the same too")
    ),
    ...groups.map(([name, facts]) => group(TITLES[name] ?? name, facts, all.checked)),
  ];
}

function group(title, facts, everything) {
  const shown = facts.filter((fact) => everything || differs(fact)).sort((a, b) => differs(b) - differs(a));
  const head = made("h2", {}, title, " ", soft(`${facts.filter(differs).length} of ${facts.length} differ`));
  if (!shown.length) return made("section", { class: "card same" }, head);
  const rows = shown.map((fact) => [fact.name, side(fact.a), side(fact.b), change(fact)]);
  rows.forEach((cells, index) => (cells.attributes = { class: differs(shown[index]) ? null : "same" }));
  const columns = ["Fact", "First", "Second", { head: title === "Metrics" ? "Change" : "", class: "right" }];
  return made("section", { class: "card" }, head, table(`${title} of both`, columns, rows, { class: "changes" }));
}

const side = (value) => (value === null ? soft("none") : tree(value));

function change(fact) {
  if (fact.difference !== null) return `${fact.difference > 0 ? "+" : ""}${number(fact.difference)}`.replace("-", "−");
  return differs(fact) ? "" : soft("same");
}
