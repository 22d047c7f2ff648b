"""Writes small federated examples and model modules, and reads processes, for the tests of the federated trainer."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.federated_split import blocks
from components.federated_split.writer import Rows, ShardWriter
from components.federated_trainer.rounds import Job

LINEAR = """
import tensorflow as tf

LABEL_KEY = "y"
FEATURES = {"x": tf.io.FixedLenFeature([3], tf.float32), LABEL_KEY: tf.io.FixedLenFeature([], tf.float32)}


def preprocess(raw):
    return raw["x"]


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense(1)])


def build_loss():
    return tf.keras.losses.MeanSquaredError()


def build_metrics():
    return []


def run_fn(fn_args):
    raise NotImplementedError
"""

SETTINGS = {
    "algorithm": "fedavg",
    "rounds": 1,
    "clients_per_round": 1,
    "local_epochs": 1,
    "batch_size": 4,
    "client_learning_rate": 0.1,
    "server_learning_rate": 1.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federated")


@pytest.fixture(scope="module")
def write_module(folder: Path) -> Any:
    """Writes a model module where it can be imported, by child processes as well, and returns its import path."""
    sys.path.insert(0, str(folder))

    def write(source: str) -> str:
        name = f"model_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        (folder / f"{name}.py").write_text(source)
        return name

    yield write
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def write_clients(folder: Path) -> Callable[..., str]:
    """Writes records of clients in the layout of FederatedExamples, by default in one block each, and returns the uri."""

    def write(name: str, clients: Mapping[str, Sequence[bytes]], block_bytes: int = 1 << 20) -> str:
        split = blocks.split_folder(str(folder / name))
        split.mkdir(parents=True)
        with open(split / blocks.shard_name(0, 1), "wb") as file:
            writer = ShardWriter(file, 0, block_bytes, pa.array(sorted(clients)), np.zeros(len(clients), dtype=bool))
            for number, (_, records) in enumerate(sorted(clients.items())):
                frames = pa.array([blocks.frame(record) for record in records], pa.large_binary())
                writer.add(Rows(np.full(len(records), number), pa.nulls(len(records), pa.large_string()), frames))
            index = writer.close()
        pq.write_table(index, split / blocks.INDEX_FILE)
        described = {"num_shards": 1, "index_sha256": {"train": blocks.file_digest(split / blocks.INDEX_FILE)}}
        (folder / name / blocks.PARTITION_FILE).write_text(json.dumps(described))
        return str(folder / name)

    return write


@pytest.fixture(scope="module")
def make_job(folder: Path, write_module: Any) -> Callable[..., Job]:
    """A job on the linear model, or on a module of the given source; settings by keyword."""

    def make(name: str, examples_uri: str, *, source: str = LINEAR, seed: int = 1, **settings: Any) -> Job:
        return Job(
            module=write_module(source),
            examples_uri=examples_uri,
            settings={**SETTINGS, **settings},
            seed=seed,
            model_dir=str(folder / name / "model"),
            run_dir=str(folder / name / "run"),
        )

    return make


def linear_records(count: int, seed: int, slope: float = 1.0) -> list[bytes]:
    """`count` serialized examples of y = slope * (x0 + 2 x1 + 3 x2) + 0.5."""
    import tensorflow as tf

    records = []
    for x in np.random.default_rng(seed).normal(size=[count, 3]).astype(np.float32):
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.extend(x.tolist())
        example.features.feature["y"].float_list.value.append(float(slope * x @ [1, 2, 3] + 0.5))
        records.append(example.SerializeToString(deterministic=True))
    return records


@pytest.fixture(scope="module")
def records() -> Callable[..., list[bytes]]:
    return linear_records


@pytest.fixture(scope="module")
def linear_source() -> str:
    return LINEAR
