"""The executor on real statistics of TFDV, a curated schema and a model module."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.types import standard_artifacts

from components.example_validator import StoppingExampleValidator
from components.example_validator.executor import Executor
from errors import DataError

SCHEMA = """
feature { name: "petals" type: INT }
feature { name: "height" type: FLOAT }
feature { name: "kind" type: INT }
feature { name: "colour" type: BYTES domain: "colours" presence { min_fraction: 1.0 min_count: 1 } }
feature { name: "width" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } float_domain { min: 0 max: 9 } }
string_domain { name: "colours" value: "red" value: "white" }
"""
CLEAN = {
    "width": [1.0, 2.5, 9.0],
    "petals": [[1, 2], [3, 4], [5, 6]],
    "colour": ["red", "white", "red"],
    "height": [1.0, 1.5, 2.0],
    "kind": [0, 1, 2],
}


@pytest.fixture
def validate(tmp_path: Path, write_statistics, module_name) -> Callable[..., Path]:
    """Runs the executor on splits given as columns; returns the folder of the anomalies."""

    def run(**splits) -> Path:
        statistics, schema, found = (
            write_statistics(**splits),
            standard_artifacts.Schema(),
            standard_artifacts.ExampleAnomalies(),
        )
        schema.uri, found.uri = str(tmp_path / "schema"), str(tmp_path / "anomalies")
        (tmp_path / "schema").mkdir()
        tfdv.write_schema_text(text_format.Parse(SCHEMA, schema_pb2.Schema()), str(tmp_path / "schema" / "schema.pbtxt"))
        Executor().Do(
            {"statistics": [statistics], "schema": [schema]},
            {"anomalies": [found]},
            {"exclude_splits": "[]", "module": module_name},
        )
        return tmp_path / "anomalies"

    return run


def refused(validate: Callable[..., Path], **splits) -> str:
    """The error's text, which must be one line."""
    with pytest.raises(DataError) as caught:
        validate(**splits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_data_that_fit_the_schema_and_the_model_pass(validate) -> None:
    assert sorted(path.name for path in validate(train=CLEAN, eval=CLEAN).iterdir()) == ["Split-eval", "Split-train"]


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"width": [1.0, 2.0, 10.5]}, "width"),
        ({"colour": ["red", "white", "weed"]}, "colour"),
        ({"depth": [1, 2, 3]}, "depth"),
    ],
    ids=["too large", "unknown value", "new feature"],
)
def test_data_that_do_not_fit_the_schema_stop_the_run_and_name_split_and_feature(change, feature, validate, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="components.example_validator"):
        message = refused(validate, train=CLEAN, eval={**CLEAN, **change})
    assert message.startswith(f"the data do not fit the schema: eval/{feature}: ")
    assert "train/" not in message
    assert message.endswith("say in a curated schema (data.schema) that this is allowed.")
    assert [record for record in caplog.records if f"eval/{feature}" in record.getMessage()]


def test_what_does_not_fit_the_model_comes_first_and_the_schema_adds_nothing_to_the_same_feature(validate) -> None:
    wrong = {**CLEAN, "width": ["a", "b", "NA"], "colour": ["red", "weed", "red"]}
    message = refused(validate, train=CLEAN, eval=wrong)
    assert message.startswith(
        "the data do not fit FEATURES and the schema: eval/width: FEATURES says float32, the data hold text"
    )
    assert message.count("eval/width") == 1
    assert "eval/colour: unexpected string values in 1 of 3 examples" in message


def test_what_fits_the_schema_and_not_the_model_needs_no_word_on_schemas(validate) -> None:
    message = refused(validate, train=CLEAN, eval={**CLEAN, "kind": [0, 1, 3]})
    assert message.startswith(
        "the data do not fit FEATURES: eval/kind: the label reaches from 0 to 3; CLASS_LABELS has 3 names"
    )
    assert "schema" not in message


def test_no_value_of_an_example_gets_to_the_screen_or_the_log(validate, caplog) -> None:
    with caplog.at_level(logging.DEBUG):
        message = refused(validate, train={**CLEAN, "colour": ["alice@x.org", "bob\nx", "red"]}, eval=CLEAN)
    assert "train/colour: unexpected string values in 2 of 3 examples" in message
    assert "alice" not in message + caplog.text
    assert "bob" not in message + caplog.text


def test_a_split_without_examples_stops_the_run(validate) -> None:
    message = refused(validate, train=CLEAN, eval={key: [] for key in CLEAN})
    assert "eval: no examples" in message


def test_three_problems_are_shown_and_the_others_counted(validate) -> None:
    bad = {**CLEAN, "colour": ["weed", "red", "red"], "width": [-1.0, 1.0, 1.0]}
    message = refused(validate, train=bad, eval=bad)
    assert message.count("train/") + message.count("eval/") == 3
    assert "(and 1 more, in the log)" in message


def test_an_edit_of_the_module_is_a_parameter_of_the_node() -> None:
    statistics, schema = (
        types.Channel(type=kind) for kind in (standard_artifacts.ExampleStatistics, standard_artifacts.Schema)
    )
    digests = [
        StoppingExampleValidator(statistics=statistics, schema=schema, module="m", module_digest=digest).exec_properties
        for digest in ("a", "b")
    ]
    assert [(each["module"], each["module_digest"]) for each in digests] == [("m", "a"), ("m", "b")]
    assert len(digests[0]["code_version"]) == 16
    assert StoppingExampleValidator.EXECUTOR_SPEC.executor_class is Executor
