"""Writes small Examples artifacts and divides them with the real executor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import FederatedExamples
from components.federated_split.executor import Executor

Divide = Callable[..., FederatedExamples]


@pytest.fixture
def make_example() -> Callable[..., bytes]:
    return serialize


def serialize(**features: Any) -> bytes:
    """A serialized tf.Example; a list is a feature of several values, None is left out."""
    return tf.train.Example(
        features=tf.train.Features(feature={name: _feature(value) for name, value in features.items() if value is not None})
    ).SerializeToString(deterministic=True)


def _feature(value: Any) -> tf.train.Feature:
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


@pytest.fixture
def write_examples(tmp_path: Path) -> Callable[..., standard_artifacts.Examples]:
    """Writes records into `files` gzipped TFRecords of an artifact whose other split is not to be looked at."""

    def write(records: Sequence[bytes], files: int = 1, name: str = "examples") -> standard_artifacts.Examples:
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path / name)
        examples.split_names = json.dumps(["train", "eval"])
        for number in range(files):
            path = tmp_path / name / "Split-train" / f"data_tfrecord-{number:05d}-of-{files:05d}.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for record in records[number::files]:
                    writer.write(record)
        return examples

    return write


@pytest.fixture
def divide(tmp_path: Path) -> Divide:
    """Runs the executor on Examples; the output is a new directory of the given name."""

    def run(
        examples: standard_artifacts.Examples,
        strategy: str = "iid",
        seed: int = 42,
        out: str = "federated",
        beam_args: Sequence[str] = (),
        **parameters: Any,
    ) -> FederatedExamples:
        federated = FederatedExamples()
        federated.uri = str(tmp_path / out)
        Path(federated.uri).mkdir()
        properties = {"strategy": strategy, "parameters": json.dumps(parameters), "seed": seed, "code_version": "1"}
        executor = Executor(Executor.Context(beam_pipeline_args=list(beam_args)))
        executor.Do({"examples": [examples]}, {"federated_examples": [federated]}, properties)
        return federated

    return run
