"""`python -m lineage card` of a version is the card of the run that pushed it, though a later run judged the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.card_command import card
from lineage.digests import tree_digest
from serving import layout


class Judged:
    """r-1 blessed, pushed and reported on a model; r-2 took it from the cache, refused it and reported on that."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self.writer, self.folder = writer, folder
        export = folder / "m" / "Format-Serving"
        export.mkdir(parents=True)
        (export / "saved_model.pb").write_text("weights")
        model = writer.artifact("Model", str(folder / "m"), algorithm="fedavg")
        _, made = writer.execute("p", "r-1", "FederatedTrainer", {}, {"model": [model]})
        self.model = made["model"][0]
        self.published = layout.publish(export, folder / "models" / "p")
        self._judged("r-1", blessed=True)
        writer.execute("p", "r-2", "FederatedTrainer", {}, {"model": [self.model]}, state=mlmd.Execution.State.CACHED)
        self._judged("r-2", blessed=False)
        self.places = ["--pipeline-root", str(folder), "--serving-root", str(folder / "models")]

    def _judged(self, run: str, *, blessed: bool) -> None:
        decision = self.folder / run / "decision"
        verdict = {"blessed": int(blessed), "model_id": self.model, "failed_checks": "" if blessed else "value"}
        decided = self.writer.artifact("components.GateDecision", str(decision), **verdict)
        self.writer.execute("p", run, "DeployGate", {"model": [self.model]}, {"decision": [decided]})
        told = {"pushed": int(blessed), "model_id": self.model}
        if blessed:
            told |= {"live": 1, "pushed_version": str(self.published.version), "digest": self.published.digest}
            told |= {"pushed_destination": self.published.path, "decision_uri": str(decision)}
        pushed = self.writer.artifact("PushedModel", str(self.folder / run / "pushed"), **told)
        self.writer.execute("p", run, "Pusher", {"model": [self.model]}, {"pushed_model": [pushed]})
        report = self.folder / run / "report"
        report.mkdir(parents=True)
        for name in ("model_card.html", "model_card.md", "facts.json"):
            (report / name).write_text(json.dumps({"made by": run}))
        facts = {"model_id": self.model, "digest": tree_digest(report)}
        reported = self.writer.artifact("components.RunReport", str(report), **facts)
        self.writer.execute("p", run, "RunReport", {"federated_model": [self.model]}, {"report": [reported]})

    def card(self, text: str, *more: str) -> Path:
        out = self.folder / "out"
        assert (
            card([text.format(model=self.model, version=self.published.version), "--out", str(out), *self.places, *more]) == 0
        )
        return out


@pytest.fixture
def judged(store_writer: Any, tmp_path: Path) -> Judged:
    return Judged(store_writer, tmp_path)


@pytest.mark.parametrize("text", ["p", "p/{version}", "id:{model}"])
def test_card_of_a_live_version_is_of_the_run_that_pushed_it_and_the_later_one_is_told(
    judged: Judged, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = judged.card(text)
    assert json.loads((out / "facts.json").read_text()) == {"made by": "r-1"}
    told = capsys.readouterr().out
    assert "judged again  refused by run r-2" in told and "failed value" in told and "card run:r-2" in told


def test_card_of_the_later_run_is_its_own_and_tells_by_what_the_model_was_pushed(
    judged: Judged, capsys: pytest.CaptureFixture[str]
) -> None:
    out = judged.card("run:r-2")
    assert json.loads((out / "facts.json").read_text()) == {"made by": "r-2"}
    assert "judged before  blessed by run r-1" in capsys.readouterr().out


def test_card_for_machines_is_the_one_of_the_push_and_the_note_is_beside_it(
    judged: Judged, capsys: pytest.CaptureFixture[str]
) -> None:
    assert card(["p", "--json", *judged.places]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"made by": "r-1"}
    assert "judged again  refused by run r-2" in printed.err


def test_card_that_is_made_anew_is_of_the_push_and_tells_of_the_later_decision(judged: Judged) -> None:
    out = judged.card("p", "--anew")
    model = json.loads((out / "facts.json").read_text())["model"]
    assert (model["run"], model["pushed"], model["version"]) == ("r-1", True, str(judged.published.version))
    assert [(one["run"], one["decision"], one["failed_checks"]) for one in model["judged_again"]] == [
        ("r-2", "refused", ["value"])
    ]
    for page in ("model_card.html", "model_card.md"):
        text = (out / page).read_text(encoding="utf-8")
        assert "Judged again: refused by run r-2" in text and "failed value" in text
