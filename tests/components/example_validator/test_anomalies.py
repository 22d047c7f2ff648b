"""What TFDV finds, said without a value of any example."""

from __future__ import annotations

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.example_validator.anomalies import anomalies

SCHEMA = """
feature { name: "e-mail (work)" type: BYTES domain: "mails" }
feature { name: "mail" type: BYTES domain: "mails" presence { min_fraction: 1.0 } }
feature { name: "flag" type: BYTES bool_domain { true_value: "yes" false_value: "no" } }
feature { name: "code" type: BYTES int_domain { min: 0 max: 9 } }
feature { name: "age" type: INT int_domain { min: 18 max: 99 } }
feature { name: "width" type: FLOAT float_domain { min: 0 max: 9 } }
string_domain { name: "mails" value: "ann@x.org" }
"""


@pytest.fixture
def found(statistics_of):
    """Returns the anomalies of columns under SCHEMA, as `feature: reason`."""
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())

    def validate(**columns) -> dict[str, str]:
        statistics = statistics_of(columns)
        proto = tfdv.validate_statistics(statistics, schema)
        lines = anomalies("eval", proto, statistics)
        return {line.feature: line.what for line in lines if line.feature in columns}

    return validate


def test_unexpected_strings_are_counted_and_not_shown(found) -> None:
    shown = found(mail=["ann@x.org", "bob@x.org", "carol@x.org", "bob@x.org"])
    assert shown == {"mail": "unexpected string values in 3 of 4 examples"}
    assert found(**{"e-mail (work)": ["ann@x.org", "bob@x.org"]}) == {
        "e-mail (work)": "unexpected string values in 1 of 2 examples"
    }


@pytest.mark.parametrize(
    ("columns", "secret"),
    [
        ({"flag": ["yes", "perhaps"]}, "perhaps"),
        ({"code": ["7", "4711x"]}, "4711"),
        ({"age": [18, 4711]}, "4711"),
        ({"age": [18, -4711]}, "4711"),
        ({"width": [1.0, 4711.0]}, "4711"),
        ({"mail": ["ann@x.org", "b\n" * 300]}, "b\n"),
    ],
)
def test_no_reason_shows_a_value(columns, secret, found) -> None:
    shown = found(**columns)
    assert shown.keys() == columns.keys()
    for reason in shown.values():
        assert reason
        assert secret not in reason
        assert len(reason) < 100


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"width": ["a", "b"]}, "FLOAT but got STRING"),
        ({"mail": ["ann@x.org", None]}, "minimum fraction = 1.000000, actual = 0.500000"),
        ({"new": [1, 2]}, "column in data but not in schema"),
    ],
)
def test_reasons_that_hold_no_values_are_shown_as_tfdv_says_them(columns, reason, found) -> None:
    (shown,) = found(**columns).values()
    assert reason in shown


def test_a_dataset_without_examples_or_with_too_few_is_told(statistics_of) -> None:
    statistics = statistics_of({"width": [1.0]})
    assert [str(line) for line in anomalies("eval", anomalies_pb2.Anomalies(data_missing=True), statistics)] == [
        "eval: no examples"
    ]
    few = anomalies_pb2.Anomalies()
    few.dataset_anomaly_info.description = "too few examples"
    assert [str(line) for line in anomalies("eval", few, statistics)] == ["eval: too few examples"]
