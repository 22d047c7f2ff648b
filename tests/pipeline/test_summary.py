"""How a result is told to people and to machines."""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
import io
import json
import math
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import PushedModel

from pipeline import execution
from pipeline.decision import Decision
from pipeline.environment import Environment
from pipeline.execution import NodeResult
from pipeline.progress import Progress
from pipeline.summary import Summary, as_text, split_in_a_line, unfinished

NODES = (NodeResult("ExampleGen", "complete", 1.23456, 1), NodeResult("Trainer", "failed", 0.5, 2))


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Environment.local("pipeline_root", "serving models")


def summary(environment: Environment, **changes) -> Summary:
    """A blessed and pushed model's, unless changed."""
    root = environment.root
    facts = {
        "run_id": "1",
        "decision": Decision(True, ("Accuracy is 0.9600; required at least 0.95",)),
        "pushed": {"version": 7, "path": f"{environment.serving_root}/digits/7", "new": True, "live": True, "held_at": None},
        "metrics": {"federated": {"auc": 0.5, "example_count": 369.0}, "baseline": {"auc": 0.75}, "served": None},
        "nodes": NODES,
        "paths": {
            "root": root,
            "metadata": environment.metadata_path,
            "log": f"{root}/logs/1.log",
            "tensorboard": f"{root}/digits/FederatedTrainer/model_run/8",
            "report": None,
            "partition": f"{root}/digits/FederatedSplit/federated_examples/5/partition.svg",
            "decision": f"{root}/digits/DeployGate/decision/9/decision.html",
        },
        "split": "20 clients, 12 to 210 examples (median 61), label divergence 0.21",
    }
    return Summary(**{**facts, **changes})


def refused(environment: Environment) -> Summary:
    return summary(environment, pushed=None, decision=Decision(False, ("Accuracy is 0.9000; required at least 0.95",)))


def test_metrics_of_the_models_stand_side_by_side(environment):
    table = as_text(summary(environment), environment).splitlines()[1:4]
    assert [line.split() for line in table] == [
        ["federated", "baseline"],
        ["auc", "0.5000", "0.7500"],
        ["example_count", "369", "-"],
    ]


def test_pushed_model_is_told_with_version_reason_and_places(environment):
    text = as_text(summary(environment), environment)
    assert "  BLESSED: the federated model is pushed as version 7.\n    Accuracy is 0.9600; required at least 0.95\n" in text
    for name, place in {
        "model": "serving models/digits/7",
        "served from": "serving models",
        "metadata": "pipeline_root/metadata.sqlite",
        "log": "pipeline_root/logs/1.log",
        "TensorBoard": "pipeline_root/digits/FederatedTrainer/model_run/8",
        "decision": "pipeline_root/digits/DeployGate/decision/9/decision.html",
    }.items():
        assert f"\n  {name:<12} {place}\n" in text


def test_split_is_told_in_a_line_with_its_picture(environment):
    picture = "pipeline_root/digits/FederatedSplit/federated_examples/5/partition.svg"
    line = f"  split        20 clients, 12 to 210 examples (median 61), label divergence 0.21; picture in {picture}"
    assert line in as_text(summary(environment), environment).splitlines()
    assert "picture" not in as_text(summary(environment, split=None), environment)


def test_line_on_the_split_is_made_of_what_the_artifact_tells(tmp_path):
    facts = {"num_clients": 1000, "examples_per_client": {"min": 0, "median": 61.5, "max": 2100}, "heterogeneity": {}}
    (tmp_path / "partition.json").write_text(json.dumps(facts))
    assert split_in_a_line(str(tmp_path)) == "1,000 clients, 0 to 2,100 examples (median 61.5)"
    facts["heterogeneity"] = {"label_divergence": 0.2149}
    (tmp_path / "partition.json").write_text(json.dumps(facts))
    assert str(split_in_a_line(str(tmp_path))).endswith("(median 61.5), label divergence 0.21")
    facts["dropped_examples"] = 1200
    (tmp_path / "partition.json").write_text(json.dumps(facts))
    assert str(split_in_a_line(str(tmp_path))).endswith("(median 61.5), 1,200 examples dropped, label divergence 0.21")


