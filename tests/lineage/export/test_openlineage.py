"""OpenLineage events hold to OpenLineage's specification, 2-0-2, in three ways.

`SPEC` is written here after the properties and required fields of https://openlineage.io/spec/2-0-2/OpenLineage.json and of the
facets it names; the specification itself is not in this repository. OpenLineage's own Python client (its classes are generated
from the specification, it carries no schema) must build each event of ours and write it as we do. Our own facets hold to
docs/reference/openlineage-facets.schema.json.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import referencing
from openlineage.client import event_v2
from openlineage.client.generated import dataset_version_dataset, datasource_dataset, job_type_job, parent_run
from openlineage.client.generated.base import StaticDataset
from openlineage.client.serde import Serde

from lineage.export import openlineage
from lineage.graph import Graph

OURS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "openlineage-facets.schema.json"
NAMED = {
    "type": "object",
    "properties": {"namespace": {"type": "string", "minLength": 1}, "name": {"type": "string", "minLength": 1}},
    "required": ["namespace", "name"],
}
FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"_producer": {"type": "string", "format": "uri"}, "_schemaURL": {"type": "string", "format": "uri"}},
        "required": ["_producer", "_schemaURL"],
    },
    "properties": {
        "parent": {
            "properties": {"job": NAMED, "run": {"properties": {"runId": {"format": "uuid"}}, "required": ["runId"]}},
            "required": ["job", "run"],
        },
        "version": {"properties": {"datasetVersion": {"type": "string"}}, "required": ["datasetVersion"]},
        "dataSource": {"properties": {"name": {"type": "string"}, "uri": {"type": "string", "format": "uri"}}},
        "jobType": {
            "properties": {"processingType": {"enum": ["BATCH", "STREAMING"]}, "integration": {"type": "string"}},
            "required": ["processingType", "integration"],
        },
    },
}
DATASET = {"allOf": [NAMED], "properties": {"facets": FACETS}}
EVENT = {
    "type": "object",
    "properties": {
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "format": "uri"},
    },
    "required": ["eventTime", "producer", "schemaURL"],
}
RUN = {"type": "object", "properties": {"runId": {"format": "uuid"}, "facets": FACETS}, "required": ["runId"]}
RUN_EVENT = {
    "allOf": [EVENT],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "run": RUN,
        "job": {"allOf": [NAMED], "properties": {"facets": FACETS}},
        "inputs": {"type": "array", "items": DATASET},
        "outputs": {"type": "array", "items": DATASET},
        "schemaURL": {"pattern": "/RunEvent$"},
    },
    "required": ["run", "job"],
}
DATASET_EVENT = {
    "allOf": [EVENT],
    "properties": {"dataset": DATASET, "schemaURL": {"pattern": "/DatasetEvent$"}},
    "required": ["dataset"],
    "not": {"anyOf": [{"required": ["job"]}, {"required": ["run"]}]},
}
SPEC = {"oneOf": [RUN_EVENT, DATASET_EVENT]}

STANDARD = {
    "version": lambda facet: dataset_version_dataset.DatasetVersionDatasetFacet(**facet),
    "dataSource": lambda facet: datasource_dataset.DatasourceDatasetFacet(**facet),
    "jobType": lambda facet: job_type_job.JobTypeJobFacet(**facet),
    "parent": lambda facet: parent_run.ParentRunFacet(
        run=parent_run.Run(**facet["run"]), job=parent_run.Job(**facet["job"]), producer=facet["producer"]
    ),
}


@pytest.fixture(scope="module")
def events(small):
    return [json.loads(line) for line in openlineage.export(small.everything()).splitlines()]


def of(events, small, name):
    return [event for event in events if "run" in event and facet(event)["id"] == small.executions[name]]


def facet(event):
    return event["run"]["facets"]["fedtfx_execution"]


def described(event):
    return [event["dataset"]] if "dataset" in event else event["outputs"]


def facets_of(event):
    sides = [*described(event), *event.get("inputs", ()), *(event[side] for side in ("run", "job") if side in event)]
    return [(name, facet) for side in sides for name, facet in side["facets"].items()]


def test_events_are_as_the_specification_wants_them(events):
    validator = jsonschema.Draft202012Validator(SPEC, format_checker=jsonschema.FormatChecker())

    assert events
    assert not [error.message for event in events for error in validator.iter_errors(event)]


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("eventTime", "2026-01-01 00:00:00"),
        ("eventType", "DONE"),
        ("producer", "not a uri"),
        ("run", {"runId": "12"}),
        ("inputs", [{"name": "x"}]),
    ],
)
def test_what_breaks_the_specification_is_seen_by_these_tests(events, where, wrong):
    validator = jsonschema.Draft202012Validator(SPEC, format_checker=jsonschema.FormatChecker())
    run_event = next(event for event in events if "run" in event)

    assert not validator.is_valid({**run_event, where: wrong})


def built(facets):
    """OpenLineage's classes for its own facets; ours stay as they are."""
    made = {}
    for name, facet in facets.items():
        known = {key: value for key, value in facet.items() if key not in ("_producer", "_schemaURL")}
        made[name] = STANDARD[name]({**known, "producer": facet["_producer"]}) if name in STANDARD else facet
    return made


def dataset(kind, given):
    return kind(namespace=given["namespace"], name=given["name"], facets=built(given["facets"]))


