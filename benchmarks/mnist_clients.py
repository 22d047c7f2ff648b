"""All of MNIST, divided among clients by FederatedSplit's own code: 60,000 examples to train on, 10,000 to evaluate on."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TRAIN, TEST = "train", "t10k"


def data_folder() -> Path:
    """Where MNIST's four gzipped idx files are."""
    return Path(os.environ.get("FEDTFX_TEST_DATA", ROOT.parent / "shared" / "data"), "mnist")


def read(side: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels, uint8[n, 784], and labels, uint8[n], of TRAIN or TEST; limit: only so many, the first ones."""
    with gzip.open(data_folder() / f"{side}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28 * 28)
    with gzip.open(data_folder() / f"{side}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images[:limit], labels[:limit]


def write_examples(folder: Path, side: str, limit: int | None = None) -> str:
    """Writes the examples of TRAIN or TEST as one TFRecord file and returns its path.

    An example has `image` (784 raw bytes) and `label`. limit: only so many, the first ones.
    """
    import tensorflow as tf

    path = str(folder / f"{side}.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for image, label in zip(*read(side, limit), strict=True):
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True))
    return path


def divide(train: str, test: str, uri: Path, strategy: str, parameters: dict[str, Any], seed: int) -> str:
    """Divides the examples of the file `train` among clients into a FederatedExamples artifact, and returns its uri.

    All of the file `test` becomes the artifact's evaluation side. strategy, parameters, seed: FederatedSplit's.
    """
    from components.federated_split import blocks

    _divide(train, uri, strategy, parameters, seed)
    aside = uri.with_name(f"{uri.name}-test")
    _divide(test, aside, "iid", {"clients": 1}, seed)
    blocks.split_folder(str(aside)).rename(blocks.split_folder(str(uri), "eval"))
    partition, held_out = (json.loads((where / blocks.PARTITION_FILE).read_text()) for where in (uri, aside))
    partition["index_sha256"]["eval"] = held_out["index_sha256"]["train"]
    (uri / blocks.PARTITION_FILE).write_text(json.dumps(partition))
    return str(uri)


def examples(uri: str, side: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns pixels in [0, 1], float32[n, 784], and labels, int64[n], of each client of one side of a division."""
    from tensorflow.core.example.example_pb2 import Example

    from components.federated_split.blocks import Clients

    clients = Clients.open(uri, side)
    # Not by TensorFlow's operations: the first one settles how many threads the trainer can have.
    parsed = [[Example.FromString(record).features.feature for record in clients.examples(client)] for client in clients.ids]
    return [
        (
            np.stack([np.frombuffer(one["image"].bytes_list.value[0], np.uint8) for one in of_client]).astype(np.float32) / 255,
            np.array([one["label"].int64_list.value[0] for one in of_client]),
        )
        for of_client in parsed
    ]


def _divide(file: str, uri: Path, strategy: str, parameters: dict[str, Any], seed: int) -> None:
    import apache_beam as beam

    from components.federated_split.division import Request, divide
    from components.federated_split.parameters import check_parameters

    # One shard on each side, because an artifact's sides have the same number of them.
    checked = check_parameters(strategy, {"label": "label", "shard_bytes": 1 << 40, **parameters})
    divide([file], str(uri), Request(strategy, checked, seed), beam.Pipeline)
