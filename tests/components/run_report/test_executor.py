"""RunReport's executor: whatever it is given, it publishes a page and raises nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifacts import GateDecision, RunReport
from components.run_report import spec
from components.run_report.component import RunReport as RunReportNode
from components.run_report.executor import Executor
from components.run_report.roles import ROLES
from errors import ConfigError
from lineage.digests import tree_digest


def report(folder: Path, inputs: dict[str, Any], **properties: str) -> RunReport:
    """Runs the executor."""
    made = RunReport()
    made.uri = str(folder / "report")
    given = {spec.NAME_KEY: "digits", spec.CARD_KEY: "{}", spec.METADATA_KEY: str(folder / "none.sqlite"), **properties}
    Executor().Do({key: [one] for key, one in inputs.items()}, {spec.REPORT_KEY: [made]}, given)
    return made


def model(folder: Path) -> Any:
    found = standard_artifacts.Model()
    found.uri, found.id = str(folder / "model"), 7
    found.set_string_custom_property("digest", "ab" * 32)
    found.set_string_custom_property("algorithm", "fedavg")
    found.set_float_custom_property("epsilon", 2.5)
    return found


def test_report_tells_of_its_model_and_has_the_digest_of_its_files(tmp_path: Path) -> None:
    made = report(tmp_path, {"federated_model": model(tmp_path)}, card=json.dumps({"title": "A title"}))
    assert made.get_int_custom_property("model_id") == 7
    assert made.get_string_custom_property("model_digest") == "ab" * 32
    assert made.get_string_custom_property("digest") == tree_digest(made.uri)
    assert "<title>A title</title>" in Path(made.uri, "model_card.html").read_text(encoding="utf-8")
    facts = json.loads(Path(made.uri, "facts.json").read_text(encoding="utf-8"))
    assert (facts["training"]["algorithm"], facts["privacy"]["epsilon"]) == ("fedavg", 2.5)


def test_refused_model_has_a_report_too(tmp_path: Path) -> None:
    decision = GateDecision()
    decision.uri = str(tmp_path / "decision")
    Path(decision.uri).mkdir()
    refused = {"blessed": False, "passed": False, "decided_at": "2026-06-01T12:00:00+00:00", "served": None, "override": None}
    Path(decision.uri, "decision.json").write_text(json.dumps({**refused, "approvals": [], "checks": []}))
    made = report(tmp_path, {"federated_model": model(tmp_path), "decision": decision})
    assert made.get_int_custom_property("blessed") == 0
    assert "Refused" in Path(made.uri, "model_card.md").read_text(encoding="utf-8")


def test_nothing_to_report_on_is_no_error(tmp_path: Path) -> None:
    made = report(tmp_path, {})
    assert made.get_int_custom_property("model_id") == 0
    assert "Not available" in Path(made.uri, "model_card.html").read_text(encoding="utf-8")


def test_what_cannot_be_made_is_said_in_page_and_log_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        made = report(tmp_path, {"federated_model": model(tmp_path)}, card="no JSON <b>")
    assert "the report cannot be made" in caplog.text
    assert "Not available: JSONDecodeError" in Path(made.uri, "model_card.html").read_text(encoding="utf-8")
    assert made.get_string_custom_property("digest") == tree_digest(made.uri)


def test_every_role_is_an_optional_input_and_no_other_is() -> None:
    inputs = spec.RunReportSpec.INPUTS
    assert set(inputs) == set(ROLES)
    assert all(channel.optional for channel in inputs.values())
    with pytest.raises(ConfigError, match="got modell"):
        RunReportNode(name="digits", inputs={"modell": None}, metadata="")
