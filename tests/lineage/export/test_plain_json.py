"""The graph as JSON is whole and says of each event what it meant."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from lineage.export import plain_json


@pytest.fixture(scope="module")
def content(small):
    return json.loads(plain_json.export(small.everything()))


def test_keys_are_those_that_are_documented(content):
    assert set(content) == {"format", "version", "store", "runs", "executions", "artifacts", "uses"}
    assert (content["format"], content["version"]) == ("fedtfx-lineage", 1)
    assert set(content["artifacts"][0]) == {
        *("id", "type", "uri", "name", "state", "digest", "live", "pushed_by", "created", "properties")
    }
    assert set(content["executions"][0]) == {
        *("id", "type", "node", "pipeline", "run", "state", "created", "updated", "parameters")
    }
    assert set(content["uses"][0]) == {"execution", "artifact", "key", "index", "output", "role", "time"}
    assert set(content["runs"][0]) == {"id", "name", "pipeline", "created", "facts"}


def test_every_artifact_and_execution_is_there_exactly_once(content, small):
    assert [one["id"] for one in content["artifacts"]] == sorted(small.artifacts.values())
    assert [one["id"] for one in content["executions"]] == sorted(small.executions.values())
    assert [one["name"] for one in content["runs"] if one["pipeline"] == "reviews"] == ["20260103-000000.000001"]


def test_uses_name_only_what_is_in_the_text(small):
    content = json.loads(plain_json.export(small.run("20260102-000000.000001")))

    assert {use["artifact"] for use in content["uses"]} == {one["id"] for one in content["artifacts"]}
    assert {use["execution"] for use in content["uses"]} == {one["id"] for one in content["executions"]}
    assert "made" not in {use["role"] for use in content["uses"]}


def test_times_are_in_utc_as_rfc_3339_has_them(content):
    times = [one["created"] for kind in ("runs", "executions", "artifacts") for one in content[kind]]

    assert all(time.endswith("Z") and datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times)
