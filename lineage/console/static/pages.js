// A run, and a model: where it came from, step by step, and everything that was recorded on the way.

import { ask, badge, card, digest, facts, lasted, link, live, made, number, soft, table, tree, when } from "./dom.js";
import { artifactLink, modelCard, pictures, refusedAgain, runLink, side } from "./artifact.js";

export async function run({ signal }, name) {
  const found = await ask("run", { name }, signal);
  const started = found.executions.map((one) => one.created).sort()[0];
  const content = [
    made("p", { class: "crumbs" }, link("/runs", "Runs"), ` / ${found.pipeline}`),
    made(
      "div", { class: "title" }, made("h1", {}, `Run ${name}`),
      made("p", { class: "actions" },
        made("a", { class: "button", href: `/graph?run=${encodeURIComponent(name)}` }, "Lineage graph"),
        made("a", { class: "button", href: `/diff?a=${encodeURIComponent(`run:${name}`)}` }, "Compare"),
        made("a", { class: "button", href: `/verify?target=${encodeURIComponent(`run:${name}`)}` }, "Verify"))
    ),
    card(
      "Executions",
      table(
        `Executions of run ${name}`, ["Node", "State", { head: "Took", class: "right" }, "From", "Made"],
        found.executions.map((one) => [
          one.node, badge(one.state), one.state === "complete" ? lasted(one.seconds) : "–", side(one.inputs), side(one.outputs),
        ])
      )
    ),
    made(
      "div", { class: "columns" },
      card("Code and environment", facts([["Pipeline", found.pipeline], ["Started", when(started ?? found.created)], ...pairs(found.facts)])),
      made("div", { class: "stack" }, found.reports.map((report) => [modelCard(report), pictures(report).length ? card(report.type, pictures(report)) : null]))
    ),
  ];
  return { title: `Run ${name}`, content };
}

// Versions of packages come last: they are many.
const rank = ([name]) => `${Number(name.startsWith("version_"))}${name}`;
const pairs = (object) => Object.entries(object ?? {}).sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).map(([name, value]) => [name.replaceAll("_", " "), tree(value)]);

export async function model({ signal }, id) {
  const found = await ask("model", { id }, signal);
  const { origin } = found;
  const title = origin.name;
  const target = `id:${id}`;
  const content = [
    made("p", { class: "crumbs" }, link("/models", "Models"), ` / ${origin.pipeline || "no pipeline"}`),
    made(
      "div", { class: "title" }, made("h1", {}, title), made("span", { class: "badges" }, standing(origin)),
      made("p", { class: "actions" },
        made("a", { class: "button primary", href: `/graph?artifact=${id}&up=all&down=3` }, "Lineage graph"),
        made("a", { class: "button", href: `/verify?target=${encodeURIComponent(target)}` }, "Verify"),
        made("a", { class: "button", href: `/diff?a=${encodeURIComponent(target)}` }, "Compare"),
        made("a", { class: "button", href: `/artifacts/${id}` }, "As an artifact"))
    ),
    origin.gone.length ? made("p", { class: "note" }, `${origin.gone.length} of the directories on the way are not there any more.`) : null,
    made("div", { class: "columns" }, card("Where it came from", story(origin)), made("div", { class: "stack" }, metrics(origin), training(origin), statement(found))),
    decision(origin),
    made("div", { class: "columns" }, environment(origin), digests(origin)),
    modelCard(cardOf(found)),
    found.reports.some((one) => pictures(one).length) ? card("Pictures", made("div", { class: "columns" }, found.reports.flatMap(pictures))) : null,
  ];
  return { title, content: content.flat().filter(Boolean) };
}

// The card of the run that pushed it, or made it: a later run may have judged the same model otherwise.
function cardOf({ reports, origin }) {
  const cards = reports.filter((one) => one.files.includes("model_card.html"));
  const own = [origin.pushed_by, origin.trained_by].map((run) => run && cards.find((one) => one.run === run.name));
  return own.find(Boolean) ?? cards.at(-1);
}

