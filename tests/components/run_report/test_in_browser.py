"""The model card in a real browser: nothing is asked of anybody, nothing sticks out, and it can be read in light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.run_report import page, writing
from tests.components.run_report.finished import Made

pytestmark = pytest.mark.slow

# Contrast of text with what is behind it, as WCAG 2.1 defines it, of the elements that hold text themselves.
CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((of) => of / 255)
    .map((of) => of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4)
    .reduce((sum, of, place) => sum + of * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return getComputedStyle(at).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  const holding = "h1, h2, h3, p, a, li, dt, dd, td, th, caption, summary, figcaption, footer, .pill, .verdict";
  for (const element of document.querySelectorAll(holding)) {
    if (!element.innerText || !element.checkVisibility()) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName} ${element.innerText.slice(0, 20)}: ${ratio.toFixed(1)}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Made(tmp_path_factory.mktemp("card"))
    target = made.root / "model_card.html"
    target.write_text(page.as_html(page.page(made.facts(), writing.pictures(made.sources()))), encoding="utf-8")
    return target


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1300])
def test_card_is_readable_and_asks_nobody_anything(browser: Any, card: Path, width: int, scheme: str) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    wrong: list[str] = []
    opened.on("console", lambda line: wrong.append(line.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: wrong.append(request.url) if request.url != card.as_uri() else None)
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.goto(card.as_uri())
    assert opened.title() == "Digits & <script>alert(1)</script>"
    assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert opened.evaluate(CONTRAST) == []
    text = opened.locator("#metrics tbody tr").first.inner_text()
    assert "0.9000" in text and "[0.7864, 0.9565]" in text
    graph = opened.locator("#lineage svg").bounding_box()
    assert graph["width"] > 600 and graph["height"] > 300
    sizes = opened.locator("#training svg.chart text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(sizes) > 9
    assert wrong == []
    opened.close()


def test_keyboard_leads_past_the_head_and_opens_what_is_folded(browser: Any, card: Path) -> None:
    opened = browser.new_page(viewport={"width": 1300, "height": 900})
    opened.goto(card.as_uri())
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.innerText") == "Skip to the contents"
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "contents"
    summary = opened.locator("#training summary").first
    summary.focus()
    opened.keyboard.press("Enter")
    assert opened.locator("#training details table").first.is_visible()
    opened.close()


def test_paper_has_all_of_it_and_fits(browser: Any, card: Path) -> None:
    opened = browser.new_page(viewport={"width": 760, "height": 1000})
    opened.goto(card.as_uri())
    opened.emulate_media(media="print")
    assert not opened.locator("nav.contents").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert opened.pdf().startswith(b"%PDF")
    opened.close()
