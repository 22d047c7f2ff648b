// The lineage graph: drawn, and the same as a list for whoever does not look at pictures.

import { ask, badge, facts, link, live, made, soft, table, tell, visible } from "./dom.js";
import { runAddress, runLink } from "./artifact.js";

// Kind -> its name, and the shape it is drawn in. Colours are the style sheet's --kind-*.
const KINDS = {
  data: ["Data", "barrel"],
  description: ["Statistics, schema", "round-tag"],
  model: ["Model", "round-hexagon"],
  finding: ["Evaluation", "cut-rectangle"],
  decision: ["Decision", "ellipse"],
  pushed: ["Pushed model", "round-pentagon"],
  record: ["Record", "rectangle"],
  other: ["Other", "round-rectangle"],
  execution: ["Execution", "round-rectangle"],
};
const STEPS = [["all", "all of it"], ["0", "nothing"], ["1", "1 step"], ["2", "2 steps"], ["3", "3 steps"], ["5", "5 steps"]];
const LETTERS = 40;
const SIGNS = { cached: "↺", failed: "✕", canceled: "⊘", running: "…", new: "…", deleted: "⌫" };

export async function graph({ parameters, signal, go, keep }) {
  const chosen = Object.fromEntries(parameters);
  const found = await ask("graph", chosen, signal);
  const title = `Lineage of ${found.title.replace(/^Run/, "run")}`;
  const focused = found.nodes.find((node) => node.focus);
  const view = new View(found, go, chosen.run || chosen.executions === "1");
  const changed = (next) => go(`/graph?${new URLSearchParams(next)}`);
  const controls = chosen.run ? ofRun(chosen, found.left_out, changed) : options(chosen, found.left_out, changed);
  const more = found.artifacts_found - found.nodes.filter((node) => node.is === "artifact").length;
  const note = more > 0 ? made("p", { class: "note" }, `${more} more artifacts are further away than can be drawn; take fewer steps to see less.`) : null;
  const back = chosen.run
    ? link(runAddress(chosen.run), `Run ${chosen.run}`)
    : link(`/artifacts/${chosen.artifact}`, found.title);
  const content = [
    made("p", { class: "crumbs" }, back, " / Lineage graph"),
    made("div", { class: "title" }, made("h1", {}, title), focused?.live ? live(`live: ${focused.live}`) : ""),
    controls, note, view.element,
  ].filter(Boolean);
  return { title, content, ready: () => view.draw() };
}

const FORM = { class: "filters", "aria-label": "What the graph shows" };
const counted = (label, amount) => (amount ? `${label} (${amount})` : label);

function box(name, label, checked, hint = null) {
  return made("label", { class: "box", title: hint }, made("input", { type: "checkbox", name, checked }), label);
}

const REPORT = "Run reports take in everything that their run made";

// What a run drew in and put out is shown whole, but for its report.
function ofRun(chosen, left, changed) {
  if (!left.reports && chosen.reports !== "1") return null;
  const form = made("form", FORM, box("reports", "Run report", chosen.reports === "1", REPORT));
  form.addEventListener("change", () => changed({ run: chosen.run, reports: form.reports.checked ? "1" : "0" }));
  return form;
}

function options(chosen, left, changed) {
  const ways = { up: "all", down: "3", failed: "1", ...chosen };
  const form = made("form", FORM);
  const select = (name, label) =>
    made("label", {}, label, made("select", { name }, STEPS.map(([value, text]) => made("option", { value, selected: ways[name] === value }, text))));
  const boxes = [
    ["executions", "Executions"], ["failed", "Failed"], ["cached", "Taken from the cache"],
    ["again", counted("Judged again", left.again), "What other runs found and decided about the same model than the one that pushed it, or made it"],
    ["reports", counted("Run reports", left.reports), REPORT],
    ["others", "About other models", "Findings that only compare with this one, and what followed from them"],
  ];
  form.append(select("up", "Made from"), select("down", "What came of it"), ...boxes.map(([name, label, hint]) => box(name, label, ways[name] === "1", hint)));
  form.addEventListener("change", () => {
    const next = { artifact: chosen.artifact, up: form.up.value, down: form.down.value };
    for (const [name] of boxes) next[name] = form[name].checked ? "1" : "0";
    changed(next);
  });
  return form;
}

