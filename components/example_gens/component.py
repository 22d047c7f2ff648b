"""The ExampleGen node: reads the user's data, divides it into train and eval, stores gzipped TFRecords of tf.Examples.

To add a format: write an executor module (see csv_executor.py) and add a line to FORMATS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import struct_pb2
from tfx.components.example_gen.component import FileBasedExampleGen, QueryBasedExampleGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2

from components.example_gens import (
    csv_executor,
    digits_executor,
    driver,
    idx_executor,
    parquet_executor,
    tfrecord_executor,
)
from components.example_gens.executor import SplitExecutor
from components.example_gens.plan import FORGOTTEN
from components.federated_split import features
from errors import ConfigError
from lineage import forgotten as omissions
from lineage.digests import code_digest
from lineage.forgotten import Omission


class ContentExampleGen(FileBasedExampleGen):
    """A file-based ExampleGen whose cache follows the content of the files instead of their times."""

    DRIVER_CLASS = driver.ContentDriver


class IdxExampleGen(FileBasedExampleGen):
    """The same for IDX files, whose labels lie in files that the pattern does not name."""

    DRIVER_CLASS = driver.IdxDriver


class DigitsExampleGen(QueryBasedExampleGen):
    """scikit-learn's bundled digits; nothing is read from a path."""

    DRIVER_CLASS = driver.DigitsDriver


@dataclass(frozen=True)
class Format:
    """How one data format gets in: its component, its executor, and the files it takes when the config names none."""

    component: type[FileBasedExampleGen] | type[QueryBasedExampleGen]
    executor: type[SplitExecutor]
    default_pattern: str


FORMATS = {
    "csv": Format(ContentExampleGen, csv_executor.Executor, "*.csv"),
    "tfrecord": Format(ContentExampleGen, tfrecord_executor.Executor, "*tfrecord*"),
    "parquet": Format(ContentExampleGen, parquet_executor.Executor, "*.parquet"),
    "idx": Format(IdxExampleGen, idx_executor.Executor, "*images?idx3-ubyte*"),
    "digits": Format(DigitsExampleGen, digits_executor.Executor, "*"),
}


def example_gen(
    *, data_format: str, path: str | None, splits: Mapping[str, int | str], seed: int, forgotten: Omission | None = None
) -> BaseComponent:
    """Returns the node with id `ExampleGen`; its output `examples` is a standard Examples artifact.

    Args:
      data_format: a key of FORMATS.
      path: the folder of the data, or the files themselves (a name, wildcards in it); not used by `digits`.
      splits: hash buckets (`{"train": 4, "eval": 1}`: four fifths and one fifth, drawn by `seed` and each example's content) or
        one file pattern relative to `path` for each split (`{"train": "train-*.csv", "eval": "test-*.csv"}`).
      seed: decides which example falls into which split, and the order in which they are stored.
      forgotten: clients whose examples are left out, of every split.

    Raises:
      ConfigError: an unknown format, no path, or splits of neither form. The data itself is looked at when the node runs.
    """
    if data_format not in FORMATS:
        raise ConfigError(f"data.format: expected one of {', '.join(sorted(FORMATS))}, got {data_format!r}")
    chosen = FORMATS[data_format]
    input_config, output_config = _split_configs(splits, chosen.default_pattern)
    given = not output_config.split_config.splits
    source = {}
    if data_format != "digits":
        if not path:
            raise ConfigError(f"data.path: format {data_format} expected the folder of its files, got none; set data.path")
        source = {"input_base": str(path)}
    elif given:
        raise ConfigError("data.splits: digits has no files to match patterns with; give bucket counts, as train: 4, eval: 1")
    return chosen.component(
        **source,
        input_config=input_config,
        output_config=output_config,
        custom_config=_custom_config(seed, forgotten),
        custom_executor_spec=BeamExecutorSpec(chosen.executor),
    ).with_id("ExampleGen")


def _split_configs(
    splits: Mapping[str, int | str], default_pattern: str
) -> tuple[example_gen_pb2.Input, example_gen_pb2.Output]:
    """Returns TFX's two protos: where splits come from, and how they are made when they are not given."""
    if not {"train", "eval"} <= set(splits):
        raise ConfigError(f"data.splits: expected at least train and eval, got {', '.join(splits) or 'nothing'}")
    values = list(splits.values())
    if all(isinstance(value, str) and value for value in values):
        given = [example_gen_pb2.Input.Split(name=name, pattern=str(value)) for name, value in splits.items()]
        return example_gen_pb2.Input(splits=given), example_gen_pb2.Output()
    if not all(type(value) is int and value > 0 for value in values):
        raise ConfigError(f"data.splits: expected bucket counts above 0, or one file pattern for each split, got {values}")
    buckets = [example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=int(value)) for name, value in splits.items()]
    whole = example_gen_pb2.Input.Split(name="all", pattern=default_pattern)
    return example_gen_pb2.Input(splits=[whole]), example_gen_pb2.Output(
        split_config=example_gen_pb2.SplitConfig(splits=buckets)
    )


def _custom_config(seed: int, forgotten: Omission | None) -> example_gen_pb2.CustomConfig:
    """Puts the seed and our code's digest where TFX's cache key includes them.

    The seed is text, because a Struct's numbers are doubles and would round a large one.
    """
    facts = struct_pb2.Struct()
    facts.update({"seed": str(seed), "code_version": code_digest(Path(__file__).parent, omissions.__file__, features.__file__)})
    if forgotten is not None:
        facts.update({FORGOTTEN: forgotten.as_text()})
    config = example_gen_pb2.CustomConfig()
    config.custom_config.Pack(facts)
    return config
