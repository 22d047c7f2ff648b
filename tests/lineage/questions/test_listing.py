"""Lists of runs and models."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.questions import listing, runs

STATES = mlmd.Execution.State


def run_lines(pipelines: Any, **asked: Any) -> dict[str, runs.RunLine]:
    with pipelines.places.opened() as store:
        return {line.run: line for line in listing.run_lines(store, pipelines.places, **asked)}


def model_lines(pipelines: Any, **asked: Any) -> list[listing.ModelLine]:
    with pipelines.places.opened() as store:
        return listing.model_lines(store, pipelines.places, **asked)


def test_a_run_tells_state_decision_push_and_metric(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    line = run_lines(pipelines)["r-1"]
    assert (line.state, line.decision, line.model) == ("complete", "blessed", made["model"])
    assert (line.pushed, line.copied) == (f"p/{made['version']}", True)
    assert (line.metric, line.value, line.pipeline) == ("Accuracy", 0.9, "p")


def test_model_keeps_its_metric_when_only_the_report_on_it_is_left(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    rows = [{"metric": "Accuracy", "models": {"candidate": {"value": 0.75}}}]
    content = {"facts.json": json.dumps({"metrics": {"rows": rows, "examples": 10}})}
    report = ("components.RunReport", content, {"model_id": made["model"]})
    pipelines.put("r-1", "RunReport", {"federated_model": [made["model"]]}, {"report": report})
    scores = pipelines.writer.store.get_artifacts_by_type("components.PairedScores")[0]
    pipelines.remove(scores.id)
    line, run = model_lines(pipelines)[0], run_lines(pipelines)["r-1"]
    assert (line.metric, line.value) == (run.metric, run.value) == ("Accuracy", 0.75)


def test_states_of_runs_are_told_apart(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    model = pipelines.train("r-1", data["federated_examples"])
    inputs = {"federated_examples": [data["federated_examples"]]}
    pipelines.put("r-2", "FederatedTrainer", inputs, {"model": model}, state=STATES.CACHED)
    pipelines.judge("r-2", model, data["examples"])
    for run, state in (("r-3", STATES.FAILED), ("r-4", STATES.CANCELED), ("r-5", STATES.RUNNING), ("r-6", STATES.NEW)):
        pipelines.put(run, "FederatedTrainer", inputs, {}, state=state)
    pipelines.writer.context("pipeline_run", "r-7")
    found = run_lines(pipelines)
    assert list(found) == [f"r-{number}" for number in (7, 6, 5, 4, 3, 2, 1)]
    states = {name: line.state for name, line in found.items()}
    assert states == {
        "r-1": "complete",
        "r-2": "cached",
        "r-3": "failed",
        "r-4": "canceled",
        "r-5": "dead",
        "r-6": "running",
        "r-7": "empty",
    }
    assert found["r-3"].stopped_at == ("FederatedTrainer",)
    assert list(run_lines(pipelines, state="failed")) == ["r-3"]


def test_last_run_is_dead_if_the_process_that_held_the_root_is_gone(pipelines: Any) -> None:
    pipelines.put("r-1", "ExampleGen", {}, {}, state=STATES.RUNNING)
    lock = pipelines.root / ".lock"
    lock.write_text(f"process {os.getpid()}, since 2026-01-01 00:00:00", encoding="utf-8")
    assert run_lines(pipelines)["r-1"].state == "running"
    lock.write_text("process 999999999, since 2026-01-01 00:00:00", encoding="utf-8")
    assert run_lines(pipelines)["r-1"].state == "dead"


def test_later_run_of_another_pipeline_does_not_make_a_run_dead(pipelines: Any) -> None:
    pipelines.put("r-1", "ExampleGen", {}, {}, state=STATES.RUNNING)
    pipelines.put("r-2", "ExampleGen", {}, {}, pipeline="q")
    assert run_lines(pipelines)["r-1"].state == "running"
    assert list(run_lines(pipelines, pipeline="q")) == ["r-2"]


def test_models_tell_versions_decision_and_training_run(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    second = pipelines.whole("r-2", text="2")
    lines = {line.id: line for line in model_lines(pipelines)}
    assert list(lines) == [second["model"], first["model"]]
    assert [lines[made["model"]].live for made in (first, second)] == [False, True]
    assert [version.number for version in lines[first["model"]].versions] == [first["version"]]
    assert lines[second["model"]].run == "r-2"
    assert [line.id for line in model_lines(pipelines, live=True)] == [second["model"]]
    assert [line.id for line in model_lines(pipelines, limit=1)] == [second["model"]]


def test_refused_model_is_listed_without_a_version(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    model = pipelines.train("r-1", data["federated_examples"])
    pipelines.judge("r-1", model, data["examples"], blessed=False)
    (line,) = model_lines(pipelines, state="refused")
    assert (line.id, line.versions, line.decision) == (model, (), "refused")
    assert model_lines(pipelines, state="blessed") == []


def test_approval_that_forced_a_model_is_told(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    model = pipelines.train("r-1", data["federated_examples"])
    told = ("components.GateDecision", {}, {"blessed": 1, "model_id": model, "override": "force"})
    pipelines.put("r-1", "DeployGate", {"model": [model]}, {"decision": told})
    assert [line.decision for line in model_lines(pipelines)] == ["forced"]
    assert run_lines(pipelines)["r-1"].decision == "forced"


def test_model_that_others_are_only_measured_beside_is_not_listed(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    baseline = pipelines.train("r-1", data["federated_examples"])
    model = pipelines.train("r-1", data["federated_examples"])
    inputs = {"model": [model], "baseline": [baseline]}
    pipelines.put("r-1", "PairedEvaluator", inputs, {"paired_scores": ("components.PairedScores", {}, {"model_id": model})})
    assert [line.id for line in model_lines(pipelines)] == [model]


def test_version_put_there_by_hand_is_listed(pipelines: Any) -> None:
    pipelines.whole("r-1")
    (pipelines.serving / "q" / "5").mkdir(parents=True)
    (pipelines.serving / "q" / "5" / "saved_model.pb").write_text("who knows", encoding="utf-8")
    unknown = [line for line in model_lines(pipelines) if line.id is None]
    assert [(line.name, line.live, line.versions[0].how) for line in unknown] == [("q", True, "by hand")]


def test_lists_need_no_directory(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    shutil.rmtree(pipelines.serving)
    shutil.rmtree(pipelines.root / "p")
    (line,) = model_lines(pipelines)
    assert (line.id, line.metric, line.value) == (made["model"], "train_accuracy", 0.9)
    assert run_lines(pipelines)["r-1"].pushed == f"p/{made['version']}"
