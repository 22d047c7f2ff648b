// Every digest on the way recomputed, when somebody asks for it; what came of it stays to be seen.

import { ask, badge, facts, lasted, made, soft, table, tell } from "./dom.js";
import { choices, picker } from "./picker.js";

const POLL = 400; // milliseconds
const TARGETS = [["", "All that is live"], ["all", "Everything that is on record"]];
const STATES = ["altered", "missing", "deleted", "unproven", "verified"];
const MEANS = {
  verified: "It is what was written down of it.",
  altered: "It is something else than was written down of it.",
  missing: "It is gone, and nobody wrote down that it was removed.",
  deleted: "Garbage collection removed it, which the log tells.",
  unproven: "There is nothing to hold it against.",
};

export async function verify({ parameters, signal, keep }) {
  const index = await choices(signal);
  const target = picker(index, "target", "What to verify", parameters.get("target") ?? "", TARGETS);
  const button = made("button", { type: "submit", class: "primary" }, "Verify");
  const form = made("form", { class: "filters", "aria-label": "Verify" }, target.element, button);
  const told = made("div", { class: "stack", "aria-live": "polite", id: "report" });
  let showing = 0;

  async function follow(first) {
    const mine = ++showing;
    let job = first;
    const running = made("p", { class: "card" });
    while (job?.state === "running" && !signal.aborted && mine === showing) {
      if (!running.isConnected) told.replaceChildren(running);
      running.replaceChildren(made("progress", { "aria-label": "Recomputing digests" }), soft(`Recomputing digests: ${megabytes(job.read)} read, ${lasted(Math.max(0, job.now - job.started_at))} of at most ${lasted(job.limit)}.`));
      await new Promise((resolve) => setTimeout(resolve, POLL));
      job = await ask("verify", { target: job.target }, signal);
    }
    if (signal.aborted || mine !== showing) return;
    told.replaceChildren(...(job ? outcome(job) : [soft("Not verified since this console was started.")]));
    if (job && first.state === "running") tell(verdict(job));
  }

  const failed = (error) => error.name !== "AbortError" && told.replaceChildren(made("p", { class: "error", role: "alert" }, error.message));
  const look = () => {
    keep({ target: target.value() });
    ask("verify", { target: target.value() }, signal).then(follow).catch(failed);
  };
  target.element.addEventListener("change", look);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep({ target: target.value() });
    ask("verify", { target: target.value(), start: 1 }, signal).then(follow).catch(failed);
  });
  const content = [
    made("h1", {}, "Verify"),
    made("p", { class: "lead" }, "Reads every file on the way from a model back to its data, and holds its digest against what was written down of it: in ML Metadata, in the logs, in the signed statement."),
    form, told,
  ];
  return { title: "Verify", content, ready: look };
}

const megabytes = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`);
const verdict = (job) => (job.state === "failed" ? `Could not verify: ${job.why}` : job.report.verified ? "Verified." : "Not verified.");

function outcome(job) {
  const time = new Date(job.finished_at * 1000).toLocaleString("sv-SE");
  if (job.state === "failed") return [made("p", { class: "error", role: "alert" }, job.why), soft(`Tried ${time}.`)];
  const { report } = job;
  const rest = report.findings.filter((one) => one.state !== "verified");
  const groups = STATES.flatMap((state) => [...new Set(rest.map((one) => one.kind))].map((kind) => rest.filter((one) => one.state === state && one.kind === kind))).filter((some) => some.length);
  return [
    made(
      "section", { class: `card verdict ${report.verified ? "is-good" : "is-bad"}` },
      made("h2", {}, report.verified ? "Verified" : "Not verified"),
      made("p", {}, report.models.length ? `From ${report.models.join(", ")} back to the source data.` : "Everything on record."),
      made("p", { class: "badges" }, STATES.filter((state) => report.counts[state]).map((state) => made("span", { title: MEANS[state] }, badge(state), ` ${report.counts[state]}`))),
      made("p", { class: "hint" }, `As of ${time}; ${megabytes(job.read)} read in ${(job.finished_at - job.started_at).toFixed(1)} s. What changed since is not in it.`)
    ),
    groups.length ? made("section", { class: "card" }, made("h2", {}, "What is not verified"), groups.map(together)) : "",
    report.notes.length ? made("section", { class: "card" }, made("h2", {}, "Worth knowing"), made("ul", {}, report.notes.map((note) => made("li", {}, note)))) : "",
    made("section", { class: "card" }, made("h2", {}, "All that was looked at"), kinds(report.findings)),
  ].filter(Boolean);
}

// Findings of one kind that came to the same; what changed is shown at once, a long list of the rest when asked for.
function together(some) {
  const [{ state, kind }] = some;
  return made(
    "details", { class: "findings-of", open: some.length < 4 || state !== "unproven" },
    made("summary", {}, badge(state), made("strong", {}, kind), soft(` ${some.length}. ${MEANS[state]}`)), made("ul", { class: "findings" }, some.map(finding))
  );
}

function finding(one) {
  return made(
    "li", {}, made("strong", {}, one.subject),
    facts([["Expected", code(one.expected)], ["Got", code(one.got)], ["Where", code(one.path)], ["What to do", one.remedy]])
  );
}

const code = (text) => (text ? made("code", { class: "path" }, text) : "");

function kinds(findings) {
  const groups = [...new Set(findings.map((one) => one.kind))];
  return groups.map((kind) => {
    const some = findings.filter((one) => one.kind === kind);
    const fine = some.filter((one) => one.state === "verified").length;
    return made(
      "details", {},
      made("summary", {}, made("strong", {}, kind), soft(` ${fine} of ${some.length} verified`)),
      table(`Looked at: ${kind}`, ["What", "State", "Digest or value"], some.map((one) => [one.subject, badge(one.state), code(one.got || one.expected)]))
    );
  });
}
