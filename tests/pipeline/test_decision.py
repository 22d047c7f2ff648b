"""What the gate decided, as a run tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from errors import IntegrityError
from pipeline import decision


def check(verdict: str, what: str) -> dict[str, Any]:
    texts = {"what": what, "observed": "0.9000", "required": "at least 0.95"}
    return {"id": f"evaluation/value/{what}", "judge": "Evaluator", **texts, "verdict": verdict, "forceable": True}


CHECKS = [check("passed", "AUC"), check("failed", "Precision"), check("skipped", "Recall")]
OVERRIDE = {"action": "force", "by": "Ada Vogel", "reason": "agreed", "expires": "2030-01-01T00:00:00+00:00"}


def written(folder: Path, **content: Any) -> str:
    facts = {"format": 1, "blessed": False, "checks": CHECKS, "override": None, "approvals": [], **content}
    facts = {"model": {"id": 7, "node": "Trainer", "digest": "ab" * 32}, "served": None, **facts}
    (folder / "decision.json").write_text(json.dumps(facts))
    return str(folder)


def test_refusal_is_told_by_what_failed_and_every_check_is_there_with_the_failed_ones_first(tmp_path):
    found = decision.read(written(tmp_path))
    assert found.reasons == ("Precision: 0.9000; required: at least 0.95",)
    assert [each["verdict"] for each in found.checks] == ["failed", "skipped", "passed"]
    assert found.page == str(tmp_path / "decision.html")


def test_blessing_is_told_by_what_was_passed(tmp_path):
    found = decision.read(written(tmp_path, blessed=True, checks=[CHECKS[0], CHECKS[2]]))
    assert found.reasons == ("AUC: 0.9000; required: at least 0.95",)


@pytest.mark.parametrize(("action", "blessed", "words"), [("force", True, "forced live"), ("hold", False, "held back")])
def test_override_is_told_first(tmp_path, action, blessed, words):
    found = decision.read(written(tmp_path, blessed=blessed, override={**OVERRIDE, "action": action}))
    assert found.reasons[0] == f"{words} by Ada Vogel until 2030-01-01T00:00:00+00:00: agreed"
    assert found.as_json()["override"]["by"] == "Ada Vogel"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"blessed": true, "checks": [{}], "override": null}'])
def test_decision_that_cannot_be_read_is_no_decision(tmp_path, content):
    if content is not None:
        (tmp_path / "decision.json").write_text(content)
    with pytest.raises(IntegrityError, match="--from DeployGate"):
        decision.read(str(tmp_path))
