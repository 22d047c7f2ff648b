"""The pages: they show the facts, load nothing, run nothing, and whatever stands in a config stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from components.run_report import page, writing
from tests.components.run_report.finished import ACCURACY, CLIENT, PRIVATE

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Seen(HTMLParser):
    """What a browser would make of a page: elements, their attributes and text; `wrong` holds tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def html(made: Any) -> str:
    return page.as_html(page.page(made.facts(), writing.pictures(made.sources())))


def markdown(made: Any) -> str:
    return page.as_markdown(page.page(made.facts()))


def test_page_is_well_formed_and_every_id_is_there_once(made: Any) -> None:
    seen = Seen(html(made))
    assert seen.wrong == []
    ids = [str(attributes["id"]) for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [word for _, attributes in seen.tags for word in str(attributes.get("aria-labelledby") or "").split()]
    targets = [str(attributes["href"]).removeprefix("#") for attributes in seen.named("a")]
    assert set(named) | set(targets) <= set(ids)


def test_page_loads_and_runs_nothing(made: Any) -> None:
    text = html(made)
    seen = Seen(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in seen.tags}
    loading = [
        value for _, attributes in seen.tags for name, value in attributes.items() if name in ("src", "href", "xlink:href")
    ]
    assert all(str(value).startswith("#") for value in loading)
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"url\s*\(|@import", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    policies = [attributes["content"] for attributes in seen.named("meta") if attributes.get("http-equiv")]
    assert policies and str(policies[0]).startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_words_of_the_config_stay_text(made: Any) -> None:
    seen = Seen(html(made))
    assert "Digits & <script>alert(1)</script>" in seen.text
    assert 'a "whole" run | with a bar' in seen.text
    written = markdown(made)
    assert "<script>" not in written.replace(r"\<", "")
    assert r"with a bar" in written


def test_hostile_records_stay_text_as_well(made: Any, decided: Callable[..., None]) -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    approval = {
        "action": "force",
        "by": hostile,
        "reason": hostile,
        "expires": "2026-07-01T00:00:00+00:00",
        "applied": True,
        "note": "",
    }
    decided(override=approval, approvals=[approval])
    made.properties["pushed_model"]["pushed_destination"] = f"/models/{hostile}"
    made.properties["federated_model"]["algorithm"] = hostile
    seen = Seen(html(made))
    assert seen.wrong == [] and not seen.named("img")
    assert hostile in seen.text
    assert not re.search(r"(?<!\\)<img", markdown(made))


def test_no_client_id_is_on_a_page(made: Any) -> None:
    assert CLIENT not in html(made) + markdown(made)


def test_both_pages_show_the_same_numbers(made: Any) -> None:
    made.properties["federated_model"] |= PRIVATE
    for text in (Seen(html(made)).text, markdown(made).replace("\\", "")):
        for shown in (
            "0.9000",
            "[0.7864, 0.9565]",
            "+0.4000",
            "1,200",
            "epsilon 2.5",
            "client level",
            "c0ffee",
            "01" * 32,
            "/models/digits/17",
        ):
            assert shown in text, shown
        for shown in (ACCURACY, "label = 7", "dirichlet", "0.250 (0: every client", "participation.quorum", "better"):
            assert shown in text, shown


def test_curves_and_graph_are_drawn_and_told_in_words(made: Any) -> None:
    seen = Seen(html(made))
    pictures = seen.named("svg")
    assert len(pictures) >= 6
    assert all(picture["role"] == "img" for picture in pictures if "role" in picture)
    assert "training, goes from 2.0000 at 1 to 0.5000 at 3" in seen.text
    assert "FederatedTrainer made 6 model, 7 model run" in seen.text
    assert "1 examples of ExampleGen to FederatedSplit" in seen.text


def test_tables_have_captions_and_heads_and_sections_are_named(made: Any) -> None:
    seen = Seen(html(made))
    assert len(seen.named("table")) == len(seen.named("caption")) > 5
    assert all(attributes.get("scope") in ("col", "row") for attributes in seen.named("th"))
    assert len(seen.named("main")) == len(seen.named("h1")) == 1
    assert all("aria-labelledby" in attributes for attributes in seen.named("section"))
    assert seen.named("html")[0]["lang"] == "en"


@pytest.mark.parametrize(
    ("pushed", "changes", "status"),
    [
        ({}, {}, ("Pushed live", "good")),
        ({"live": 0, "held_at": "9"}, {}, ("Pushed, held", "wait")),
        ({"pushed": 0}, {"blessed": False}, ("Refused", "bad")),
        ({"pushed": 0, "reason": "served has changed"}, {}, ("Not pushed", "wait")),
        ({}, {"override": {"by": "ann", "reason": "demo"}}, ("Forced live", "wait")),
        ({"pushed": 0}, {"blessed": False, "override": {"by": "ann", "reason": "demo"}}, ("Held back", "wait")),
    ],
)
def test_head_says_what_became_of_the_model(
    made: Any, decided: Callable[..., None], pushed: dict[str, Any], changes: dict[str, Any], status: tuple[str, str]
) -> None:
    made.properties["pushed_model"] |= pushed
    decided(**changes)
    shown = page.page(made.facts())
    assert (shown.status, shown.tone) == status


def test_what_is_missing_is_said_on_the_page(made: Any) -> None:
    made.card = {}
    made.without = {"decision", "federated_examples", "client_metrics", "paired_scores", "pushed_model"}
    for text in (Seen(html(made)).text, markdown(made)):
        assert text.count("Not available") >= 4
    assert "the config has no section model_card" in Seen(html(made)).text


def test_every_role_can_be_missing(made: Any) -> None:
    from components.run_report.roles import ROLES

    for role in ROLES:
        made.without = {role}
        assert Seen(html(made)).wrong == [], role
    made.without = set(ROLES)
    assert "Not available" in Seen(html(made)).text


def test_page_that_cannot_be_made_says_so_and_the_facts_are_there(made: Any) -> None:
    broken = {**made.facts(), "split": {"strategy": 3}}
    writing.write(str(made.root / "report"), broken, {})
    assert "Not available: KeyError" in (made.root / "report" / "model_card.html").read_text()
    assert (made.root / "report" / "facts.json").stat().st_size > 1000


def test_unsafe_picture_is_left_out(made: Any) -> None:
    (made.root / "client_metrics" / "clients.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
    )
    text = html(made)
    assert not Seen(text).named("script")
    assert "Not available: the picture of the clients" in Seen(text).text
