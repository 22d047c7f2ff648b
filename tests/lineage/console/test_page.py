"""The console's pages, in a real browser, over a store of 200 runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lineage.places import Places
from tests.lineage.console.asking import TOKEN

pytestmark = pytest.mark.slow

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402 - where playwright is missing, the line above skips


@pytest.fixture
def open_page(browser) -> Iterator:
    """Opens pages that must neither warn in the browser's console nor ask anything of another host."""
    wrong: list[str] = []
    opened: list[Page] = []

    def open_(**options: object) -> Page:
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 860}, **options})
        opened.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        page.on("request", lambda request: wrong.append(request.url) if "127.0.0.1" not in request.url else None)
        return page

    yield open_
    for page in opened:
        page.close()
    assert wrong == []


@pytest.fixture
def page(open_page) -> Page:
    return open_page()


@pytest.fixture(scope="module")
def url(run_console, two_hundred_runs) -> str:
    return run_console(two_hundred_runs.places)


@pytest.fixture(scope="module")
def last(two_hundred_runs) -> tuple[str, int]:
    """The newest version that is live, `name/version`, and its Model."""
    (name, version), number = max(two_hundred_runs.pushed.items(), key=lambda item: item[1])
    return f"{name}/{version}", number


# Where a node of a type is drawn; Cytoscape leaves itself at its element.
NODE_PLACE = """type => {
  const { cy } = document.querySelector("#graph")._cyreg;
  return cy.nodes().filter(node => node.data("label").startsWith(type))[0].renderedPosition();
}"""


def drawn(page: Page) -> None:
    page.wait_for_selector("#graph[data-drawn=true]")


def test_the_list_is_there_within_a_second_and_a_graph_within_half_a_second(run_console, two_hundred_runs, last) -> None:
    started = run_console(two_hundred_runs.places)
    moment = time.perf_counter()
    assert len(httpx.get(f"{started}/api/models", timeout=10).json()) >= len(two_hundred_runs.models)
    assert time.perf_counter() - moment < 2.0  # half a second on a machine that does nothing else
    assert len(httpx.get(f"{started}/api/runs", timeout=10).json()) == 200
    moment = time.perf_counter()
    httpx.get(f"{started}/api/graph", params={"artifact": last[1]}, timeout=10).raise_for_status()
    assert time.perf_counter() - moment < 1.0


def test_search_filter_and_order_are_in_the_address_and_come_back_with_it(page: Page, url: str) -> None:
    page.goto(f"{url}/runs")
    expect(page.get_by_text("200 runs", exact=True)).to_be_visible()
    page.get_by_label("Pipeline").select_option("reviews")
    expect(page.get_by_text("100 of 200 runs")).to_be_visible()
    page.get_by_label("State").select_option("failed")
    page.get_by_role("searchbox").fill("federatedtrainer")
    page.get_by_role("button", name="Started").click()
    expect(page).to_have_url(re.compile(r"q=federatedtrainer&pipeline=reviews&state=failed&sort=-Started"))
    shown = page.locator("tbody tr").count()
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("federatedtrainer")
    expect(page.locator("tbody tr")).to_have_count(shown)
    page.get_by_role("searchbox").fill("nothing is called that")
    expect(page.get_by_text("No runs are like that.")).to_be_visible()


