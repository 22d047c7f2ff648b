"""What may hold a secret leaves the store as a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import pytest

from lineage.export.formats import FORMATS
from lineage.export.parameters import portable, shown
from tests.lineage.export.conftest import SECRET


def test_settings_are_shown_and_custom_config_is_a_digest(small):
    executions = small.everything().graph.executions
    gen, train = executions[small.executions["gen"]], executions[small.executions["train"]]

    assert shown(train)["settings"] == '{"rounds": 40}'
    assert shown(gen)["seed"] == 42
    digest = hashlib.sha256(str(gen.properties["custom_config"]).encode()).hexdigest()
    assert shown(gen)["custom_config"] == f"sha256:{digest}"


def test_parameter_that_nobody_knows_is_a_digest(small):
    execution = small.everything().graph.executions[small.executions["gen"]]
    given = dataclasses.replace(execution, properties={"api_key": SECRET, "execution_token": SECRET})

    assert not [value for value in shown(given).values() if SECRET in str(value)]


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_tells_a_secret(small, name):
    assert SECRET not in FORMATS[name](small.everything())


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_the_same_at_every_export(small, name):
    assert FORMATS[name](small.everything()) == FORMATS[name](small.everything())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mysql://me:pw@host:3306/db", "mysql://host:3306/db"),
        ('{"a": "https://token@host/x", "b": "gs://bucket/y@z"}', '{"a": "https://host/x", "b": "gs://bucket/y@z"}'),
        ("mail me@example.com", "mail me@example.com"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (0.5, 0.5),
        (3, 3),
    ],
)
def test_values_lose_credentials_and_stay_what_json_can_hold(value, expected):
    assert portable(value) == expected
    json.dumps(portable(value), allow_nan=False)