@pytest.mark.parametrize("content", [None, "", "{}", "[]"])
def test_artifact_that_tells_nothing_gives_no_line(tmp_path, content):
    if content is not None:
        (tmp_path / "partition.json").write_text(content)
    assert split_in_a_line(str(tmp_path)) is None


def decided(environment: Environment, blessed: bool, **changes) -> str:
    pushed = {} if blessed else {"pushed": None}
    return as_text(summary(environment, decision=Decision(blessed, ("agreed",), **changes), **pushed), environment)


def test_override_is_in_the_headline_and_what_an_approval_did_not_do_is_told(environment):
    override = {"action": "force", "by": "Ada Vogel"}
    assert "  FORCED LIVE: the federated model is pushed as version 7." in decided(environment, True, override=override)
    idle = {"action": "hold", "by": "Ada Vogel", "applied": False, "note": "expired at noon"}
    held = decided(environment, False, override=override, approvals=[idle], digest="ab" * 32)
    assert "  HELD BACK: the federated model does not go live; what is served is untouched." in held
    assert "    not applied: hold by Ada Vogel: expired at noon" in held
    assert "  digest       abababababab (what an approval of this model names)" in held


def test_refusal_of_a_model_that_is_live_already_does_not_sound_as_if_it_were_taken_down(environment):
    assert "REFUSED: the federated model is not pushed; it was live already as version 7, and stays live." in decided(
        environment, False, live=7
    )


def test_model_that_was_live_already_is_not_called_pushed(environment):
    served = {**summary(environment).pushed, "new": False}
    assert "is already served as version 7." in as_text(summary(environment, pushed=served), environment)


def test_push_of_a_model_that_is_held_tells_how_it_goes_live(environment):
    held = {**summary(environment).pushed, "live": False, "held_at": "5"}
    assert (
        "  BLESSED: the federated model is pushed as version 7, but held at 5: `python -m serving promote 7 --root"
        " 'serving models' --model_name digits` serves it, `unpin` every newest version.\n"
    ) in as_text(summary(environment, pushed=held), environment)


def test_refusal_is_told_with_its_reasons(environment):
    text = as_text(refused(environment), environment)
    assert "  REFUSED: the federated model does not go live; what is served is untouched.\n    Accuracy is 0.9000" in text
    assert "serving models/digits" not in text


def test_every_check_is_a_row_of_a_table_below_what_an_override_did(environment):
    texts = {"what": "AUC on all examples", "observed": "0.5000", "required": "at least 0.95"}
    judged = {**texts, "forceable": True}
    checks = (
        {**judged, "verdict": "failed"},
        {**judged, "what": "size", "verdict": "passed"},
        {**texts, "what": "the model's files", "forceable": False, "verdict": "passed"},
    )
    decision = Decision(True, ("forced live by Ada Vogel until tomorrow: agreed",), checks, override={"by": "Ada Vogel"})
    lines = as_text(summary(environment, decision=decision), environment).splitlines()
    at = lines.index("    forced live by Ada Vogel until tomorrow: agreed")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["observed", "required"],
        ["failed", "AUC", "on", "all", "examples", "0.5000", "at", "least", "0.95"],
        ["passed", "size", "0.5000", "at", "least", "0.95"],
    ]
    assert lines[at + 4].startswith("    passed   1 safeguards:")


def test_table_of_checks_fits_a_terminal_and_loses_no_word(environment):
    words = [f"word{number}" for number in range(60)]
    check = {"what": " ".join(words[:30]), "observed": " ".join(words[30:50]), "required": " ".join(words[50:])}
    decision = Decision(False, ("x",), ({**check, "verdict": "failed", "forceable": True},))
    text = as_text(summary(environment, pushed=None, decision=decision), environment)
    assert set(words) <= set(text.split())
    assert max(len(line) for line in text.splitlines() if "word" in line) <= 120


def test_servers_that_answer_with_the_pushed_version_are_named(environment):
    asked = replace(environment, model_servers=("10.0.0.1:8500", "10.0.0.2:8500"))
    lines = as_text(summary(asked), asked).splitlines()
    assert "  answered by  10.0.0.1:8500, 10.0.0.2:8500" in lines
    assert lines[-1].endswith("--model_name digits --server 10.0.0.1:8500 --server 10.0.0.2:8500")
    assert "answered by" not in as_text(refused(asked), asked)


