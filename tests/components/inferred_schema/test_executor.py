"""Schemas inferred from real statistics, with features whose values must not get into them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tfx import types
from tfx.types import standard_artifacts

from components.inferred_schema import InferredSchema
from components.inferred_schema.executor import Executor

PEOPLE = ["alice@x.org", "bob@x.org", "carol@x.org"]


@pytest.fixture
def infer(tmp_path: Path):
    """Returns the inferred schema of a train split, and its text."""

    def run(columns: dict, open_features: list[str]):
        statistics, schema = standard_artifacts.ExampleStatistics(), standard_artifacts.Schema()
        statistics.uri, schema.uri = str(tmp_path / "statistics"), str(tmp_path / "schema")
        statistics.split_names = json.dumps(["train"])
        (tmp_path / "statistics" / "Split-train").mkdir(parents=True)
        (tmp_path / "schema").mkdir()
        proto = tfdv.generate_statistics_from_dataframe(pd.DataFrame(columns), n_jobs=1)
        (tmp_path / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(proto.SerializeToString())
        properties = {"infer_feature_shape": 1, "exclude_splits": "[]", "open_features": json.dumps(open_features)}
        Executor().Do({"statistics": [statistics]}, {"schema": [schema]}, properties)
        file = tmp_path / "schema" / "schema.pbtxt"
        return tfdv.load_schema_text(str(file)), file.read_text()

    return run


def test_values_of_a_client_key_are_not_in_the_schema_and_new_clients_fit_it(infer) -> None:
    schema, text = infer({"client": PEOPLE, "kind": ["rose", "lily", "rose"]}, ["client"])
    assert not [person for person in PEOPLE if person in text]
    assert {feature.name for feature in schema.feature} == {"client", "kind"}
    others = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"client": ["dave@x.org"], "kind": ["rose"]}), n_jobs=1)
    assert not tfdv.validate_statistics(others, schema).anomaly_info


def test_other_features_keep_what_was_inferred(infer) -> None:
    schema, text = infer({"client": PEOPLE, "kind": ["rose", "lily", "rose"]}, ["client"])
    others = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"client": ["alice@x.org"], "kind": ["weed"]}), n_jobs=1)
    assert list(tfdv.validate_statistics(others, schema).anomaly_info) == ["kind"]
    assert "rose" in text


@pytest.mark.parametrize(
    "keys",
    [["yes", "no", "yes"], ["1", "2", "3"], [1, 2, 3], ["north", "south", "north"]],
    ids=["bool", "int", "number", "text"],
)
def test_a_key_of_any_kind_may_have_new_values(keys, infer) -> None:
    schema, _ = infer({"client": keys, "twin": keys}, ["client"])
    other = 9 if isinstance(keys[0], int) else "west"
    others = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"client": [other], "twin": [keys[0]]}), n_jobs=1)
    assert not tfdv.validate_statistics(others, schema).anomaly_info


def test_features_and_our_code_are_parameters_of_the_node() -> None:
    statistics = types.Channel(type=standard_artifacts.ExampleStatistics)
    properties = InferredSchema(statistics=statistics, exclude_splits=["eval"], open_features=["client"]).exec_properties
    assert (properties["open_features"], properties["exclude_splits"]) == ('["client"]', '["eval"]')
    assert len(properties["code_version"]) == 16
