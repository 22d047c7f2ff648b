"""Where a model came from, in a store with the traps that TFX leaves in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.questions import differing, facts, origin, story
from lineage.questions.origin import Origin

STATES = mlmd.Execution.State


def show(pipelines: Any, text: str) -> Origin:
    with pipelines.places.opened() as store:
        return origin.of_text(text, store, pipelines.places)


def test_show_and_diff_tell_that_clients_were_left_out(pipelines: Any) -> None:
    pipelines.whole("r-1")
    before = pipelines.data("r-2", text="2")
    told = json.dumps({"count": 1, "digest": "11", "features": ["user"], "pipeline": "p", "root": "/r"})
    counted = {"forgotten": 1, "num_examples_train": 80}
    made = pipelines.put("r-2", "ExampleGen", {}, {"examples": ("Examples", {"data": "3"}, counted)}, input_base="/d")
    split = ("components.FederatedExamples", {"partition.json": "3"}, {"clients": 3, "strategy": "by_key"})
    examples = {"examples": [made["examples"]]}
    made |= pipelines.put("r-2", "FederatedSplit", examples, {"federated_examples": split}, strategy="by_key", forgotten=told)
    model = pipelines.train("r-2", made["federated_examples"])
    pipelines.judge("r-2", model, before["examples"])
    found = show(pipelines, f"id:{model}")
    assert found.split is not None and (found.split.left_out, [data.left_out for data in found.data]) == (1, [1])
    assert "\n".join(story.lines(found, 160)).count("1 forgotten client") == 2
    with pipelines.places.opened() as store:
        groups = differing.of_texts("p", f"id:{model}", store, pipelines.places).groups
    assert {fact.name: fact.b for fact in groups["data"]}["split.left_out"] == 1
    assert {fact.name: fact.b for fact in groups["parameters"]}["FederatedSplit.forgotten.count"] == 1


def test_every_fact_from_the_served_version_to_the_source_is_told(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    found = show(pipelines, "p")
    assert (found.served.number, found.model.id, found.pipeline) == (made["version"], made["model"], "p")
    assert [push.version for push in found.pushes] == [str(made["version"])]
    assert (found.decision.blessed, found.decision.file, len(found.decision.checks)) == (True, facts.AS_PUBLISHED, 1)
    assert found.evaluations[0].metrics == {"candidate": {"Accuracy": 0.9}}
    assert (found.training.algorithm, found.training.rounds, found.training.planned) == ("fedavg", 5, 5)
    assert (found.training.module, found.training.module_digest, found.training.sampling_digest) == ("examples.m", "d1", "5a")
    assert found.training.in_effect == {"algorithm": "fedavg", "clients_per_round": 2, "nested.on": True, "rounds": 5}
    assert (found.split.strategy, found.split.parameters["key"], found.split.seed) == ("by_key", "user", 7)
    assert (found.schema.inferred, found.validation.no_anomalies) == (True, {"eval": True, "train": True})
    assert [(data.source, data.fingerprint, data.span) for data in found.data] == [(str(pipelines.source), "f1", 3)]
    assert found.data[0].counts == {"eval": 10, "train": 90}
    assert found.trained_by.facts["git_commit"] == "abc123"
    assert found.trained_by == found.pushed_by
    assert found.gone == ()
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["model"]["digest"] == found.model.digest


def test_cached_training_is_told_of_the_run_that_trained_and_of_that_which_pushed(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    model = pipelines.train("r-1", data["federated_examples"])
    pipelines.cached("r-2", data)
    pipelines.put(
        "r-2", "FederatedTrainer", {"federated_examples": [data["federated_examples"]]}, {"model": model}, state=STATES.CACHED
    )
    pipelines.push("r-2", model, pipelines.judge("r-2", model, data["examples"]))
    found = show(pipelines, "p")
    assert (found.trained_by.name, found.pushed_by.name) == ("r-1", "r-2")
    assert found.model.run == "r-1"


def test_data_from_the_cache_is_told_of_the_run_that_made_it(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    pipelines.cached("r-2", data)
    model = pipelines.train("r-2", data["federated_examples"])
    found = show(pipelines, f"id:{model}")
    assert found.trained_by.name == "r-2"
    assert {found.schema.record.run, found.data[0].record.run, found.split.record.run} == {"r-1"}


def test_failed_and_dead_executions_made_nothing(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    inputs = {"federated_examples": [data["federated_examples"]]}
    pipelines.put("r-1", "FederatedTrainer", inputs, {}, state=STATES.FAILED)
    model = pipelines.train("r-2", data["federated_examples"])
    pipelines.put("r-3", "FederatedTrainer", inputs, {"model": model}, state=STATES.RUNNING)
    pipelines.put("r-3", "FederatedTrainer", inputs, {"model": model}, state=STATES.FAILED)
    found = show(pipelines, f"id:{model}")
    assert (found.model.run, found.decision, found.pushes) == ("r-2", None, ())


def test_what_a_model_was_compared_with_is_no_origin_of_it(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="first")
    second = pipelines.whole("r-2", served=first["model"], text="second")
    found = show(pipelines, "p")
    assert found.model.id == second["model"]
    assert first["examples"] not in [one.id for one in found.things]
    assert found.evaluations[0].compared_with == first["model"]
    assert [push.record.run for push in show(pipelines, f"p/{first['version']}").pushes] == ["r-1"]
    assert show(pipelines, f"p/{first['version']}").decision.record.run == "r-1"


def test_warm_start_is_followed_to_the_data_of_all_models_before(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="first")
    second = pipelines.whole("r-2", base=first["model"], text="second")
    third = pipelines.whole("r-3", base=second["model"], text="third")
    found = show(pipelines, "p")
    assert found.training.base.id == second["model"]
    assert [one.training.model.id for one in found.ancestors] == [second["model"], first["model"]]
    assert [one.data[0].fingerprint for one in found.ancestors] == ["fsecond", "ffirst"]
    assert [one.fingerprint for one in found.data] == ["fthird"]
    assert found.model.id == third["model"]


def test_directories_that_are_gone_are_named_and_their_facts_told_from_ml_metadata(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    decision = next(one.id for one in show(pipelines, "p").things if one.type == "components.GateDecision")
    for artifact in (made["examples"], made["model"], decision):
        pipelines.remove(artifact)
    found = show(pipelines, "p")
    assert {one.id for one in found.gone} == {made["examples"], made["model"], decision}
    assert (found.decision.file, found.decision.blessed, found.decision.checks) == (facts.GONE, True, ())
    assert found.data[0].fingerprint == "f1"


def test_directory_that_gc_removed_is_told_apart(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    pipelines.remove(made["examples"])
    artifact = pipelines.writer.store.get_artifacts_by_id([made["examples"]])[0]
    artifact.state = mlmd.Artifact.DELETED
    pipelines.writer.store.put_artifacts([artifact])
    assert [one.deleted for one in show(pipelines, "p").gone] == [True]


def test_altered_decision_and_findings_are_said_to_be_and_not_believed(pipelines: Any) -> None:
    pipelines.whole("r-1")
    file = Path(pipelines.decision_uri, "decision.json")
    file.write_text(file.read_text(encoding="utf-8").replace("0.9", "1.0"), encoding="utf-8")
    scores = next(pipelines.root.rglob("summary.json"))
    scores.write_text(scores.read_text(encoding="utf-8").replace("0.9", "1.0"), encoding="utf-8")
    found = show(pipelines, "p")
    assert (found.decision.file, found.decision.checks) == (facts.ALTERED, ())
    altered = [one for one in found.evaluations if one.record.type == "components.PairedScores"]
    assert [(one.file, one.metrics) for one in altered] == [(facts.ALTERED, {})]


def test_a_runs_own_decision_is_told_when_the_run_is_named(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    pipelines.judge("r-2", made["model"], made["examples"], blessed=False)
    assert show(pipelines, "p").decision.blessed is True
    found = show(pipelines, "run:r-2")
    assert (found.decision.blessed, found.decision.failed_checks) == (False, ("value",))


def test_epsilon_and_its_unit_are_told(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    promised = {"epsilon": 2.5, "delta": 1e-5, "privacy_unit": "client", "epsilon_total": 3.0}
    model = pipelines.train("r-1", data["federated_examples"], **promised)
    assert dict(show(pipelines, f"id:{model}").training.privacy) == promised


def test_version_that_nobody_here_pushed_has_no_origin(pipelines: Any) -> None:
    pipelines.whole("r-1")
    (pipelines.serving / "q" / "5").mkdir(parents=True)
    (pipelines.serving / "q" / "5" / "saved_model.pb").write_text("who knows", encoding="utf-8")
    found = show(pipelines, "q")
    assert (found.model, found.served.name, found.training) == (None, "q/5", None)


def test_stock_pipeline_without_our_properties_is_told_as_far_as_it_goes(
    store_writer: Any, pipelines: Any, tmp_path: Path
) -> None:
    def put(node: str, inputs: Any, outputs: Any, **properties: Any) -> dict[str, int]:
        _, made = store_writer.execute("stock", "2026-01-01T00:00:00", node, inputs, outputs, **properties)
        return {key: ids[0] for key, ids in made.items()}

    new = store_writer.artifact
    examples = put("CsvExampleGen", {}, {"examples": [new("Examples", "gs://b/e/1")]}, input_base="/data/csv")["examples"]
    schema = put("SchemaGen", {}, {"schema": [new("Schema", "gs://b/s/1")]})["schema"]
    graph = put(
        "Transform", {"examples": [examples], "schema": [schema]}, {"transform_graph": [new("TransformGraph", "gs://b/t")]}
    )
    inputs = {"examples": [examples], "transform_graph": [graph["transform_graph"]], "schema": [schema]}
    model = put(
        "Trainer", inputs, {"model": [new("Model", "gs://b/m/1")]}, module_file="gs://b/module.py", custom_config="null"
    )
    evaluated = {"evaluation": [new("ModelEvaluation", "gs://b/v")], "blessing": [new("ModelBlessing", "gs://b/b", blessed=1)]}
    blessing = put("Evaluator", {"model": [model["model"]], "examples": [examples]}, evaluated)["blessing"]
    destination = {"pushed": 1, "pushed_destination": "/serving/taxi/1700000000", "pushed_version": "1700000000"}
    pushed = {"pushed_model": [new("PushedModel", "gs://b/p", **destination)]}
    number = put("Pusher", {"model": [model["model"]], "model_blessing": [blessing]}, pushed)["pushed_model"]

    for name in (f"id:{model['model']}", f"id:{number}", "1700000000", "taxi/1700000000", "run:2026-01-01T00:00:00"):
        found = show(pipelines, name)
        assert found.model.id == model["model"]
    assert (found.training.module, found.training.rounds, found.model.there) == ("gs://b/module.py", None, None)
    assert (found.decision.blessed, found.schema.record.id, found.data[0].source) == (True, schema, "/data/csv")
    assert found.trained_by.facts == {}
    assert found.gone == ()


def test_curated_schema_is_found_though_it_is_made_of_nothing(pipelines: Any) -> None:
    data = pipelines.put("r-1", "ExampleGen", {}, {"examples": ("Examples", {"d": "1"}, {})})
    schema = pipelines.put("r-1", "CuratedSchema", {}, {"schema": ("Schema", {"schema.pbtxt": "s"}, {})})["schema"]
    told = ("components.FederatedExamples", {"x": "1"}, {})
    split = pipelines.put("r-1", "FederatedSplit", {"examples": [data["examples"]]}, {"federated_examples": told})
    model = pipelines.train("r-1", split["federated_examples"])
    found = show(pipelines, f"id:{model}")
    assert (found.schema.record.id, found.schema.inferred) == (schema, False)