@pytest.mark.parametrize("told", [summary, refused])
def test_next_command_can_be_typed_as_it_stands(environment, told):
    line = as_text(told(environment), environment).splitlines()[-1]
    script, *arguments = shlex.split(line)
    assert Path(script).parent == Path(sys.executable).parent
    assert os.access(script, os.X_OK)
    assert {"serving models/models.config", "pipeline_root/digits/FederatedTrainer/model_run/8"} & set(arguments)


def centralised(environment: Environment, **changes) -> Summary:
    """What the run of a pipeline without federated training tells."""
    metrics = {"federated": None, "baseline": {"auc": 0.75}, "served": {"auc": 0.5}}
    paths = {**summary(environment).paths, "tensorboard": f"{environment.root}/digits/Trainer/model_run/8", "partition": None}
    return summary(environment, mode="centralised", metrics=metrics, paths=paths, split=None, **changes)


def test_centralised_model_under_test_is_called_so(environment):
    lines = as_text(centralised(environment), environment).splitlines()
    assert lines[1].split() == ["centralised", "served"]
    assert "  BLESSED: the centralised model is pushed as version 7." in lines
    lines = as_text(centralised(environment, pushed=None), environment).splitlines()
    assert "  REFUSED: the centralised model does not go live; what is served is untouched." in lines
    assert "  Next: open the decision in a browser, or look at the epochs with" in lines
    assert "federated" not in " ".join(lines).lower()


def test_centralised_model_is_the_baseline_to_machines(environment):
    told = centralised(environment).as_json()
    assert told["metrics"] == {"federated": None, "baseline": {"auc": 0.75}, "served": {"auc": 0.5}}
    assert told.keys() == summary(environment).as_json().keys()


def test_federated_model_that_began_with_the_baseline_is_called_so(environment):
    text = as_text(summary(environment, mode="warm_start"), environment)
    assert "  BLESSED: the warm-started federated model is pushed as version 7.\n" in text
    assert text.splitlines()[1].split() == ["federated", "baseline"]


def test_machines_get_the_documented_layout(environment):
    told = json.loads(json.dumps(summary(environment).as_json()))
    assert told == {
        "run_id": "1",
        "decision": {
            "blessed": True,
            "reasons": ["Accuracy is 0.9600; required at least 0.95"],
            "checks": [],
            "override": None,
            "approvals": [],
        },
        "pushed": {"version": 7, "path": f"{environment.serving_root}/digits/7", "new": True, "live": True, "held_at": None},
        "metrics": {"federated": {"auc": 0.5, "example_count": 369.0}, "baseline": {"auc": 0.75}, "served": None},
        "nodes": [
            {"id": "ExampleGen", "state": "complete", "seconds": 1.235},
            {"id": "Trainer", "state": "failed", "seconds": 0.5},
        ],
        "privacy": None,
        "training": None,
        "paths": dict(summary(environment).paths),
    }
    assert list(told["paths"]) == ["root", "metadata", "log", "tensorboard", "report", "partition", "decision"]


def test_metrics_that_json_cannot_say_are_null(environment):
    told = summary(environment, metrics={"federated": {"loss": math.nan, "perplexity": math.inf, "auc": 0.5}}).as_json()
    assert told["metrics"]["federated"] == {"loss": None, "perplexity": None, "auc": 0.5}


@component
def Publish(pushed_model: OutputArtifact[PushedModel], pushed: Parameter[int]):
    pushed_model.set_int_custom_property("pushed", pushed)
    pushed_model.set_string_custom_property("pushed_version", "7")
    pushed_model.set_string_custom_property("pushed_destination", "/served/digits/7")


def with_pusher(environment: Environment, pushed: int) -> list[NodeResult]:
    """Runs a pipeline that is nothing but a Pusher, in run 1."""
    Path(environment.root).mkdir()
    dag = tfx.dsl.Pipeline(
        pipeline_name="tiny",
        pipeline_root=environment.pipeline_root("tiny"),
        components=[Publish(pushed=pushed).with_id("Pusher")],
        metadata_connection_config=environment.metadata_connection(),
    )
    return execution.run(dag, environment, "1", Progress(io.StringIO()), facts={})