def test_from_what_is_live_to_its_model_to_its_graph_to_an_artifact(page: Page, url: str, last) -> None:
    page.goto(url)
    page.get_by_role("list", name="Live now").get_by_role("link", name=last[0]).click()
    expect(page).to_have_title(f"{last[0]} - Lineage")
    expect(page.get_by_role("heading", level=1)).to_have_text(last[0])
    expect(page.locator(".steps")).to_contain_text("Divided")
    page.get_by_role("link", name="Lineage graph").click()
    drawn(page)
    details = page.get_by_label("Chosen node")
    expect(details).to_contain_text(f"live: {last[0]}")
    place = page.evaluate(NODE_PLACE, "FederatedExamples")
    page.locator("#graph").click(position=place)
    expect(details).to_contain_text("20 clients, dirichlet")
    details.get_by_role("link", name="Open", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("FederatedExamples")
    page.go_back()
    drawn(page)


def test_the_keyboard_alone_walks_the_graph_and_opens_a_node(page: Page, url: str, last) -> None:
    page.goto(f"{url}/models/{last[1]}")
    expect(page.locator(".steps")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Lineage graph").focus()
    page.keyboard.press("Enter")
    drawn(page)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "graph":
            break
    expect(page.locator("#graph")).to_be_focused()
    details = page.get_by_label("Chosen node")
    page.keyboard.press("ArrowUp")
    expect(details.locator("strong")).to_have_text(re.compile("^(Federated)?Examples"))
    page.keyboard.press("ArrowUp")
    expect(details.locator("strong")).to_have_text(re.compile("^Examples"))
    for key in "+-0":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Examples \d+"))
    expect(page.locator("#main")).to_be_focused()


def test_the_list_beside_the_graph_has_the_same_nodes_and_links(page: Page, url: str, last) -> None:
    page.goto(f"{url}/graph?artifact={last[1]}&executions=1")
    drawn(page)
    nodes = int(re.match(r"\d+", page.locator(".tools .soft").inner_text())[0])
    page.locator("#as-list summary").click()
    rows = page.locator("#as-list tbody tr")
    expect(rows).to_have_count(nodes)
    order = rows.locator("th").all_inner_texts()
    assert order[0] == "ExampleGen" and order[-1].startswith("PushedModel")
    expect(page.locator("#as-list").get_by_role("link", name=re.compile(r"^Model \d+$")).first).to_have_attribute(
        "href", f"/models/{last[1]}"
    )


def test_what_the_graph_shows_is_chosen_and_kept_in_the_address(page: Page, url: str, last) -> None:
    page.goto(f"{url}/graph?artifact={last[1]}")
    drawn(page)
    page.get_by_label("What came of it").select_option("0")
    expect(page).to_have_url(re.compile("down=0"))
    drawn(page)
    expect(page.locator(".tools")).to_contain_text("3 nodes")
    page.get_by_label("Executions").check()
    expect(page).to_have_url(re.compile("executions=1"))
    drawn(page)
    expect(page.locator(".tools")).to_contain_text("6 nodes")


def test_two_that_are_picked_are_compared(page: Page, url: str) -> None:
    page.goto(f"{url}/models?pipeline=digits")
    picks = page.get_by_role("checkbox", name=re.compile("Pick digits"))
    picks.nth(0).check()
    picks.nth(9).check()
    page.get_by_role("link", name="Compare these two").click()
    expect(page.locator("#differences")).to_contain_text("facts differ")
    changed = page.get_by_role("table", name="Metrics of both").locator("tbody tr")
    expect(changed).to_contain_text(["train_accuracy"])
    before = page.locator("#differences tbody tr").count()
    page.get_by_label("Show what is the same too").check()
    assert page.locator("#differences tbody tr").count() > before
    page.get_by_role("button", name="Swap the two").click()
    expect(changed.filter(has_text="train_accuracy")).to_contain_text("+0.")


def test_verify_tells_what_it_found_and_when_and_still_does_later(page: Page, url: str, last) -> None:
    page.goto(f"{url}/verify?target=id:{last[1]}")
    expect(page.locator("#report")).to_contain_text("Not verified since this console was started.")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("heading", name="Not verified", exact=True)).to_be_visible(timeout=20_000)
    expect(page.locator("#report")).to_contain_text("missing")
    expect(page.locator("#report")).to_contain_text("What changed since is not in it.")
    page.reload()
    expect(page.get_by_role("heading", name="Not verified", exact=True)).to_be_visible()
    page.get_by_label("What to verify").fill("nobody")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("alert")).to_contain_text("expected NAME or NAME/VERSION of what is served")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_can_be_read_in_the_light_and_in_the_dark(
    open_page, url: str, last, two_hundred_runs, width: int, scheme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    run = two_hundred_runs.runs[-1]
    pages = (
        "models",
        "runs",
        f"models/{last[1]}",
        f"runs/{run}",
        f"artifacts/{last[1]}",
        f"graph?artifact={last[1]}",
        "diff",
        "verify",
    )
    for path in pages:
        page.goto(f"{url}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(UNREADABLE) == [], path
    drawn_on = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", drawn_on))) < 200) == (scheme == "dark")


# Texts with less contrast to what is behind them than WCAG 2.1 AA asks for (4.5, or 3 for large ones).
UNREADABLE = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, index) => sum + v * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const wrong = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, noscript, option, .canvas")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parts(style.color)), luminance(behind(element))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) wrong.push(`${walker.currentNode.data.trim()} ${style.color}`);
  }
  return [...new Set(wrong)];
}"""


def test_everything_that_can_be_used_has_a_name(page: Page, url: str, last) -> None:
    for path in ("models", "runs", f"models/{last[1]}", f"graph?artifact={last[1]}", "diff", "verify"):
        page.goto(f"{url}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("a, button, input, select, img, iframe, [role]")]
              .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.hasAttribute("alt")))
              .filter((one) => one.role !== "status").map((one) => one.outerHTML)"""
        )
        assert nameless == [], path


HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>\"'<script>alert(1)</script>",
    "long": "long" * 100,
    "turned": "\u202eevil\u2066 two\nlines",
}


@pytest.fixture(scope="module")
def hostile(run_console, new_store, tmp_path_factory) -> tuple[str, dict[str, int]]:
    """A console over a store whose names are nobody's friends, and the models in it."""
    folder = tmp_path_factory.mktemp("hostile")
    writer, models = new_store(folder / "metadata.sqlite"), {}
    for kind, text in HOSTILE.items():
        said = {text: text, "algorithm": text, "url": "javascript:alert(1)", "json": json.dumps({text: [text]})}
        taken = {"examples": [writer.artifact("Examples", text, **said)]}
        _, gave = writer.execute(text, f"run {text} /..?#%", text, outputs=taken, facts={text: text})
        made = {"model": [writer.artifact("Model", f"javascript:{text}", **said)]}
        models[kind] = writer.execute(text, f"run {text} /..?#%", f"Trainer{text}", gave, made)[1]["model"][0]
    return run_console(Places(str(folder), str(folder / "models"), str(folder / "metadata.sqlite"))), models


@pytest.mark.parametrize("width", [390, 1280])
def test_text_from_the_store_is_never_markup_and_stays_in_its_place(open_page, hostile, width: int) -> None:
    started, models = hostile
    page = open_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    about = [f"{page}/{number}" for page in ("models", "artifacts") for number in models.values()]
    graphs = [f"graph?artifact={number}&executions=1" for number in models.values()]
    both = f"diff?a=id:{models['turned']}&b=id:{models['long']}"
    for path in ("models", "runs", *about, *graphs, both, f"verify?target=id:{models['turned']}"):
        page.goto(f"{started}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if path.startswith("graph"):
            drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("main img, main script, a[href^=javascript]").count() == 0, path
    assert asked == []


def test_a_name_that_turns_the_way_of_writing_is_shown_as_it_is_and_leads_to_its_page(page: Page, hostile) -> None:
    started, models = hostile
    page.goto(f"{started}/models")
    expect(page.locator("tbody")).to_contain_text(r"\u202eevil\u2066")
    page.goto(f"{started}/diff?a=id:{models['turned']}&b=id:{models['long']}")
    expect(page.locator("#differences")).to_contain_text("trained by run long")
    page.goto(f"{started}/runs")
    page.get_by_role("link", name=re.compile("run <img")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run run {HOSTILE['markup']} /..?#%")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run run {HOSTILE['markup']} /..?#%")


def test_with_a_token_a_browser_signs_in_once(open_page, run_console, two_hundred_runs, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    started = run_console(two_hundred_runs.places, "--token-file", str(file))
    page = open_page()
    page.goto(f"{started}/runs")
    page.get_by_label("Token").fill("x" * 30)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    page.goto(f"{started}/runs")
    expect(page.get_by_text("200 runs")).to_be_visible()
