"""TFDV's anomalies in words that hold no value of an example.

TFDV's own descriptions list values: `Examples contain values missing from the schema: alice@example.org (~50%)`. What is in the
data may be about people, and messages end on screens, in logs and in files for machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.example_validator import observed

_REASON = anomalies_pb2.AnomalyInfo
# Kinds of anomalies whose descriptions hold types, counts and names of features only.
_WITHOUT_VALUES = ("FEATURE_TYPE_", "SCHEMA_", "UNEXPECTED_DATA_TYPE", "INVALID_FEATURE_SHAPE", "DATASET_", "COMPARATOR_")


@dataclass(frozen=True)
class Anomaly:
    """What the schema has against a split; `feature` is None if it is about the split as a whole."""

    split: str
    feature: str | None
    what: str

    def __str__(self) -> str:
        place = self.split if self.feature is None else f"{self.split}/{self.feature}"
        return f"{place}: {self.what}"


def anomalies(split: str, found: anomalies_pb2.Anomalies, statistics: Any) -> Iterator[Anomaly]:
    """Yields what TFDV found in a split, features by name.

    Args:
      split: its name.
      found: what validate_statistics returned, which holds the schema as its baseline.
      statistics: the DatasetFeatureStatisticsList that was validated.
    """
    if found.data_missing:
        yield Anomaly(split, None, "no examples")
    if found.HasField("dataset_anomaly_info"):
        yield Anomaly(split, None, found.dataset_anomaly_info.description)
    for name, info in sorted(found.anomaly_info.items()):
        name = ".".join(info.path.step) or name  # the key quotes a name that is no identifier
        reasons = {_reason(reason, name, found.baseline, statistics): None for reason in info.reason}
        yield Anomaly(split, name, ", ".join(reasons))


def _reason(reason: Any, name: str, schema: schema_pb2.Schema, statistics: Any) -> str:
    kind = _REASON.Type.Name(reason.type)
    if kind.startswith(_WITHOUT_VALUES):
        return str(reason.description).strip().rstrip(".")
    short = str(reason.short_description)
    short = short[:1].lower() + short[1:]
    if reason.type == _REASON.ENUM_TYPE_UNEXPECTED_STRING_VALUES:
        return f"{short} in {_unknown(name, schema, statistics)}"
    return short


def _unknown(name: str, schema: schema_pb2.Schema, statistics: Any) -> str:
    """`3 of 67 examples`: how often a text is none that the schema lists."""
    feature = observed.features(statistics)[name]
    known = _domain(name, schema)
    count = sum(times for text, times in observed.texts(feature).items() if text not in known)
    return f"{observed.at_least(feature)}{count} of {observed.counts(feature).tot_num_values} {observed.noun(feature)}"


def _domain(name: str, schema: schema_pb2.Schema) -> set[str]:
    feature = next(feature for feature in schema.feature if feature.name == name)
    if feature.HasField("string_domain"):
        return {*feature.string_domain.value}
    return {value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value}
