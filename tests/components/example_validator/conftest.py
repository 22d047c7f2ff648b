"""Real statistics of TFDV from columns, and a model module that is trained on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tfx.types import standard_artifacts

MODULE = """
import tensorflow as tf

LABEL_KEY = "kind"
FEATURES = {
    "width": tf.io.FixedLenFeature([], tf.float32),
    "petals": tf.io.FixedLenFeature([2], tf.int64),
    "colour": tf.io.FixedLenFeature([], tf.string),
    "height": tf.io.FixedLenFeature([], tf.float32, default_value=0.0),
    LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
}
CLASS_LABELS = ["rose", "lily", "iris"]
preprocess = build_model = build_loss = build_metrics = postprocess = run_fn = lambda *arguments: {}
"""
# A value is a number, a text, or a list of them; None is an example that has no such feature.
Columns = Mapping[str, Sequence[Any]]


def _column(values: Sequence[Any]) -> pa.Array:
    lists = [value if value is None or isinstance(value, list) else [value] for value in values]
    flat = [value for one in lists for value in one or []]
    if not flat:
        return pa.nulls(len(lists))
    kinds = {int: pa.int64(), float: pa.float32(), str: pa.binary()}
    return pa.array([one and [_encoded(v) for v in one] for one in lists], pa.large_list(kinds[type(flat[0])]))


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else np.float32(value) if isinstance(value, float) else value


@pytest.fixture(scope="session")
def statistics_of() -> Callable[[Columns], Any]:
    """Returns what StatisticsGen computes of a split."""

    def make(columns: Columns) -> Any:
        batch = pa.RecordBatch.from_arrays([_column(values) for values in columns.values()], [*columns])
        return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())

    return make


@pytest.fixture
def write_statistics(tmp_path: Path, statistics_of: Callable[[Columns], Any]) -> Callable[..., Any]:
    """Writes splits as StatisticsGen does and returns the artifact."""

    def write(**splits: Columns) -> Any:
        artifact = standard_artifacts.ExampleStatistics()
        artifact.uri, artifact.split_names = str(tmp_path / "statistics"), json.dumps([*splits])
        for split, columns in splits.items():
            folder = tmp_path / "statistics" / f"Split-{split}"
            folder.mkdir(parents=True)
            (folder / "FeatureStats.pb").write_bytes(statistics_of(columns).SerializeToString())
        return artifact

    return write


@pytest.fixture
def module_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module whose FEATURES the columns must fit."""
    name = f"flowers_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name