function standing({ served, decision: decided, other_decisions: others, pushes }) {
  const found = [];
  if (served?.live) found.push(live(`live: ${served.model}/${served.version}`));
  else if (served) found.push(badge(served.in_service ? "in service" : `version ${served.how}`, served.in_service ? "good" : "plain"));
  found.push(...(served?.labels ?? []).map((label) => badge(label, "plain")));
  if (served && !["as pushed", "unchecked"].includes(served.bytes)) found.push(badge(`bytes ${served.bytes}`, served.bytes === "altered" ? "bad" : "wary"));
  if (decided) found.push(badge(decided.blessed ? "blessed" : "refused"));
  if (!pushes.length) found.push(badge("never pushed", "plain"));
  if (decided) found.push(refusedAgain(decided.blessed ? "blessed" : "refused", others));
  return found;
}

function step(name, thing, ...said) {
  const mark = thing && thing.there === false ? badge("directory is gone", "bad") : "";
  return made(
    "li", {},
    made("div", { class: "what" }, made("strong", {}, name), thing ? artifactLink(thing) : "", mark),
    said.filter(Boolean).map((line) => made("p", {}, line))
  );
}

// From what is served back to the data, as an auditor goes.
function story({ served, pushes, decision: decided, evaluations, training: trained, split, schema, validation, data, ancestors }) {
  const push = pushes[0];
  return made(
    "ol", { class: "steps" },
    served ? step("Served", null, [`${served.model}/${served.version}, `, served.live ? "live now" : served.there ? "not live" : served.how], made("code", { class: "path" }, served.path)) : "",
    push ? step("Pushed", push.record, [when(push.record.created), " in run ", runLink(push.record.run)], pushes.length > 1 ? `and found there again by ${pushes.length === 2 ? "a later push" : `${pushes.length - 1} later pushes`}` : "",
      push.override ? `by override (${push.override}) of ${push.override_by}: ${push.override_reason}` : "") : "",
    decided ? step("Decided", decided.record, [badge(decided.blessed ? "blessed" : "refused"), ` ${decided.checks.length || "no"} checks`,
      decided.failed_checks.length ? `, ${decided.failed_checks.length} failed` : ""], decided.override ? `override by ${decided.override.by}: ${decided.override.reason}` : "") : "",
    evaluations.filter((one) => one.record.type !== "Model").map((one) => step(isReport(one) ? "Reported" : "Evaluated", one.record, one.examples ? `on ${number(one.examples)} examples` : "")),
    trained ? step("Trained", trained.model, [trained.algorithm || "unknown algorithm", trained.rounds ? `, ${trained.rounds} rounds` : "", trained.clients_per_round ? `, ${trained.clients_per_round} of ${trained.clients} clients a round` : "",
      trained.privacy?.epsilon !== undefined ? `, ε = ${number(trained.privacy.epsilon)}` : ""], trained.model.run ? ["in run ", runLink(trained.model.run)] : "") : "",
    ancestors.map((one) => step("Went out from", one.training.model, one.training.algorithm)),
    split ? step("Divided", split.record, `${split.strategy}: ${number(split.examples)} examples among ${number(split.clients)} clients`) : "",
    validation ? step("Validated", validation.record, Object.entries(validation.no_anomalies).map(([name, fine]) => `${name}: ${fine ? "no anomalies" : "anomalies"}`).join(", ")) : "",
    schema ? step("Schema", schema.record, schema.inferred === null ? "" : schema.inferred ? "inferred" : "curated") : "",
    data.map((one) => step("Data", one.record, Object.entries(one.counts).map(([name, count]) => `${number(count)} ${name}`).join(", "), one.source ? made("code", { class: "path" }, one.source) : `read by ${one.reader.split(".").pop()}`))
  );
}

const isReport = (one) => one.record.type.endsWith("RunReport");

function metrics({ evaluations }) {
  const told = evaluations.filter((one) => Object.keys(one.metrics).length);
  const own = told.filter((one) => !isReport(one) && one.record.type !== "Model"); // a report only repeats them
  const tables = told.filter((one) => !isReport(one) || !own.length).map((one) => {
    const who = Object.keys(one.metrics).sort((a, b) => (b === "candidate") - (a === "candidate"));
    const names = [...new Set(who.flatMap((name) => Object.keys(one.metrics[name])))];
    const rows = names.map((name) => [name, ...who.map((column) => number(one.metrics[column][name]))]);
    return [
      made("h3", {}, artifactLink(one.record), one.examples ? soft(`, ${number(one.examples)} examples`) : ""),
      table(`Metrics of ${one.record.type}`, ["Metric", ...who.map((head) => ({ head, class: "right" }))], rows),
    ];
  });
  return card("Metrics", tables.length ? tables : soft("No numbers are recorded where this page can read them."));
}

