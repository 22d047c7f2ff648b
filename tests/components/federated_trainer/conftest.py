"""Writes small federated examples and model modules, and reads processes, for the tests of the federated trainer."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.federated_split import blocks
from components.federated_split.writer import Rows, ShardWriter
from components.federated_trainer import rounds
from components.federated_trainer.records import ROUNDS_FILE, Round
from components.federated_trainer.rounds import Job
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

LINEAR = """
import tensorflow as tf

from modeling import centralised

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
    centralised.train(fn_args, __name__)
"""

CLASSES = (
    LINEAR.replace("tf.float32)}", "tf.int64)}")
    .replace("Dense(1)", "Dense(3)")
    .replace("MeanSquaredError()", "SparseCategoricalCrossentropy(from_logits=True)")
    .replace("return []", "return [tf.keras.metrics.SparseCategoricalAccuracy(name='accuracy')]")
)

SETTINGS = build(TrainConfig, {"rounds": 1, "clients_per_round": 1, "batch_size": 4}).settings("people")
PRIVACY = {
    "mechanism": "gaussian",
    "clip": 1.0,
    "clip_quantile": None,
    "noise_multiplier": 1.0,
    "target_epsilon": None,
    "delta": 0.01,
    "noise": "secret",
    "budget": None,
    "population": "people",
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
    """Writes records of clients in the layout of FederatedExamples, by default in one block each, and returns the uri.

    `held_out` is the evaluation side; `partition` goes into partition.json, where parameters.label names the label to count.
    """

    def write(
        name: str,
        clients: Mapping[str, Sequence[bytes]],
        block_bytes: int = 1 << 20,
        held_out: Mapping[str, Sequence[bytes]] | None = None,
        **partition: Any,
    ) -> str:
        sides = {"train": clients} if held_out is None else {"train": clients, "eval": held_out}
        label = partition.get("parameters", {}).get("label")
        digests = {side: write_side(str(folder / name), side, of, block_bytes, label) for side, of in sides.items()}
        described = {"num_shards": 1, "index_sha256": digests, **partition}
        (folder / name / blocks.PARTITION_FILE).write_text(json.dumps(described))
        return str(folder / name)

    return write


def write_side(uri: str, side: str, clients: Mapping[str, Sequence[bytes]], block_bytes: int, label: str | None) -> str:
    """Writes one side with its index, in which `label` is counted; returns the index's digest."""
    split = blocks.split_folder(uri, side)
    split.mkdir(parents=True)
    with open(split / blocks.shard_name(0, 1), "wb") as file:
        writer = ShardWriter(file, 0, block_bytes, pa.array(sorted(clients)), np.zeros(len(clients), dtype=bool))
        for number, (_, records) in enumerate(sorted(clients.items())):
            frames = pa.array([blocks.frame(record) for record in records], pa.large_binary())
            labels = pa.array([label and label_of(record, label) for record in records], pa.large_string())
            writer.add(Rows(np.full(len(records), number), labels, frames))
        index = writer.close()
    pq.write_table(index, split / blocks.INDEX_FILE)
    return blocks.file_digest(split / blocks.INDEX_FILE)


def label_of(record: bytes, label: str) -> str:
    import tensorflow as tf

    feature = tf.train.Example.FromString(record).features.feature[label]
    return str((feature.int64_list.value or feature.float_list.value)[0])


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` with what is given in their place, section by section."""
    result = dict(defaults)
    for key, value in given.items():
        inner = PRIVACY if key == "privacy" else defaults[key]
        result[key] = merged(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return result


@pytest.fixture(scope="module")
def make_job(folder: Path, write_module: Any) -> Callable[..., Job]:
    """A job on the linear model, or on a module of the given source; settings by keyword, sections only as far as given.

    Its files are in a folder of its name.
    """

    def make(
        name: str, examples_uri: str, *, source: str = LINEAR, seed: int = 1, warm_start: str | None = None, **settings: Any
    ) -> Job:
        return Job(
            module=write_module(source),
            examples_uri=examples_uri,
            settings=merged(SETTINGS, settings),
            seed=seed,
            model_dir=str(folder / name / "model"),
            run_dir=str(folder / name / "run"),
            state_dir=str(folder / name / "state"),
            warm_start=warm_start,
        )

    return make


@dataclass
class Trained:
    """What a training in this process gave: facts, weights, records, and what it told on the way."""

    job: Job
    facts: dict[str, Any]
    said: list[str]
    told: list[Round]

    @property
    def weights(self) -> list[np.ndarray]:
        """Of the exported model."""
        import tensorflow as tf

        return list(tf.keras.models.load_model(self.job.model_dir, compile=False).get_weights())

    @property
    def rows(self) -> list[dict[str, str]]:
        """Of rounds.csv."""
        with open(Path(self.job.run_dir, ROUNDS_FILE), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def train() -> Callable[[Job], Trained]:
    """Trains in this process."""

    def run(job: Job, report: Callable[[Round], None] = lambda result: None) -> Trained:
        said: list[str] = []
        told: list[Round] = []

        def tell(result: Round) -> None:
            told.append(result)
            report(result)

        return Trained(job, rounds.train(job, tell, said.append), said, told)

    return run


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


def class_records(count: int, seed: int, label: Callable[[int], int] = lambda label: label) -> list[bytes]:
    """`count` serialized examples of three classes; `x` is near the axis of its class, whose number is put through `label`."""
    import tensorflow as tf

    random, records = np.random.default_rng(seed), []
    for kind in random.integers(0, 3, count).tolist():
        example = tf.train.Example()
        x = 2 * np.eye(3)[kind] + random.normal(scale=0.6, size=3)
        example.features.feature["x"].float_list.value.extend(x.tolist())
        example.features.feature["y"].int64_list.value.append(label(kind))
        records.append(example.SerializeToString(deterministic=True))
    return records


@pytest.fixture(scope="module")
def class_source() -> str:
    return CLASSES


@pytest.fixture(scope="module")
def classes() -> Callable[..., list[bytes]]:
    return class_records
