"""PROV-JSON is read by another implementation of W3C PROV, says the same afterwards, and what it says is true."""

from __future__ import annotations

import json

import pytest
from prov.model import (
    ProvActivity,
    ProvAgent,
    ProvAssociation,
    ProvAttribution,
    ProvCommunication,
    ProvDerivation,
    ProvDocument,
    ProvEntity,
    ProvGeneration,
    ProvUsage,
)

from lineage.export import prov

KINDS = {
    "entity": ProvEntity,
    "activity": ProvActivity,
    "agent": ProvAgent,
    "used": ProvUsage,
    "wasGeneratedBy": ProvGeneration,
    "wasDerivedFrom": ProvDerivation,
    "wasInformedBy": ProvCommunication,
    "wasAssociatedWith": ProvAssociation,
    "wasAttributedTo": ProvAttribution,
}


@pytest.fixture(scope="module")
def text(small):
    return prov.export(small.everything())


@pytest.fixture(scope="module")
def document(text):
    return ProvDocument.deserialize(content=text, format="json")


def entity(small, name):
    return f"store:artifact-{small.artifacts[name]}"


def activity(small, name):
    return f"store:execution-{small.executions[name]}"


def pairs(document, kind):
    return [tuple(str(value) for _, value in record.formal_attributes[:2]) for record in document.get_records(kind)]


def test_nothing_is_lost_when_another_implementation_reads_it(text, document):
    content = json.loads(text)

    for key, kind in KINDS.items():
        assert len(list(document.get_records(kind))) == len(content[key]), key
    assert len(list(document.get_records())) == sum(len(content[key]) for key in KINDS)
    assert set(content) == {"prefix", *KINDS}


def test_it_is_the_same_after_it_was_read_and_written(text, document):
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")

    assert again == document
    assert "wasGeneratedBy" in document.get_provn()


def test_all_prefixes_are_declared(text):
    content = json.loads(text)
    named = {name.partition(":")[0] for key in ("entity", "activity", "agent") for name in content[key]}
    attributes = {
        name.partition(":")[0]
        for kind, records in content.items()
        if kind != "prefix"
        for one in records.values()
        for name in one
    }

    assert named | attributes <= set(content["prefix"])


def test_every_artifact_is_an_entity_exactly_once(document, small):
    entities = [str(record.identifier) for record in document.get_records(ProvEntity)]

    assert sorted(entities) == sorted(f"store:artifact-{number}" for number in small.artifacts.values())


def test_artifacts_were_generated_once_by_what_made_them(document, small):
    generated = pairs(document, ProvGeneration)

    assert (entity(small, "model"), activity(small, "train")) in generated
    assert len({made for made, _ in generated}) == len(generated)
    idle = {activity(small, name) for name in ("train again", "gen again", "evaluation failed", "push died", "import")}
    assert not idle & {by for _, by in generated}


def test_cached_execution_used_what_it_took_in_the_role_of_a_cache(document, small):
    used = [
        (str(record.args[1]), {str(role) for role in record.get_attribute("prov:role")})
        for record in document.get_records(ProvUsage)
        if str(record.args[0]) == activity(small, "train again")
    ]

    assert sorted(used) == sorted((entity(small, name), {"cached"}) for name in ("model", "model_run"))


def test_derivations_and_communications_follow_what_was_read(document, small):
    derived, informed = pairs(document, ProvDerivation), pairs(document, ProvCommunication)

    assert (entity(small, "model"), entity(small, "examples")) in derived
    assert (entity(small, "pushed"), entity(small, "blessing")) in derived
    assert (entity(small, "model b"), entity(small, "model")) not in derived
    assert (activity(small, "gate"), activity(small, "train")) in informed
    assert (activity(small, "train again"), activity(small, "train")) in informed


def test_activities_are_of_their_pipelines_and_a_push_is_of_its_user_too(document, small):
    associated, user = pairs(document, ProvAssociation), small.everything().pushed_by[small.artifacts["pushed"]]

    assert (activity(small, "train"), "store:pipeline-digits") in associated
    assert (activity(small, "train b"), "store:pipeline-reviews") in associated
    assert (activity(small, "push"), f"store:user-{user}") in associated
    assert (entity(small, "pushed"), f"store:user-{user}") in pairs(document, ProvAttribution)


def test_state_of_an_execution_is_among_its_types_and_only_what_ended_has_an_end(document, small):
    by_name = {str(record.identifier): record for record in document.get_records(ProvActivity)}
    failed, died = by_name[activity(small, "evaluation failed")], by_name[activity(small, "push died")]

    assert "fedtfx:Failed" in {str(kind) for kind in failed.get_asserted_types()} and failed.get_endTime() is not None
    assert "fedtfx:Running" in {str(kind) for kind in died.get_asserted_types()} and died.get_endTime() is None
