"""The page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402 - where playwright is missing, the line above skips


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A page that must neither report an error nor ask anything of another host."""
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("request", lambda request: wrong.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    page.close()
    assert [one for one in wrong if not one.startswith("blob:")] == []


def scores(page: Page) -> list[str]:
    return page.locator("#scores .name").all_inner_texts()


def test_a_chosen_picture_is_answered_with_bars_version_and_latency(page: Page, pictures: str, picture) -> None:
    page.goto(pictures)
    expect(page).to_have_title("Hell oder dunkel?")
    page.get_by_role("tab", name="Picture").click()
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture(250, (300, 200), "JPEG")})
    expect(page.get_by_role("status")).to_contain_text("hell with 9")
    expect(page.get_by_role("status")).to_contain_text("by version 7")
    assert scores(page) == ["hell", "grau", "dunkel"]
    expect(page.locator("#scores .bar").first).to_have_attribute("style", re.compile(r"width: 9\d"))
    expect(page.locator("#latency")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    expect(page.locator("#model")).to_contain_text("version 7")


def test_a_picture_can_be_dropped_anywhere(page: Page, pictures: str, picture) -> None:
    page.goto(pictures)
    expect(page.locator("#ask-image")).to_be_visible()
    drop = """bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "a.png"));
        document.querySelector("main").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(drop, list(picture(0)))
    expect(page.get_by_role("status")).to_contain_text("dunkel")
    expect(page.get_by_role("img", name="Your picture a.png")).to_be_visible()


def test_a_drawing_is_answered_after_each_stroke(page: Page, pictures: str) -> None:
    page.goto(pictures)
    expect(page.locator("#canvas")).to_be_visible()
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 250, steps=5)
    page.mouse.up()
    expect(page.get_by_role("status")).to_contain_text("by version 7")
    assert len(scores(page)) == 3


def test_the_keyboard_alone_draws_and_asks(page: Page, pictures: str) -> None:
    page.goto(pictures)
    expect(page.locator("#ask-image")).to_be_visible()
    for _ in range(3):  # the link to the answer, the tab, the board
        page.keyboard.press("Tab")
    expect(page.get_by_label("Drawing board")).to_be_focused()
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("by version 7")


def test_a_refusal_is_shown_as_an_alert(page: Page, pictures: str) -> None:
    page.goto(pictures)
    expect(page.locator("#ask-image")).to_be_visible()
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.get_by_role("alert")).to_contain_text("no picture that is read here")
    expect(page.get_by_role("status")).to_have_text("No answer.")


def test_rows_and_texts_have_forms(page: Page, run_gateway) -> None:
    page.goto(run_gateway("fish"))
    page.get_by_label("name").fill("hai <b>")
    page.get_by_label("length").fill("3.5")
    page.get_by_label("fins").fill("[1, 2]")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#outputs")).to_contain_text("6.5")
    page.get_by_label("fins").fill("one")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("fins: expected JSON")
    page.goto(run_gateway("praise"))
    page.get_by_label("Text").fill("sehr gut")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_contain_text("gut by version 7")


def test_before_the_model_server_is_there_the_page_says_so_under_its_title_and_goes_on_by_itself(
    page: Page, pictures: str
) -> None:
    page.clock.install()
    down = True

    def answer(route) -> None:
        if down:
            route.fulfill(status=503, json={"error": "the model server cannot be reached"})
        else:
            route.continue_()

    page.route("**/v1/model", answer)
    page.goto(pictures)
    expect(page).to_have_title("Hell oder dunkel?")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hell oder dunkel?")
    expect(page.get_by_role("alert")).to_contain_text("No model yet: the model server cannot be reached. This page tries again")
    down = False
    page.clock.run_for(5100)
    expect(page.locator("#ask-image")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_cards_in_one_column_stand_close(page: Page, run_gateway) -> None:
    page.set_viewport_size({"width": 700, "height": 1000})
    page.goto(run_gateway("fish"))
    expect(page.locator("#ask-row")).to_be_visible()
    upper, lower = (page.locator(".card").nth(number).bounding_box() for number in (0, 1))
    assert 0 < lower["y"] - upper["y"] - upper["height"] < 40


def test_a_narrow_screen_shows_everything_without_scrolling_sideways(page: Page, pictures: str) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(pictures)
    expect(page.locator("#ask-image")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