// Without the executions that went well: what they made comes from what they took in. The list has them all the same.
function without(found) {
  const hidden = new Set(found.nodes.filter((node) => node.is === "execution" && node.state === "complete").map((node) => node.id));
  const of = (id, from, to) => found.edges.filter((edge) => edge[from] === id).map((edge) => edge[to]);
  const edges = found.edges.filter((edge) => !hidden.has(edge.source) && !hidden.has(edge.target));
  for (const id of hidden) {
    for (const source of of(id, "target", "source")) edges.push(...of(id, "source", "target").map((target) => ({ source, target, key: "" })));
  }
  const once = [...new Map(edges.map((edge) => [`${edge.source} ${edge.target}`, edge])).values()];
  return { nodes: found.nodes.filter((node) => !hidden.has(node.id)), edges: once };
}

// Edges that only repeat what a longer way through others tells: of Data -> Model -> Finding and Data -> Finding the second.
function roundabout({ nodes, edges }) {
  const beyond = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) beyond.get(edge.source).push(edge.target);
  const reached = new Map(); // node -> all that comes after it; a cycle, which no lineage has, ends where it began
  const after = (id) => {
    if (!reached.has(id)) {
      const found = new Set();
      reached.set(id, found);
      for (const next of beyond.get(id)) {
        found.add(next);
        for (const one of after(next)) found.add(one);
      }
    }
    return reached.get(id);
  };
  return new Set(edges.filter((edge) => beyond.get(edge.source).some((next) => next !== edge.target && after(next).has(edge.target))));
}

/** Where a node's own page is. */
function page(node) {
  if (node.is === "execution") return node.run ? runAddress(node.run) : null;
  return node.kind === "model" ? `/models/${node.number}` : `/artifacts/${node.number}`;
}

function named(node) {
  return node.is === "execution" ? node.node : `${node.type} ${node.number}`;
}

function described(node) {
  const words = [named(node)];
  if (node.live) words.push(`live as ${node.live}`);
  if (node.says) words.push(node.says);
  if (node.is === "execution") words.push(`execution ${node.number}, ${node.state}`);
  else if (node.state !== "live") words.push(node.state);
  return words.join(", ");
}

// One line of a label: what is longer is told whole beside the drawing.
function cut(text) {
  const line = visible(text.replace(/\s+/g, " "));
  return line.length > LETTERS ? `${line.slice(0, LETTERS - 1)}…` : line;
}

class View {
  constructor(found, go, executions) {
    this.found = found;
    this.drawn = executions ? found : without(found);
    this.roundabout = roundabout(this.drawn);
    this.go = go;
    this.nodes = new Map(found.nodes.map((node) => [node.id, node]));
    this.canvas = made("div", {
      class: "canvas", id: "graph", tabindex: "0", role: "application", "aria-roledescription": "lineage graph",
      "aria-label": `Lineage graph of ${this.drawn.nodes.length} nodes. Arrow keys go from node to node, Enter opens one, plus and minus zoom, 0 shows all.`,
    });
    this.details = made("aside", { class: "details", "aria-label": "Chosen node" });
    this.element = made("div", { class: "graph-page" }, this.tools(), made("div", { class: "graph-row" }, this.canvas, this.details), this.legend(), this.list());
    this.tellOf(found.nodes.find((node) => node.focus) ?? null);
  }

  tools() {
    const button = (label, sign, act) => made("button", { type: "button", class: "small", "aria-label": label, title: label, onclick: act }, sign);
    return made(
      "div", { class: "tools", role: "group", "aria-label": "View of the graph" },
      button("Zoom in", "+", () => this.zoom(1.3)), button("Zoom out", "−", () => this.zoom(1 / 1.3)),
      button("Show all", "Fit", () => this.fit()),
      soft(`${this.drawn.nodes.length} nodes, ${this.drawn.edges.length} edges`, this.roundabout.size ? `, of which ${this.roundabout.size} that go past others are drawn when an end is chosen` : ""),
      link("#as-list", "The same as a list")
    );
  }

