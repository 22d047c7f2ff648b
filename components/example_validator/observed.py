"""Reads TFDV's statistics of one split: the features that were seen, their counts, and how often a text occurs."""

from __future__ import annotations

from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

_TYPE = statistics_pb2.FeatureNameStatistics


def features(statistics: Any) -> dict[str, Any]:
    """Returns the FeatureNameStatistics of a DatasetFeatureStatisticsList by feature name."""
    return {feature.name or ".".join(feature.path.step): feature for feature in statistics.datasets[0].features}


def examples(statistics: Any) -> int:
    """Returns the number of examples in the split."""
    return int(statistics.datasets[0].num_examples) if statistics.datasets else 0


def counts(feature: Any) -> Any:
    """Returns the CommonStatistics: how many examples have the feature, and how many values."""
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def kind(feature: Any) -> str:
    """Returns `int`, `float`, `text`, or `struct`."""
    return {_TYPE.INT: "int", _TYPE.FLOAT: "float", _TYPE.STRING: "text", _TYPE.BYTES: "text"}.get(feature.type, "struct")


def texts(feature: Any) -> dict[str, int]:
    """Returns how often each text occurs, the most frequent thousand of them (TFDV keeps no more)."""
    return {bucket.label: round(bucket.sample_count) for bucket in feature.string_stats.rank_histogram.buckets}


def at_least(feature: Any) -> str:
    """Returns words to put before a count of texts if there are more than TFDV keeps."""
    return "" if sum(texts(feature).values()) >= counts(feature).tot_num_values else "at least "


def noun(feature: Any) -> str:
    """Returns what a count of values counts: examples, if none has more than one."""
    return "examples" if counts(feature).max_num_values <= 1 else "values"


def not_a_number(feature: Any) -> int:
    """Returns how many float values are NaN."""
    return int(max((histogram.num_nan for histogram in feature.num_stats.histograms), default=0))


def infinite(feature: Any) -> int:
    """Returns how many float values are infinite: TFDV's standard histogram keeps them in buckets of their own."""
    infinities = (float("inf"), float("-inf"))
    standard = statistics_pb2.Histogram.STANDARD
    buckets = [b for histogram in feature.num_stats.histograms if histogram.type == standard for b in histogram.buckets]
    return round(sum(b.sample_count for b in buckets if b.low_value == b.high_value and b.low_value in infinities))
