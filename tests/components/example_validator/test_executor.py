"""Real statistics of TFDV against a curated schema."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.types import standard_artifacts

from components.example_validator.component import StoppingExampleValidator
from components.example_validator.executor import Executor, anomalies
from errors import DataError

SCHEMA = """
feature { name: "kind" type: BYTES domain: "kinds" presence { min_fraction: 1.0 min_count: 1 } shape { } }
feature { name: "width" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { } float_domain { min: 0 max: 9 } }
string_domain { name: "kinds" value: "rose" value: "lily" }
"""
CLEAN = {"kind": ["rose", "lily", "rose"], "width": [1.0, 2.5, 9.0]}


@pytest.fixture
def validate(tmp_path: Path) -> Callable[..., str]:
    """Runs the executor on splits given as columns; returns the uri of the anomalies."""

    def run(**splits: dict[str, list[object]]) -> str:
        statistics, schema, found = (
            standard_artifacts.ExampleStatistics(),
            standard_artifacts.Schema(),
            standard_artifacts.ExampleAnomalies(),
        )
        statistics.uri, schema.uri, found.uri = (str(tmp_path / name) for name in ("statistics", "schema", "anomalies"))
        statistics.split_names = json.dumps([*splits])
        for split, columns in splits.items():
            folder = tmp_path / "statistics" / f"Split-{split}"
            folder.mkdir(parents=True)
            proto = tfdv.generate_statistics_from_dataframe(pd.DataFrame(columns), n_jobs=1)
            (folder / "FeatureStats.pb").write_bytes(proto.SerializeToString())
        (tmp_path / "schema").mkdir()
        tfdv.write_schema_text(text_format.Parse(SCHEMA, schema_pb2.Schema()), str(tmp_path / "schema" / "schema.pbtxt"))
        Executor().Do({"statistics": [statistics], "schema": [schema]}, {"anomalies": [found]}, {"exclude_splits": "[]"})
        return found.uri

    return run


def refused(validate: Callable[..., str], **splits: dict[str, list[object]]) -> str:
    """The error's text, which must be one line."""
    with pytest.raises(DataError) as caught:
        validate(**splits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_data_that_fit_the_schema_pass(validate) -> None:
    assert list(anomalies(validate(train=CLEAN, eval=CLEAN))) == []


@pytest.mark.parametrize(
    ("columns", "feature"),
    [
        ({"kind": CLEAN["kind"]}, "width"),
        ({**CLEAN, "width": ["a", "b", "c"]}, "width"),
        ({**CLEAN, "width": [1.0, 2.0, 10.5]}, "width"),
        ({**CLEAN, "width": [1.0, 2.0, None]}, "width"),
        ({**CLEAN, "kind": ["rose", "lily", "weed"]}, "kind"),
        ({**CLEAN, "height": [1, 2, 3]}, "height"),
    ],
    ids=["missing feature", "wrong type", "too large", "missing value", "unknown value", "new feature"],
)
def test_data_that_do_not_fit_stop_the_run_and_name_split_and_feature(columns, feature, validate, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="components.example_validator"):
        message = refused(validate, train=CLEAN, eval=columns)
    assert message.startswith(f"the data do not fit the schema: eval/{feature}: ")
    assert "train/" not in message
    assert message.endswith("say in a curated schema (data.schema) that this is allowed.")
    assert [record for record in caplog.records if f"anomaly: eval/{feature}" in record.getMessage()]


def test_a_value_that_the_schema_does_not_know_is_shown(validate) -> None:
    assert "weed" in refused(validate, train={**CLEAN, "kind": ["rose", "lily", "weed"]})


def test_many_values_of_several_lines_make_one_short_line(validate) -> None:
    message = refused(validate, train={"kind": [f"weed\n{number}" for number in range(500)], "width": [1.0] * 500})
    assert "weed" in message
    assert len(message) < 600


def test_a_split_without_examples_stops_the_run(validate) -> None:
    message = refused(validate, train=CLEAN, eval={"kind": [], "width": []})
    assert "eval: no examples" in message


def test_three_anomalies_are_shown_and_the_others_counted(validate) -> None:
    bad = {"kind": ["weed", "rose", "lily"], "width": [-1.0, 1.0, 1.0]}
    message = refused(validate, train=bad, eval=bad)
    assert message.count("train/") + message.count("eval/") == 3
    assert "(and 1 more, in the log)" in message


def test_an_anomaly_of_the_whole_dataset_is_told_as_well(tmp_path) -> None:
    found = anomalies_pb2.Anomalies()
    found.dataset_anomaly_info.description = "too few examples"
    (tmp_path / "Split-eval").mkdir()
    (tmp_path / "Split-eval" / "SchemaDiff.pb").write_bytes(found.SerializeToString())
    assert list(anomalies(str(tmp_path))) == ["eval: too few examples"]


def test_the_component_is_the_stock_one_with_this_executor() -> None:
    assert StoppingExampleValidator.EXECUTOR_SPEC.executor_class is Executor