  legend() {
    const kinds = Object.keys(KINDS).filter((kind) => this.drawn.nodes.some((node) => node.kind === kind));
    const items = kinds.map((kind) => made("li", {}, made("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), KINDS[kind][0]));
    const states = new Set(this.drawn.nodes.map((node) => node.state));
    for (const state of ["cached", "failed", "running", "deleted"]) {
      if (states.has(state)) items.push(made("li", {}, made("span", { class: `swatch state-${state}`, "aria-hidden": "true" }, SIGNS[state]), state));
    }
    if (this.found.nodes.some((node) => node.live)) items.push(made("li", {}, made("span", { class: "swatch is-live", "aria-hidden": "true" }, "●"), "live now"));
    return made("ul", { class: "legend", "aria-label": "What shapes and colours mean" }, items);
  }

  // The same nodes and edges as a table, from the data on.
  list() {
    const beside = (id, from, to) =>
      this.found.edges.filter((edge) => edge[from] === id).map((edge) => [edge.key, this.nodes.get(edge[to])]).filter(([, node]) => node);
    const links = (pairs) => (pairs.length ? made("ul", { class: "bare" }, pairs.map(([key, node]) => made("li", {}, this.anchor(node), " ", soft(key)))) : soft("–"));
    const rows = this.ordered().map((node) => {
      const cells = [
        [this.anchor(node), " ", node.focus ? badge("in focus", "plain") : null],
        [KINDS[node.kind][0], node.is === "execution" ? soft(` ${node.number}`) : null],
        [node.live ? live(`live: ${node.live}`) : node.state === "live" ? null : badge(node.state), node.says ? soft(` ${node.says}`) : null],
        [links(beside(node.id, "target", "source"))],
        [links(beside(node.id, "source", "target"))],
      ];
      return cells;
    });
    return made(
      "details", { class: "card as-list", id: "as-list", open: location.hash === "#as-list" },
      made("summary", {}, made("h2", {}, "The same as a list")),
      table("All nodes of the graph, from the data on", ["Node", "Kind", "State", "From", "To"], rows)
    );
  }

  anchor(node) {
    const address = page(node);
    return address ? link(address, named(node)) : named(node);
  }

  /** Nodes in an order in which whatever is made from something comes after it. */
  ordered() {
    const waiting = new Map(this.found.nodes.map((node) => [node.id, 0]));
    for (const edge of this.found.edges) waiting.set(edge.target, waiting.get(edge.target) + 1);
    const ready = this.found.nodes.filter((node) => !waiting.get(node.id));
    const done = [];
    while (ready.length) {
      const node = ready.shift();
      done.push(node);
      for (const edge of this.found.edges) {
        if (edge.source !== node.id) continue;
        waiting.set(edge.target, waiting.get(edge.target) - 1);
        if (!waiting.get(edge.target)) ready.push(this.nodes.get(edge.target));
      }
    }
    return done.length === this.found.nodes.length ? done : this.found.nodes;
  }

  async draw() {
    const [{ default: cytoscape }, { default: dagre }] = await Promise.all([
      import("./vendor/cytoscape.esm.min.mjs"), import("./vendor/cytoscape-dagre.min.mjs"),
    ]);
    if (!View.registered) cytoscape.use(dagre);
    View.registered = true;
    if (!this.canvas.isConnected) return;
    this.cy = cytoscape({
      container: this.canvas,
      elements: this.elements(),
      style: styles(),
      minZoom: 0.08, maxZoom: 2.5, boxSelectionEnabled: false, autoungrabify: true,
    });
    this.layOut();
    this.fit();
    const first = this.drawn.nodes.find((node) => node.focus) ?? this.drawn.nodes.find((node) => node.is === "artifact") ?? this.drawn.nodes[0];
    if (first) this.choose(first.id, false);
    this.listen();
    this.canvas.dataset.drawn = "true";
  }

  // From the data down. Where the picture would be wide and low, its layers are set apart: edges are easier to follow then.
  layOut() {
    const told = this.cy.elements().not(".roundabout");
    const layers = (rankSep) => told.layout({ name: "dagre", rankDir: "TB", nodeSep: 24, edgeSep: 14, rankSep, animate: false, fit: false }).run();
    layers(44);
    const { w, h } = this.cy.elements().boundingBox();
    const room = (w * this.canvas.clientHeight) / this.canvas.clientWidth - h;
    const gaps = new Set(this.cy.nodes().map((node) => Math.round(node.position("y")))).size - 1;
    if (gaps > 0 && room > 0) layers(44 + Math.min(60, room / gaps));
    told.edges().forEach((edge) => edge.toggleClass("late", this.blocked(edge, "target") && !this.blocked(edge, "source")));
  }

  // Whether the way straight down in the column of an edge's end is taken by another node.
  blocked(edge, end) {
    const [from, to, column] = [edge.source().position("y"), edge.target().position("y"), edge[end]().position("x")];
    return this.cy.nodes().some((node) => {
      const { x, y } = node.position();
      return y > from + 1 && y < to - 1 && Math.abs(x - column) < node.width() / 2 + 4;
    });
  }

  elements() {
    const nodes = this.drawn.nodes.map((node) => ({
      data: { id: node.id, label: this.label(node), width: this.width(node) },
      classes: [node.is, node.kind, `state-${node.state}`, node.live && "is-live", node.focus && "focus"].filter(Boolean).join(" "),
    }));
    const edges = this.drawn.edges.map((edge, index) => ({ data: { id: `u${index}`, ...edge }, classes: this.roundabout.has(edge) ? "roundabout" : "" }));
    return [...nodes, ...edges];
  }

  // What a shape leaves of its width for words differs.
  width(node) {
    const letters = Math.max(...this.label(node).split("\n").map((line) => line.length));
    const margin = { model: 84, pushed: 84, decision: 56, description: 76 }[node.kind] ?? 28;
    return Math.max(node.is === "execution" ? 110 : 170, 9.2 * letters + margin);
  }

  label(node) {
    const sign = SIGNS[node.state] ? `${SIGNS[node.state]} ` : "";
    if (node.is === "execution") return `${sign}${cut(node.node)}`;
    const lines = [`${sign}${cut(node.type)} ${node.number}`];
    if (node.live) lines.push("● live now", cut(node.live));
    else if (node.says) lines.push(cut(node.says));
    else if (this.drawn !== this.found && node.node) lines.push(cut(node.node));
    return lines.join("\n");
  }

  listen() {
    this.cy.on("tap", "node", (event) => this.choose(event.target.id()));
    this.cy.on("dbltap", "node", (event) => this.open(event.target.id()));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.cy.style(styles()));
    let width = this.canvas.clientWidth;
    new ResizeObserver(() => {
      if (this.canvas.clientWidth === width) return;
      width = this.canvas.clientWidth;
      this.cy.resize();
      this.fit();
    }).observe(this.canvas);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (ways[event.key]) this.step(...ways[event.key]);
    else if (event.key === "Enter") this.open(this.chosen);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  // To the nearest node in a direction; what lies aside counts as further away.
  step(right, down) {
    const here = this.cy.getElementById(this.chosen).position();
    let best = null;
    for (const node of this.cy.nodes()) {
      const [x, y] = [node.position("x") - here.x, node.position("y") - here.y];
      const along = x * right + y * down;
      const aside = Math.abs(x * down) + Math.abs(y * right);
      if (along > 1 && (!best || along + 2.5 * aside < best.far)) best = { id: node.id(), far: along + 2.5 * aside };
    }
    if (best) this.choose(best.id);
  }

  choose(id, move = true) {
    const node = this.cy.getElementById(id);
    this.chosen = id;
    this.cy.elements().removeClass("chosen near");
    node.addClass("chosen");
    const edges = node.connectedEdges();
    (move ? edges : edges.not(".roundabout")).addClass("near"); // at first sight as few as tell it all
    this.tellOf(this.nodes.get(id));
    if (move) tell(described(this.nodes.get(id)));
    const [box, view] = [node.boundingBox(), this.cy.extent()];
    const out = box.x1 < view.x1 || box.x2 > view.x2 || box.y1 < view.y1 || box.y2 > view.y2;
    if (move && out) this.cy.center(node);
  }

  open(id) {
    const address = page(this.nodes.get(id));
    if (address) this.go(address);
  }

  zoom(factor) {
    const middle = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 };
    const around = this.chosen ? this.cy.getElementById(this.chosen).renderedPosition() : middle;
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: around });
  }

