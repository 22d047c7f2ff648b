"""Reads what FederatedSplit wrote outside of the pipeline: clients, counts, datasets, TFF's ClientData.

    from components import FederatedExamples

    examples = FederatedExamples.open("pipeline_root/digits/FederatedSplit/federated_examples/5")
    dataset = examples.client(examples.clients[0], module="examples.digits.digits_model").batch(20)

Importing this module itself needs neither TFX nor TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.federated_split import datasets
from components.federated_split.blocks import PARTITION_FILE, PICTURE_FILE, Clients
from errors import ConfigError
from modeling import batches, contract

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_federated as tff


class ClientExamples:
    """The clients of one split of a FederatedExamples artifact and their examples; `open` it.

    uri: the artifact's directory. split: the name of the split. splits: the names of all splits.
    partition: what partition.json says: strategy, parameters, seed, totals, quantiles, heterogeneity.
    picture: path of the picture of the division, an SVG file.
    """

    def __init__(self, uri: str, split: str, clients: Clients, partition: Mapping[str, Any]):
        """Use `open`, which checks what it reads."""
        self.uri = uri
        self.split = split
        self.partition = partition
        self.splits: list[str] = list(partition["index_sha256"])
        self.picture = str(Path(uri, PICTURE_FILE))
        self._clients = clients

    @classmethod
    def open(cls, uri: str, split: str = "train") -> ClientExamples:
        """Opens a split; checks that its index is the published one and its shards have their size.

        Raises:
          IntegrityError: a file is missing or is not what was published.
        """
        clients = Clients.open(uri, split)
        return cls(uri, split, clients, json.loads(Path(uri, PARTITION_FILE).read_text()))

    def __repr__(self) -> str:
        """Returns how many there are; no ids."""
        return f"<{len(self)} clients of split {self.split!r} in {self.uri}>"

    def __len__(self) -> int:
        """Returns the number of clients that have examples."""
        return len(self._clients)

    @property
    def clients(self) -> list[str]:
        """Returns the ids of the clients that have examples, sorted."""
        return self._clients.ids

    @property
    def held_out(self) -> list[str]:
        """Returns the ids of those of `clients` that are never trained on, sorted; empty in the split `train`."""
        return self._clients.held_out

    def num_examples(self, client_id: str) -> int:
        """Returns how many examples a client has; KeyError if there is no such client."""
        return self._clients.num_examples(client_id)

    def labels(self, client_id: str) -> dict[str, int]:
        """Returns how many examples of each label a client has; KeyError if there is no such client."""
        return self._clients.labels(client_id)

    def client(
        self,
        client_id: str,
        *,
        features: Mapping[str, Any] | None = None,
        module: str | contract.ModelModule | None = None,
    ) -> tf.data.Dataset:
        """Returns a dataset of one client's examples in stored order, not batched; only a block at a time is in memory.

        The client's blocks are compared with the index first, which reads them once.

        Args:
          client_id: one of `clients`.
          features: as for `tf.io.parse_example`; the elements are then dicts of tensors.
          module: a model module or its import path; the elements are then (x, y) as in training. With neither, they are
            serialized tf.Examples.

        Raises:
          KeyError: there is no such client.
          IntegrityError: a block of this client is not what was published.
          ConfigError: both `features` and `module` are given, or the module is not usable.
        """
        import tensorflow as tf

        parse = _parser(features, module)
        self._clients.check(client_id)
        blocks = datasets.block_records(self._clients.blocks(client_id), self._clients.shard_paths, self._clients.shard_sizes)
        return datasets.examples(blocks, parse).apply(
            tf.data.experimental.assert_cardinality(self._clients.num_examples(client_id))
        )

    def client_data(
        self, *, features: Mapping[str, Any] | None = None, module: str | contract.ModelModule | None = None
    ) -> tff.simulation.datasets.ClientData:
        """Returns a TFF ClientData of all clients, whose datasets are those of `client`, built where TFF's runtime runs.

        The runtime must see the same files. Bytes are not checked on the way: call `verify` first. Some 50 bytes per client
        travel with each computation. TFF 0.87 takes an id with other than ASCII characters as bytes only, `client_id.encode()`.

        Raises:
          ConfigError: as for `client`.
        """
        import tensorflow_federated as tff

        parse, clients = _parser(features, module), self._clients
        lookup = datasets.Lookup.of(clients.ids, *clients.all_blocks())

        def dataset(client_id: Any) -> Any:
            blocks = datasets.block_records(lookup.rows(client_id), clients.shard_paths, clients.shard_sizes)
            return datasets.examples(blocks, parse)

        return tff.simulation.datasets.ClientData.from_clients_and_tf_fn(clients.ids, dataset)

    def verify(self) -> None:
        """Reads every byte of the split and compares it with the index.

        Raises:
          IntegrityError: something is not what was published; names the file.
        """
        self._clients.verify()


def _parser(features: Mapping[str, Any] | None, module: str | contract.ModelModule | None) -> Callable[[Any], Any] | None:
    """Returns what makes elements of a [n] string tensor of serialized tf.Examples; None leaves them as they are."""
    if features is not None and module is not None:
        raise ConfigError("expected features or a module to parse examples with, got both; leave one out.")
    if features is not None:
        import tensorflow as tf

        return lambda records: tf.io.parse_example(records, dict(features))
    if module is None:
        return None
    loaded = contract.load(module) if isinstance(module, str) else module
    return lambda records: batches.parse(loaded, records)
