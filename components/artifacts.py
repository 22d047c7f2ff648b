"""Artifact types of our own components: what lies in their directories and what they say in ML Metadata."""

from __future__ import annotations

from tfx.types.artifact import Artifact

from components.federated_split.reader import ClientExamples


class FederatedExamples(Artifact):
    """Training examples divided among clients.

    {uri}/Split-train/clients-00000-of-00016   blocks of serialized tf.Examples, one or more per client
    {uri}/Split-train/index.parquet            where each client's blocks are, their counts, labels and sha256
    {uri}/Split-eval/...                       the same for what is kept for evaluation, if anything is
    {uri}/partition.json                       strategy, parameters, seed, totals and heterogeneity; no client ids
    {uri}/partition.svg                        a picture of sizes and labels; no client ids

    Custom properties: strategy (str), clients (int), examples (int), dropped (int, examples that nobody gets), seed (int),
    digest (str, tree digest of the directory); if anything is kept for evaluation, eval_examples (int) and held_out_clients
    (int), and the first ones tell of training.
    Client ids stay in the index: what is in ML Metadata can be shown to anybody. Read it, in a pipeline or outside of one, with
    `FederatedExamples.open(uri)`.
    """

    TYPE_NAME = "components.FederatedExamples"

    @classmethod
    def open(cls, uri: str, split: str = "train") -> ClientExamples:
        """Opens a split of the artifact in directory `uri` for reading; see `ClientExamples.open`."""
        return ClientExamples.open(uri, split)