  // All of it, unless that would be too small to read: then what is in focus.
  fit() {
    this.cy.fit(undefined, 24);
    if (this.cy.zoom() > 1.15) this.cy.zoom(1.15), this.cy.center();
    const focus = this.cy.nodes(".focus");
    if (this.cy.zoom() < 0.45) {
      this.cy.zoom(0.6);
      this.cy.center(focus.nonempty() ? focus : undefined);
      const { y1 } = this.cy.elements().renderedBoundingBox();
      if (y1 > 24 || focus.empty()) this.cy.panBy({ x: 0, y: 24 - y1 }); // from the data on, and no room left empty above
    }
  }

  tellOf(node) {
    if (!node) {
      this.details.replaceChildren(soft("Click a node, or go to one with the arrow keys."));
      return;
    }
    const rows = [
      ["Kind", KINDS[node.kind][0]],
      ["State", node.state === "live" ? "" : badge(node.state)],
      ["Says", node.says],
      ["Made by", node.is === "artifact" ? node.node : ""],
      ["Type", node.is === "execution" ? node.type : ""],
      ["Run", node.run ? runLink(node.run) : ""],
      ["Took", node.is === "execution" && node.state === "complete" ? `${node.seconds} s` : ""],
      ["Reused", node.reused ? `${node.reused === 1 ? "once" : `${node.reused} times`}, from the cache` : ""],
    ];
    const actions = made("p", { class: "actions" });
    if (page(node)) actions.append(made("a", { class: "button primary", href: page(node) }, node.is === "execution" ? "Open its run" : "Open"));
    if (node.is === "artifact") actions.append(made("a", { class: "button", href: `/graph?artifact=${node.number}&up=all&down=3` }, "Graph from here"));
    this.details.replaceChildren(
      made("p", { class: "details-title" }, made("span", { class: `swatch ${node.kind}`, "aria-hidden": "true" }), made("strong", {}, named(node))),
      node.live ? made("p", {}, live(`live: ${node.live}`)) : "",
      facts(rows), actions
    );
  }
}

