// Which page is shown: by the address, so that every view can be kept, sent and gone back to.

import { $, ask, made, tell, visible } from "./dom.js";
import { models, runs } from "./lists.js";
import { model, run } from "./pages.js";
import { artifact } from "./artifact.js";
import { graph } from "./graph.js";
import { diff } from "./diff.js";
import { verify } from "./verify.js";

const PAGES = [
  [/^\/(?:models)?$/, models],
  [/^\/runs$/, runs],
  [/^\/models\/(\d+)$/, model],
  [/^\/runs\/(.+)$/s, run],
  [/^\/artifacts\/(\d+)$/, artifact],
  [/^\/graph$/, graph],
  [/^\/diff$/, diff],
  [/^\/verify$/, verify],
];
let leaving = null; // ends what the page before still waits for
let shown = ""; // the path that is shown, without its query

async function show(arrived) {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { pathname } = location;
  const [pattern, page] = PAGES.find(([one]) => one.test(pathname)) ?? [null, missing];
  for (const one of document.querySelectorAll(".top nav a")) {
    const here = pathname.startsWith(one.pathname) || (pathname === "/" && one.pathname === "/models");
    here ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current");
  }
  const wait = setTimeout(() => $("main").classList.add("busy"), 150);
  try {
    const matched = pattern ? pathname.match(pattern).slice(1).map(decodeURIComponent) : [];
    const view = await page({ parameters: new URLSearchParams(location.search), signal, go, keep }, ...matched);
    if (signal.aborted) return;
    document.title = visible(`${view.title} - Lineage`);
    $("main").replaceChildren(...[view.content].flat());
    view.ready?.();
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    document.title = "Error - Lineage";
    $("main").replaceChildren(made("h1", {}, "That did not work"), made("p", { class: "error", role: "alert" }, error.message));
    if (!(error instanceof Error) || error.constructor === TypeError) console.error(error);
  } finally {
    clearTimeout(wait);
    if (!signal.aborted) $("main").classList.remove("busy");
  }
  if (arrived) {
    scrollTo(0, 0);
    if (shown !== "") $("main").focus({ preventScroll: true });
    tell(document.title);
  }
  shown = pathname;
}

/** Goes to an address of ours, as a link does. */
export function go(address) {
  history.pushState(null, "", address);
  return show(true);
}

/** Puts what is chosen on a page into its address, without going anywhere. */
export function keep(parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  history.replaceState(null, "", query.size ? `${location.pathname}?${query}` : location.pathname);
}

async function missing() {
  return { title: "No such page", content: [made("h1", {}, "No such page"), made("p", {}, "Nothing is here; the menu leads on.")] };
}

addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (anchor.origin !== location.origin || anchor.target || anchor.hash || anchor.pathname.startsWith("/files/")) return;
  event.preventDefault();
  go(anchor.href);
});
addEventListener("popstate", () => show(true));

async function store(again) {
  const found = await ask("store", again ? { again: 1 } : {});
  const time = new Date(found.read_at * 1000).toLocaleTimeString("sv-SE");
  $("store").textContent = `Read ${time}`;
  $("store").title = found.metadata;
}

$("reload").addEventListener("click", async () => {
  try {
    await store(true);
    await show(false);
    tell("Read again.");
  } catch (error) {
    tell(error.message);
  }
});

show(true);
store(false).catch((error) => ($("store").textContent = error.message));
