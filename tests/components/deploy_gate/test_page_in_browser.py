"""The decision's page in a real browser: what is seen of it, on a wide and on a narrow screen, and that it loads nothing."""

from __future__ import annotations

import dataclasses
import html
import json
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from components.deploy_gate import page
from components.deploy_gate.decision import Decision
from components.deploy_gate.observers import FAILED, PASSED, Check

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium found; get it with `apt-get install chromium`"),
]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 300"><rect width="1000" height="300"/></svg>'
# Looks at the page in a frame of a given width and writes down what it sees.
LOOK = """<body><iframe id="page" src="{file}" width="{width}" height="900"></iframe><script>
document.getElementById("page").onload = ({{target}}) => {{
  const seen = target.contentDocument, root = seen.documentElement;
  const rows = [...seen.querySelectorAll("tbody tr")].map((row) => row.innerText.replace(/\\s+/g, " "));
  const heading = seen.querySelector("h1"), box = seen.querySelector(".scroll");
  const place = (node, word) => {{
    const range = seen.createRange(), start = node.data.indexOf(word);
    range.setStart(node, start);
    range.setEnd(node, start + word.length);
    return {{ lines: range.getClientRects().length, right: range.getBoundingClientRect().right }};
  }};
  const found = (word) => {{
    const nodes = seen.createTreeWalker(box, NodeFilter.SHOW_TEXT), places = [];
    while (nodes.nextNode()) if (nodes.currentNode.data.includes(word)) places.push(place(nodes.currentNode, word));
    return places.filter(({{ lines }}) => lines > 0);
  }};
  const facts = {{
    heading: heading.innerText, colour: getComputedStyle(heading).color, rows,
    judge: found("PairedEvaluator"), metric: found("SparseCategoricalAccuracy"), scrolls: box.scrollWidth > box.clientWidth,
    width: root.clientWidth, digest: seen.querySelector("dl").innerText, mark: getComputedStyle(heading, "::before").content,
    overflow: root.scrollWidth - root.clientWidth, pictures: seen.querySelectorAll("svg").length,
    loaded: target.contentWindow.performance.getEntriesByType("resource").length,
  }};
  document.body.innerHTML = "<pre>" + JSON.stringify(facts).replace(/</g, "\\\\u003c") + "</pre>";
}};
</script></body>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    failed = "SparseCategoricalAccuracy against the centralised baseline"
    checks = (
        Check("evaluation/value/Precision", "Evaluator", "Precision on all examples", "0.9512", "at least 0.95", PASSED, True),
        Check(
            "slice/label+another_feature/change/SparseCategoricalAccuracy",
            "PairedEvaluator",
            failed,
            "0.5 <b>against</b> 0.97",
            "worse by at most 0.02",
            FAILED,
            True,
        ),
    )
    decision = Decision(
        decided_at=datetime(2026, 6, 1, 12, tzinfo=timezone.utc),
        model={"id": 7, "name": "digits", "node": "FederatedTrainer", "digest": "ab" * 32},
        served={"version": 3, "digest": "cd" * 32, "same_as_model": False},
        checks=checks,
        override=None,
        approvals=(),
    )
    target = tmp_path_factory.mktemp("page")
    (target / "decision.html").write_text(page.as_html(decision, SVG), encoding="utf-8")
    forced = dataclasses.replace(decision, override={"action": "force"})
    (target / "forced.html").write_text(page.as_html(forced), encoding="utf-8")
    return target


def seen(folder: Path, width: int, file: str = "decision.html") -> Any:
    """What the browser saw of a page."""
    look = folder / f"look-{width}-{file}"
    look.write_text(LOOK.format(width=width, file=file), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=10000"]
    command = [str(BROWSER), *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", look.as_uri()]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(html.unescape(printed.split("<pre>")[1].split("</pre>")[0]))


@pytest.mark.parametrize("width", [1100, 500, 400])
def test_page_is_readable_at_every_width_and_loads_nothing(folder: Path, width: int) -> None:
    facts = seen(folder, width)
    assert facts["heading"] == "digits: model 7 is refused, 1 check failed"
    assert "failed" in facts["rows"][0] and "0.5 <b>against</b> 0.97" in facts["rows"][0]
    assert "0.9512" in facts["rows"][1]
    assert facts["pictures"] == 1
    assert facts["overflow"] <= 0
    assert facts["loaded"] == 0
    assert facts["mark"] == "none"


@pytest.mark.parametrize("width", [1100, 500])
def test_table_is_scrolled_in_its_box_where_it_is_too_wide_and_breaks_no_word(folder: Path, width: int) -> None:
    facts = seen(folder, width)
    assert facts["scrolls"] is (width < 600)
    assert [place["lines"] for place in facts["metric"]] == [1, 1]  # in what was checked and in the check's id
    assert len(facts["judge"]) == 1 and facts["judge"][0]["right"] <= facts["width"]


def test_digest_is_short_until_it_is_opened(folder: Path) -> None:
    assert "abababababab" in seen(folder, 500)["digest"].split()


def test_forced_model_has_the_colour_and_the_mark_of_a_warning(folder: Path) -> None:
    refused, forced = seen(folder, 1100), seen(folder, 1100, "forced.html")
    assert forced["heading"] == "digits: model 7 is forced live over 1 failed check"
    assert forced["colour"] != refused["colour"] and "\u26a0" in forced["mark"]
