"""A decision to read: as a page that loads nothing, and as Markdown; nothing in it can break out of its place."""

from __future__ import annotations

import dataclasses
import html.parser
from datetime import datetime, timezone
from pathlib import Path

import pytest

from components.deploy_gate import page, picture, wording
from components.deploy_gate.decision import Decision
from components.deploy_gate.observers import FAILED, PASSED, SKIPPED, Check
from components.federated_evaluator.picture import draw

HOSTILE = "<script>alert(1)</script> | **bold** \" ' & `code` [link](http://evil)"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" class="clients"><title>Clients</title><rect width="3" height="4"/></svg>'


def decision(text="0.9512", override=None):
    checks = (
        Check(f"evaluation/value/{text}", "Evaluator", "A on all examples", text, "at least 0.95", PASSED, True),
        Check("clients/worsened", "FederatedEvaluator", "clients that got worse", "3 clients", "at most 10 %", SKIPPED, True),
        Check("serving/weights", "ServingCheck", "weights that are not finite", text, "none", FAILED, False),
    )
    return Decision(
        decided_at=datetime(2026, 6, 1, 12, tzinfo=timezone.utc),
        model={"id": 7, "name": "digits", "node": "FederatedTrainer", "digest": "ab" * 32},
        served={"version": 3, "digest": "cd" * 32, "same_as_model": False},
        checks=checks,
        override=override,
        approvals=(
            {
                "action": "force",
                "by": text,
                "reason": text,
                "expires": "2026-06-02T12:00:00+02:00",
                "applied": False,
                "note": "expired",
            },
        ),
    )


class Elements(html.parser.HTMLParser):
    """What a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_page_says_the_verdict_first_and_the_failed_checks_before_the_others():
    seen = Elements(page.as_html(decision()))
    words = " ".join(" ".join(seen.texts).split())
    assert words.index("digits: model 7 is refused, 1 check failed") < words.index("weights that are not finite")
    assert words.index("weights that are not finite") < words.index("clients that got worse") < words.index("A on all examples")
    assert "no approval can override it" in words
    assert "version 3" in words and "ab" * 32 in words and "2026-06-01 12:00 UTC" in words


def test_page_loads_nothing_and_runs_nothing():
    text = page.as_html(decision(), SVG)
    seen = Elements(text)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_text_from_elsewhere_stays_text():
    text = page.as_html(dataclasses.replace(decision(HOSTILE), model={**decision().model, "name": HOSTILE}))
    assert "<script" not in text and "alert(1)" in "".join(Elements(text).texts)
    markdown = page.as_markdown(decision(HOSTILE))
    assert "<script" not in markdown.replace("\\<", "") and "](" not in markdown.replace("\\]", "")


def test_every_row_of_the_markdown_table_has_its_five_cells():
    rows = [line for line in page.as_markdown(decision(HOSTILE)).splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
    assert "weights" in rows[2]


def test_markdown_tells_verdict_model_and_approvals():
    lines = page.as_markdown(decision()).splitlines()
    assert lines[0] == "### ❌ digits: model 7 is refused, 1 check failed"
    assert "model `abababababab` of FederatedTrainer · served: version 3" in lines[2]
    assert lines[4].startswith("> Not applied: force by 0.9512 until 2026-06-02 10:00 UTC: 0.9512 (expired)")


@pytest.mark.parametrize(
    ("action", "headline"),
    [
        ("force", "digits: model 7 is forced live over 1 failed check"),
        ("hold", "digits: model 7 is held back, 1 check failed as well"),
    ],
)
def test_override_is_the_headline_and_has_the_mark_and_the_colour_of_a_warning(action, headline):
    overridden = decision(override={"action": action})
    assert page.headline(overridden) == headline
    assert page.as_markdown(overridden).splitlines()[0] == f"### ⚠️ {headline}"
    assert ("class", "overridden") in Elements(page.as_html(overridden)).attributes


def test_digest_is_short_to_read_and_whole_to_copy():
    texts = Elements(page.as_html(decision())).texts
    assert "ab" * 6 in texts and "ab" * 32 in texts


def test_model_whose_digest_is_not_known_is_shown_all_the_same():
    unread = dataclasses.replace(decision(), model={"id": 7, "name": "digits", "node": "FederatedTrainer", "digest": ""})
    assert "cannot be read" in page.as_html(unread)


def test_picture_of_the_clients_is_fit_for_the_page(tmp_path):
    import numpy as np

    (tmp_path / "clients.svg").write_bytes(
        draw("MeanSquaredError", {"candidate": np.linspace(0, 1, 30), "served": np.ones(30)})
    )
    drawn = picture.safe(tmp_path / "clients.svg")
    assert drawn is not None and "svg" in Elements(page.as_html(decision(), drawn)).tags


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        '<rect onload="alert(1)"/>',
        '<a href="https://evil"><text>x</text></a>',
        '<image href="https://evil/x.png"/>',
        '<rect style="fill: url(https://evil)"/>',
        "<style>@import 'https://evil';</style>",
        "<style>rect { background: \\75rl(https://evil) }</style>",
        "<foreignObject><p>x</p></foreignObject>",
        "<rect>",
        "<!DOCTYPE svg>",
        '<use xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="#x"/>',
    ],
)
def test_picture_that_could_load_or_run_something_is_left_out(tmp_path, inner):
    (tmp_path / "clients.svg").write_text(SVG.replace("</svg>", inner + "</svg>"))
    assert picture.safe(tmp_path / "clients.svg") is None


def test_picture_that_is_not_there_or_huge_is_left_out(tmp_path):
    assert picture.safe(tmp_path / "none.svg") is None
    (tmp_path / "huge.svg").write_text(SVG + " " * (1 << 20))
    assert picture.safe(Path(tmp_path, "huge.svg")) is None


@pytest.mark.parametrize(
    ("value", "limits", "text"),
    [
        (0.951234, (0.9,), "0.9512"),
        (0.94999999, (0.95,), "0.94999999"),
        (0.95, (0.95,), "0.95"),
        (0.1 + 0.2, (0.3,), "0.30000000000000004"),
        (1e-12, (), "1e-12"),
        (12345678.0, (), "1.235e+07"),
    ],
)
def test_number_has_as_many_digits_as_it_takes_to_tell_it_from_its_limit(value, limits, text):
    assert wording.number(value, *limits) == text
