"""Artifact types of our own components: what lies in their directories and what they say in ML Metadata."""

from __future__ import annotations

from tfx.types.artifact import Artifact


class FederatedExamples(Artifact):
    """Training examples divided among clients.

    {uri}/Split-train/clients-00000-of-00016   blocks of serialized tf.Examples, one or more per client
    {uri}/Split-train/index.parquet            where each client's blocks are, their counts, labels and sha256
    {uri}/partition.json                       strategy, parameters, seed and totals; no client ids

    Custom properties: strategy (str), clients (int), examples (int), seed (int), digest (str, tree digest of the directory).
    Client ids stay in the index: what is in ML Metadata can be shown to anybody. Read it with
    `components.federated_split.blocks.Clients`.
    """

    TYPE_NAME = "components.FederatedExamples"
