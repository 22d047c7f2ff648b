"""`python -m lineage card`: the report of the run if its bytes are sure, and one made from ML Metadata where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError, IntegrityError
from lineage.card_command import card
from lineage.digests import tree_digest


def places(many: Any) -> list[str]:
    return ["--pipeline-root", many.places.root, "--serving-root", many.places.serving_root]


class Reported:
    """A run with one model and the report on it."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self.report = folder / "report"
        self.report.mkdir()
        for name in ("model_card.html", "model_card.md", "facts.json"):
            (self.report / name).write_text(f'{{"from": "{name}"}}')
        _, made = writer.execute(
            "digits",
            "run-1",
            "FederatedTrainer",
            {},
            {"model": [writer.artifact("Model", str(folder / "m"), algorithm="fedavg")]},
        )
        self.model = made["model"][0]
        facts = {"model_id": self.model, "digest": tree_digest(self.report)}
        words = json.dumps({"title": "As it was told"})
        artifact = writer.artifact("components.RunReport", str(self.report), **facts)
        writer.execute(
            "digits", "run-1", "RunReport", {"federated_model": [self.model]}, {"report": [artifact]}, card=words, name="digits"
        )
        self.arguments = [f"id:{self.model}", "--pipeline-root", str(folder), "--serving-root", str(folder / "models")]


@pytest.fixture
def reported(store_writer: Any, tmp_path: Path) -> Reported:
    return Reported(store_writer, tmp_path)


def test_report_of_the_run_is_copied_as_a_file_or_with_all_its_files(reported: Reported, tmp_path: Path) -> None:
    assert card([*reported.arguments, "--out", str(tmp_path / "x" / "one.html")]) == 0
    assert (tmp_path / "x" / "one.html").read_bytes() == (reported.report / "model_card.html").read_bytes()
    assert card([*reported.arguments, "--out", str(tmp_path / "all")]) == 0
    assert tree_digest(tmp_path / "all") == tree_digest(reported.report)


def test_facts_of_the_report_are_printed_for_machines(reported: Reported, capsys: pytest.CaptureFixture[str]) -> None:
    assert card([*reported.arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"from": "facts.json"}


def test_altered_report_is_refused_and_can_be_made_anew(reported: Reported, tmp_path: Path) -> None:
    (reported.report / "model_card.html").write_text("better numbers")
    with pytest.raises(IntegrityError, match="got other files; make it from ML Metadata with --anew"):
        card([*reported.arguments, "--out", str(tmp_path / "out.html")])
    assert not (tmp_path / "out.html").exists()
    assert card([*reported.arguments, "--anew", "--out", str(tmp_path / "out.html")]) == 0
    assert "<title>As it was told</title>" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_report_that_is_gone_is_made_anew(reported: Reported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(reported.report)
    assert card([*reported.arguments, "--out", str(tmp_path / "out.html")]) == 0
    assert "(made from ML Metadata)" in capsys.readouterr().out
    assert "fedavg" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_run_of_before_the_node_existed_has_a_card(two_hundred_runs: Any, tmp_path: Path) -> None:
    run, model = next(reversed(two_hundred_runs.models.items()))
    assert card([f"run:{run}", "--out", str(tmp_path), *places(two_hundred_runs)]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert (facts["model"]["id"], facts["model"]["run"], facts["training"]["algorithm"]) == (model, run, "fedavg")
    assert facts["about"] == {"not_available": "the run did not record what its config says of the model"}
    assert {node["node"] for node in facts["lineage"]["nodes"]} >= {"ExampleGen", "FederatedTrainer", "DeployGate", "Pusher"}
    assert "is gone" in facts["decision"]["not_available"]
    assert "Not available" in (tmp_path / "model_card.html").read_text(encoding="utf-8")


def test_baseline_has_no_card_of_its_own(two_hundred_runs: Any) -> None:
    run = two_hundred_runs.runs[-1]
    model = two_hundred_runs.models[run]
    with pytest.raises(ConfigError, match=rf"expected a model that was under test.*lineage card id:{model}"):
        card([f"id:{_baseline(two_hundred_runs, run)}", *places(two_hundred_runs)])


def _baseline(many: Any, run: str) -> int:
    from lineage import reading

    with many.places.opened() as store:
        graph = reading.of_runs(store, [run])
    return next(graph.outputs(one.id)["model"][0].id for one in graph.of_run(run) if one.node == "Trainer")


def test_facts_are_printed_or_written_but_not_both(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected --json.*or --out, got both"):
        card([*reported.arguments, "--json", "--out", str(tmp_path / "p")])
    assert not (tmp_path / "p").exists()


def test_other_kind_of_file_is_no_folder_to_write_into(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--out: expected a file that ends in .html, or a folder, got .*card.pdf"):
        card([*reported.arguments, "--out", str(tmp_path / "card.pdf")])
    assert card([*reported.arguments, "--out", str(tmp_path / "card-v1.2")]) == 0
    assert (tmp_path / "card-v1.2" / "model_card.md").is_file()


def test_place_that_cannot_be_written_is_one_line(reported: Reported, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^--out: expected a place that can be written"):
        card([*reported.arguments, "--out", str(tmp_path / "file" / "card.html")])