function training({ training: trained, split }) {
  if (!trained) return null;
  return card(
    "Training",
    facts([
      ["Algorithm", trained.algorithm], ["Rounds", trained.planned && trained.planned !== trained.rounds ? `${trained.rounds} of ${trained.planned}` : number(trained.rounds)],
      ["Clients", trained.clients ? `${number(trained.clients_per_round)} of ${number(trained.clients)} a round` : ""],
      ["Sampling digest", trained.sampling_digest ? digest(trained.sampling_digest) : ""], ["Seed", number(trained.seed)],
      ["Split", split ? `${split.strategy}, ${number(split.clients)} clients` : ""],
      ["Privacy", trained.privacy ? facts(pairs(trained.privacy)) : trained.rounds === null ? "" : "no differential privacy"],
      ["Module", trained.module ? [made("code", {}, trained.module), " ", digest(trained.module_digest)] : ""],
    ]),
    made("details", {}, made("summary", {}, "All settings and what was recorded"), facts([...pairs(trained.settings), ...pairs(trained.recorded)]))
  );
}

function decision({ decision: decided, other_decisions: others }) {
  if (!decided) return null;
  const order = { failed: 0, forced: 1, skipped: 2, passed: 3 };
  const checks = [...decided.checks].sort((a, b) => (order[a.verdict] ?? 1) - (order[b.verdict] ?? 1));
  const checked = (caption, some) =>
    table(caption, ["Check", "Verdict", "Observed", "Required", "Judge"], some.map((one) => [one.what, badge(one.verdict), one.observed, one.required, one.judge]));
  const [passed, told] = [checks.filter((one) => one.verdict === "passed"), checks.filter((one) => one.verdict !== "passed")];
  return card(
    "Gate decision",
    made("p", {}, badge(decided.blessed ? "blessed" : "refused"), " ", when(decided.decided_at), soft(` · ${checks.length} checks, ${decided.failed_checks.length} failed · record `), artifactLink(decided.record),
      soft(` ${decided.file}`)),
    decided.override ? made("p", { class: "note" }, `Override (${decided.override.action}) by ${decided.override.by}: ${decided.override.reason}`) : "",
    told.length ? checked("Checks that did not just pass", told) : "",
    passed.length ? made("details", { open: checks.length < 8 }, made("summary", {}, `${passed.length} checks passed`), checked("Checks that passed", passed)) : "",
    others.length
      ? made("details", {}, made("summary", {}, `Judged by ${others.length} other run${others.length === 1 ? "" : "s"}`),
          table("Other decisions about it", ["Run", "Decision", "When", "Failed checks", "Record"],
            others.map((one) => [runLink(one.run), one.decision ? badge(one.decision) : soft("none"), when(one.created), one.failed_checks.join(", "), link(`/artifacts/${one.id}`, String(one.id))])))
      : ""
  );
}

function environment({ trained_by: trained, pushed_by: pushed }) {
  const of = (title, one) => (one ? [made("h3", {}, title, " ", runLink(one.name)), facts(pairs(one.facts))] : "");
  return card("Code and environment", of("Trained by run", trained), pushed && pushed.name !== trained?.name ? of("Pushed by run", pushed) : "");
}

function digests({ things }) {
  const where = (one) => (one.there === false ? badge(one.state === "deleted" ? "deleted" : "gone", "bad") : one.there === null ? soft("elsewhere") : "");
  const rows = things.map((one) => [[artifactLink(one), " ", where(one)], one.node, digest(one.digest)]);
  return card("Digests on the way", table("Artifacts on the way and their tree digests", ["Artifact", "Made by", "Tree digest"], rows));
}

function statement({ statement: signed, origin }) {
  if (!origin.served) return null;
  if (!signed) return card("Signed statement", soft("This version has none."));
  if (signed.error) return card("Signed statement", made("p", { class: "error" }, signed.error));
  const verdict = { true: badge("verified"), false: badge("altered"), null: badge("no public key here", "wary") }[String(signed.verified)];
  return card(
    "Signed statement",
    facts([
      ["Signature", [verdict, " ", signed.problem]], ["Subject", made("code", { class: "path" }, signed.subject)], ["Tree digest", digest(signed.digest)],
      ["Signed by key", digest(signed.key)], ["File", made("code", { class: "path" }, signed.path)],
    ]),
    made("details", {}, made("summary", {}, "What it says"), tree(signed.said))
  );
}