def rebuilt(event):
    about = {"eventTime": event["eventTime"], "producer": event["producer"]}
    if "dataset" in event:
        return event_v2.DatasetEvent(dataset=dataset(StaticDataset, event["dataset"]), **about)
    run, job = event["run"], event["job"]
    return event_v2.RunEvent(
        eventType=event_v2.RunState(event["eventType"]),
        run=event_v2.Run(runId=run["runId"], facets=built(run["facets"])),
        job=event_v2.Job(namespace=job["namespace"], name=job["name"], facets=built(job["facets"])),
        inputs=[dataset(event_v2.InputDataset, one) for one in event["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, one) for one in event["outputs"]],
        **about,
    )


def test_openlineages_own_client_writes_the_same_events(events):
    for event in events:
        written = json.loads(Serde.to_json(rebuilt(event)))
        for one in (*written.get("inputs", ()), *written.get("outputs", ())):
            assert not one.pop("inputFacets", None) and not one.pop("outputFacets", None)
        assert written == event


def test_our_own_facets_are_as_their_schema_says(events):
    schema = json.loads(OURS.read_text(encoding="utf-8"))
    registry = referencing.Registry().with_resource(schema["$id"], referencing.Resource.from_contents(schema))
    own = [(name, facet) for event in events for name, facet in facets_of(event) if name not in STANDARD]

    assert {name for name, _ in own} == {
        *("fedtfx_execution", "fedtfx_artifact", "fedtfx_training", "fedtfx_gate", "fedtfx_push", "fedtfx_facts")
    }
    for _, facet in own:
        jsonschema.Draft202012Validator({"$ref": facet["_schemaURL"]}, registry=registry).validate(facet)


def test_every_artifact_is_described_exactly_once(events, small):
    told = [one["facets"]["fedtfx_artifact"]["id"] for event in events for one in described(event)]

    assert sorted(told) == sorted(small.artifacts.values())


@pytest.mark.parametrize(
    ("execution", "ends"),
    [
        ("train", ["COMPLETE"]),
        ("train again", ["COMPLETE"]),
        ("evaluation failed", ["FAIL"]),
        ("gate stopped", ["ABORT"]),
        ("push died", []),
    ],
)
def test_every_execution_starts_once_and_ends_as_it_ended(events, small, execution, ends):
    mine = of(events, small, execution)

    assert [event["eventType"] for event in mine] == ["START", *ends]
    assert len({event["run"]["runId"] for event in mine}) == 1
    assert [event["eventTime"] for event in mine] == sorted(event["eventTime"] for event in mine)


def test_cached_execution_is_a_run_of_another_job_that_writes_nothing(events, small):
    made, cached = of(events, small, "train")[-1], of(events, small, "train again")

    assert made["job"]["name"] == "Trainer" and {event["job"]["name"] for event in cached} == {"Trainer.cached"}
    assert made["job"]["namespace"] == cached[0]["job"]["namespace"] == "digits"
    assert [one["name"] for one in cached[-1]["inputs"]] == [one["name"] for one in made["outputs"]]
    assert not any(event["outputs"] for event in cached)
    assert facet(cached[-1])["state"] == "cached"


def test_parent_is_the_run_of_the_pipeline(events, small):
    parents = {name: of(events, small, name)[0]["run"]["facets"]["parent"] for name in ("gen", "train", "gen again")}

    assert parents["gen"] == parents["train"] != parents["gen again"]
    assert parents["gen"]["job"] == {"namespace": "digits", "name": "digits"}


def test_dataset_is_named_by_its_path_and_its_version_is_its_digest(events, small):
    examples = of(events, small, "gen")[-1]["outputs"][0]

    assert examples["namespace"] == "file" and examples["name"] == f"{small.places.root}/digits/ExampleGen/examples"
    assert examples["facets"]["dataSource"]["uri"] == f"file://{examples['name']}"
    assert examples["facets"]["version"]["datasetVersion"] == examples["facets"]["fedtfx_artifact"]["digest"]
    assert "version" not in of(events, small, "train")[-1]["outputs"][1]["facets"]  # no digest was recorded


def test_facts_of_training_and_of_the_gate_stand_in_facets_of_their_own(events, small):
    model = of(events, small, "train")[-1]["outputs"][0]["facets"]
    decision = of(events, small, "gate")[-1]["outputs"][1]["facets"]

    assert model["fedtfx_training"]["facts"]["algorithm"] == "fedavg"
    assert model["fedtfx_artifact"]["live"] == small.everything().live[small.artifacts["model"]]
    assert decision["fedtfx_gate"]["facts"]["blessed"] == 1


@pytest.mark.parametrize(
    ("uri", "namespace", "name", "location"),
    [
        ("gs://bucket/a b/1", "gs://bucket", "a b/1", "gs://bucket/a%20b/1"),
        ("s3://key:secret@bucket/a", "s3://bucket", "a", "s3://bucket/a"),
        ("file:///data/x", "file", "/data/x", "file:///data/x"),
        ("/data/\u00fc #1", "file", "/data/\u00fc #1", "file:///data/%C3%BC%20%231"),
        ("relative/x", "file", "relative/x", None),
        ("", "file", "artifact-1", None),
    ],
)
def test_places_are_named_as_openlineage_names_them(small, uri, namespace, name, location):
    artifact = dataclasses.replace(small.everything().graph.artifacts[1], uri=uri)
    scope = dataclasses.replace(small.everything(), graph=Graph({1: artifact}, {}, (), {}))
    (event,) = openlineage.events(scope)

    assert (event["dataset"]["namespace"], event["dataset"]["name"]) == (namespace, name)
    assert event["dataset"]["facets"]["dataSource"].get("uri") == location
    jsonschema.Draft202012Validator(SPEC, format_checker=jsonschema.FormatChecker()).validate(event)
