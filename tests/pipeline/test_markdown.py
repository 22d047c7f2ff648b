"""The result of a run for the page of a CI job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.decision import Decision
from pipeline.markdown import as_markdown
from pipeline.summary import Summary

PUSHED = {"version": 7, "path": "serving/digits/7", "new": True, "live": True, "held_at": None}
TABLE = "| verdict | check |\n|---|---|\n| passed | AUC |\n"


def summary(folder: Path | None, **changes: Any) -> Summary:
    if folder:
        (folder / "decision.md").write_text(TABLE)
    facts = {
        "run_id": "1",
        "decision": Decision(folder is not None, ("a | b <img> failed",), folder=str(folder) if folder else None),
        "pushed": PUSHED if folder else None,
        "metrics": {"federated": {"auc": 0.5, "example_count": 369.0}, "baseline": {"auc": 0.75}, "served": None},
        "nodes": (),
        "paths": {},
    }
    return Summary(**{**facts, **changes})


def test_models_stand_side_by_side_above_the_gates_own_table(tmp_path: Path) -> None:
    text = as_markdown("digits", summary(tmp_path))
    assert text.splitlines()[0] == "## digits: version 7 is live"
    assert "| metric | federated | baseline |\n|---|---:|---:|\n| auc | 0.5000 | 0.7500 |\n" in text
    assert "| example\\_count | 369 | - |" in text
    assert text.endswith(TABLE)


def test_push_of_a_model_that_is_held_is_not_called_live(tmp_path: Path) -> None:
    text = as_markdown("digits", summary(tmp_path, pushed={**PUSHED, "live": False, "held_at": "5"}))
    assert text.splitlines()[0] == "## digits: version 7 is pushed, but held at 5"


def test_refusal_is_the_headline(tmp_path: Path) -> None:
    assert as_markdown("digits", summary(tmp_path, pushed=None)).startswith("## digits: refused, what is served is untouched\n")


def test_blessed_model_that_the_pusher_did_not_take_says_why_above_the_decision(tmp_path: Path) -> None:
    text = as_markdown("digits", summary(tmp_path, pushed=None))
    assert text.index("- a \\| b \\<img\\> failed") < text.index(TABLE)


def test_run_without_a_decision_says_why_and_its_words_make_no_markup(tmp_path: Path) -> None:
    text = as_markdown("digits", summary(None, metrics={"federated": None}))
    assert text == "## digits: not decided\n\n- a \\| b \\<img\\> failed\n"