/** The drawing's style, in the colours that the style sheet has now. */
function styles() {
  const computed = getComputedStyle(document.documentElement);
  const colour = (name) => computed.getPropertyValue(`--${name}`).trim();
  const kinds = Object.entries(KINDS).map(([kind, [, shape]]) => ({
    selector: `node.${kind}`,
    style: { shape, "background-color": colour(`kind-${kind}`), "border-color": colour(`kind-${kind}-line`) },
  }));
  return [
    {
      selector: "node",
      style: {
        label: "data(label)", "text-wrap": "wrap", "text-max-width": 600, "text-valign": "center", "text-halign": "center", color: colour("ink"),
        "font-family": computed.fontFamily, "font-size": 16, "line-height": 1.25, width: "data(width)", height: 58, "border-width": 1.5,
      },
    },
    ...kinds,
    { selector: "node.decision", style: { height: 66 } },
    { selector: "node.pushed", style: { "text-margin-y": 8, height: 74 } },
    { selector: "node.model.is-live, node.pushed.is-live", style: { height: 92 } },
    { selector: "node.execution", style: { height: 36, "font-size": 15, color: colour("ink"), "border-width": 1, "corner-radius": 14 } },
    { selector: "node.state-cached", style: { "border-style": "dashed", color: colour("soft") } },
    { selector: "node.state-failed, node.state-canceled", style: { "border-color": colour("bad"), "border-width": 2.5, "background-color": colour("bad-back"), color: colour("bad") } },
    { selector: "node.state-running, node.state-new", style: { "border-style": "dotted", "border-color": colour("wary"), "border-width": 2 } },
    { selector: "node.state-deleted", style: { "background-opacity": 0.35, "border-style": "dashed" } },
    { selector: "node.is-live", style: { "border-color": colour("good"), "border-width": 3.5 } },
    { selector: "node.focus", style: { "font-weight": 700, "border-width": 3 } },
    {
      selector: "edge",
      style: {
        width: 1.3, "line-color": colour("edge"), "target-arrow-color": colour("edge"), "target-arrow-shape": "triangle", "arrow-scale": 0.8,
        "curve-style": "round-taxi", "taxi-direction": "downward", "taxi-turn": 20, "taxi-turn-min-distance": 8,
      },
    },
    { selector: "edge.late", style: { "taxi-turn": -20 } },
    { selector: "edge.roundabout", style: { display: "none", "curve-style": "unbundled-bezier", "control-point-distances": 60, "line-style": "dashed" } },
    { selector: "edge.roundabout.near", style: { display: "element" } },
    { selector: "edge.near", style: { width: 2.4, "line-color": colour("accent"), "target-arrow-color": colour("accent"), "z-index": 5 } },
    { selector: "node.chosen", style: { "overlay-color": colour("accent"), "overlay-opacity": 0.18, "overlay-padding": 6, "border-color": colour("accent") } },
  ];
}
