"""Runs the real executors without an orchestrator, and reads back what they wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.beam_errors import cause_of
from components.example_gens import example_gen
from errors import DataError


def _values(feature: tf.train.Feature) -> list:
    return list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else []


@pytest.fixture
def generate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """A function: arguments of `example_gen` (with defaults), and Beam's -> the Examples artifact."""

    def run(data_format: str, path: Path | None = None, splits: dict | None = None, seed: int = 1, beam=()) -> Artifact:
        splits = splits or {"train": 4, "eval": 1}
        node = example_gen(data_format=data_format, path=path and str(path), splits=splits, seed=seed)
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path_factory.mktemp("examples"))
        executor = node.executor_spec.executor_class
        executor(executor.Context(beam_pipeline_args=list(beam))).Do({}, {"examples": [examples]}, dict(node.exec_properties))
        return examples

    return run


@pytest.fixture
def refused(generate: Callable[..., Artifact]) -> Callable[..., str]:
    """A function: as `generate`, but it must fail; returns the message of the DataError, which must be one line."""

    def run(*args, **kwargs) -> str:
        with pytest.raises(Exception) as caught:
            generate(*args, **kwargs)
        error = cause_of(caught.value)
        assert isinstance(error, DataError), repr(caught.value)
        assert "\n" not in str(error)
        return str(error)

    return run


@pytest.fixture(scope="session")
def records() -> Callable[[Artifact, str], list[bytes]]:
    """A function: (artifact, split) -> serialized tf.Examples in stored order."""

    def read(examples: Artifact, split: str) -> list[bytes]:
        paths = sorted(str(path) for path in Path(examples.uri, f"Split-{split}").iterdir())
        return [record.numpy() for record in tf.data.TFRecordDataset(paths, "GZIP")]

    return read


@pytest.fixture(scope="session")
def rows(records) -> Callable[..., list[dict[str, list]]]:
    """A function: artifact -> the examples of the given (or both) splits as {feature: values}."""

    def read(examples: Artifact, *splits: str) -> list[dict[str, list]]:
        parsed = [tf.train.Example.FromString(r) for split in splits or ("train", "eval") for r in records(examples, split)]
        return [{name: _values(feature) for name, feature in e.features.feature.items()} for e in parsed]

    return read
