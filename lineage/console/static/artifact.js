// One artifact, and how executions and artifacts are written on every page.

import { ask, badge, card, digest, facts, link, live, made, soft, table, tree, when } from "./dom.js";

export const runAddress = (name) => `/runs/${encodeURIComponent(name)}`;
export const runLink = (name) => (name ? link(runAddress(name), name) : soft("–"));

export function artifactAddress(one) {
  return (one.kind ?? one.type) === "model" || one.type === "Model" ? `/models/${one.id}` : `/artifacts/${one.id}`;
}

export function artifactLink(one) {
  return link(artifactAddress(one), `${one.type.split(".").pop()} ${one.id}`);
}

/** A note if what was blessed was refused by a later run that judged the same model. */
export function refusedAgain(decision, others) {
  const last = others.at(-1);
  return decision !== "refused" && last?.later && last.decision === "refused" ? badge("refused again by a later run", "wary") : null;
}

/** What an execution took in or put out: key, and its artifacts. */
export function side(artifacts) {
  const keys = Object.entries(artifacts);
  if (!keys.length) return soft("nothing");
  return made("ul", { class: "bare" }, keys.map(([key, ones]) =>
    made("li", {}, soft(`${key}: `), ones.map((one, index) => [index ? ", " : "", artifactLink(one), one.says ? soft(` ${one.says}`) : ""]))
  ));
}

const pictured = { "partition.svg": "How examples and labels are divided among clients", "clients.svg": "How the model does on each client" };

/** Pictures out of an artifact. */
export function pictures(one) {
  return one.files.filter((name) => pictured[name]).map((name) =>
    made("figure", {}, made("img", { src: `/files/${one.id}/${name}`, alt: pictured[name] }), made("figcaption", {}, pictured[name]))
  );
}

/** The model card, to open by itself or to read here. */
export function modelCard(one) {
  if (!one?.files.includes("model_card.html")) return null;
  const address = `/files/${one.id}/model_card.html`;
  const shown = made("details", {}, made("summary", {}, "Read it here"));
  shown.addEventListener("toggle", () => {
    if (shown.open && !shown.querySelector("iframe")) {
      shown.append(made("iframe", { class: "document", src: address, title: "Model card", sandbox: "" }));
    }
  });
  return card("Model card", made("p", { class: "actions" }, made("a", { class: "button", href: address, target: "_blank", rel: "noopener" }, "Open the card")), shown);
}

export async function artifact({ signal }, id) {
  const one = await ask("artifact", { id }, signal);
  const title = `${one.type} ${one.id}`;
  const content = [
    made("p", { class: "crumbs" }, "Artifact", one.maker?.run ? [" of run ", runLink(one.maker.run)] : ""),
    made(
      "div", { class: "title" }, made("h1", {}, title),
      made("span", { class: "badges" }, one.live ? live(`live: ${one.live}`) : "", one.says ? badge(one.says) : "", states(one)),
      made("p", { class: "actions" }, made("a", { class: "button", href: `/graph?artifact=${one.id}&up=all&down=3` }, "Lineage graph"))
    ),
    made(
      "div", { class: "columns" },
      card("What it is", facts([
        ["Type", one.full_type],
        ["Created", when(one.created)],
        ["Directory", made("code", { class: "path" }, one.uri)],
        ["Tree digest", digest(one.digest, 20)],
        ["Made by", one.maker ? [one.maker.node, " in run ", runLink(one.maker.run)] : soft("not recorded")],
      ])),
      card("Properties", facts(Object.entries(one.properties).map(([name, value]) => [name, tree(value)])))
    ),
    one.files.length ? card("Pictures", pictures(one)) : null,
    modelCard(one),
    one.maker ? card("Made from", side(one.maker.inputs)) : null,
    card(
      "What came of it",
      one.users.length
        ? table(
            "Executions that used it", ["Node", "Run", "State", "Put out"],
            one.users.map((user) => [user.node, runLink(user.run), badge(user.state), side(user.outputs)])
          )
        : soft("Nothing used it."),
      one.users_in_all > one.users.length ? soft(`and ${one.users_in_all - one.users.length} more`) : ""
    ),
    one.cached_in_all
      ? card("Taken from the cache", made("p", {}, `${one.cached_in_all} later executions took it from the cache: `, one.cached.map((user, index) => [index ? ", " : "", runLink(user.run)])))
      : null,
  ].filter(Boolean);
  return { title, content };
}

function states(one) {
  if (one.state === "deleted") return badge("deleted");
  return one.there === false ? badge("directory is gone", "bad") : "";
}