def test_run_that_fails_after_its_push_tells_of_the_push(environment):
    told = unfinished(environment, "1", with_pusher(environment, 1), "1.log", "internal error: boom").as_json()
    assert told["pushed"] == {"version": 7, "path": "/served/digits/7", "new": True, "live": True, "held_at": None}
    assert told["decision"] == {
        "blessed": True,
        "reasons": ["internal error: boom"],
        "checks": [],
        "override": None,
        "approvals": [],
    }


def test_run_that_fails_after_a_refused_push_tells_of_none(environment):
    results = with_pusher(environment, 0)
    assert unfinished(environment, "1", results, "1.log", "boom").pushed is None
    assert unfinished(environment, "2", results, "1.log", "boom").pushed is None  # another run's push


@pytest.mark.slow
def test_unfinished_run_whose_metadata_cannot_be_read_still_tells_its_reason(environment):
    Path(environment.root).mkdir()
    Path(environment.metadata_path).write_bytes(b"no database at all" * 100)
    assert unfinished(environment, "1", NODES, "1.log", "boom").decision == Decision(False, ("boom",))


def test_unfinished_run_has_the_same_layout_and_its_reason(environment):
    told = unfinished(environment, "1", NODES, "1.log", "Trainer failed: boom").as_json()
    assert told.keys() == summary(environment).as_json().keys()
    assert told["paths"].keys() == summary(environment).paths.keys()
    assert told["decision"] == {
        "blessed": False,
        "reasons": ["Trainer failed: boom"],
        "checks": [],
        "override": None,
        "approvals": [],
    }
    assert told["pushed"] is None
    assert told["metrics"] == {"federated": None, "baseline": None, "served": None}
    assert told["nodes"][-1]["state"] == "failed"


PROMISE = {
    "epsilon": 4.0,
    "epsilon_total": 6.5,
    "delta": 1e-4,
    "noise_multiplier": 1.2,
    "privacy_unit": "client level, add/remove one client, delta=1e-4",
    "noise": "secret",
}


def test_epsilon_is_told_with_its_unit_what_came_before_and_what_it_does_not_cover(environment):
    text = as_text(summary(environment, privacy=PROMISE), environment)
    assert (
        "epsilon 4, with all trainings before it on these clients 6.5 (client level, add/remove one client, delta=1e-4)" in text
    )
    assert "It does not cover" in text
    assert "seeded" not in text
    assert "seeded" in as_text(summary(environment, privacy={**PROMISE, "noise": "seeded"}), environment)
    assert "epsilon" not in as_text(summary(environment), environment)


def test_machines_are_told_the_same_and_an_infinite_epsilon_is_null(environment):
    told = summary(environment, privacy={**PROMISE, "epsilon": math.inf}).as_json()["privacy"]
    assert told["epsilon"] is None
    assert told["epsilon_total"] == 6.5
    assert "does not cover" in told["not_covered"]
    assert summary(environment).as_json()["privacy"] is None


def trained(**changes) -> dict:
    return {"rounds": 40, "planned": 40, "exported": "last", "exported_round": 40, **changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"rounds": 12, "exported": "best", "exported_round": 9},
            "stopped early after round 12 of 40; exported round 9 (best)",
        ),
        ({"rounds": 12, "exported_round": 12}, "stopped early after round 12 of 40; exported round 12 (last)"),
        ({"exported": "best", "exported_round": 31}, "40 rounds; exported round 31 (best)"),
        ({"exported": "average"}, "40 rounds; exported the moving average up to round 40"),
    ],
)
def test_early_stop_and_what_is_exported_are_told(environment, changes, told):
    result = summary(environment, training=trained(**changes))
    assert f"  training     {told}" in as_text(result, environment).splitlines()
    assert result.as_json()["training"] == trained(**changes)


def test_training_that_went_as_planned_is_not_worth_a_line_and_machines_are_told_all_the_same(environment):
    result = summary(environment, training=trained())
    assert "  training " not in as_text(result, environment)
    assert result.as_json()["training"] == trained()
    assert summary(environment).as_json()["training"] is None
