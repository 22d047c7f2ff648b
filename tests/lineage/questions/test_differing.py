"""In what two runs or models differ."""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.questions import differing
from lineage.questions.differing import Differences

STATES = mlmd.Execution.State


def diff(pipelines: Any, a: str, b: str) -> Differences:
    with pipelines.places.opened() as store:
        return differing.of_texts(a, b, store, pipelines.places)


def names(found: Differences, group: str) -> set[str]:
    return {fact.name for fact in found.only_different().groups[group]}


def test_models_of_other_data_differ_in_data_and_in_nothing_else(pipelines: Any) -> None:
    first, second = pipelines.whole("r-1", text="1"), pipelines.whole("r-2", text="2")
    found = diff(pipelines, f"p/{first['version']}", f"p/{second['version']}")
    assert not found.same
    assert names(found, "data") == {"examples.digest", "examples.fingerprint", "schema.digest", "split.digest"}
    assert not any(names(found, group) for group in ("parameters", "code", "environment", "metrics", "decision"))


def test_a_model_is_the_same_as_itself_by_any_name(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    found = diff(pipelines, "p", f"id:{made['model']}")
    assert found.same
    assert all(fact.same for facts in found.groups.values() for fact in facts)
    assert found.groups["parameters"]


def test_metrics_tell_the_difference_and_decisions_their_verdicts(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    good, bad = (pipelines.train("r-1", data["federated_examples"]) for _ in range(2))
    pipelines.judge("r-1", good, data["examples"], accuracy=0.9)
    pipelines.judge("r-1", bad, data["examples"], accuracy=0.6, blessed=False)
    found = diff(pipelines, f"id:{good}", f"id:{bad}")
    (accuracy,) = (fact for fact in found.groups["metrics"] if fact.name == "Accuracy")
    assert (accuracy.a, accuracy.b, round(accuracy.difference, 6)) == (0.9, 0.6, -0.3)
    assert names(found, "decision") == {"verdict", "failed checks", "value"}


def test_parameters_and_code_are_told_by_node(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    inputs = {"federated_examples": [data["federated_examples"]]}
    ids = []
    for rounds, module, run in ((5, "d1", "r-1"), (6, "d2", "r-2")):
        parameters = {
            "settings": f'{{"rounds": {rounds}, "deep": {{"er": {rounds}}}}}',
            "module_digest": module,
            "execution_token": run,
        }
        options = {"facts": {"git_commit": run, "python": "3.10", "version_tfx": run}}
        made = pipelines.put(run, "FederatedTrainer", inputs, {"model": ("Model", {"m": run}, {})}, **parameters, **options)
        ids.append(made["model"])
    pipelines.data("r-2")
    found = diff(pipelines, *(f"id:{one}" for one in ids))
    assert names(found, "parameters") == {"FederatedTrainer.rounds", "FederatedTrainer.deep.er", "config_digest", "seed"}
    assert "FederatedTrainer.module_digest" in names(found, "code")


def test_runs_that_made_no_model_are_told_by_how_far_they_came(pipelines: Any) -> None:
    pipelines.whole("r-1")
    pipelines.put("r-2", "ExampleGen", {}, {}, state=STATES.FAILED)
    found = diff(pipelines, "run:r-1", "run:r-2")
    assert "made no model" in found.b
    assert {fact.name: fact.b for fact in found.groups["decision"]}["ExampleGen"] == "failed"


def test_run_that_took_all_from_the_cache_made_the_same(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    inputs = {"federated_examples": [made["federated_examples"]]}
    pipelines.put("r-2", "FederatedTrainer", inputs, {"model": made["model"]}, state=STATES.CACHED)
    pipelines.judge("r-2", made["model"], made["examples"])
    pipelines.push("r-2", made["model"], made["blessing"])
    assert diff(pipelines, "run:r-1", "run:r-2").same
