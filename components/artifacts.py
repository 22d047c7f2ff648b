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
    (int), and the first ones tell of training; if anybody is to be forgotten, forgotten (int, how many clients are left out).
    Client ids stay in the index: what is in ML Metadata can be shown to anybody. Read it, in a pipeline or outside of one, with
    `FederatedExamples.open(uri)`.
    """

    TYPE_NAME = "components.FederatedExamples"

    @classmethod
    def open(cls, uri: str, split: str = "train") -> ClientExamples:
        """Opens a split of the artifact in directory `uri` for reading; see `ClientExamples.open`."""
        return ClientExamples.open(uri, split)


class ServingReport(Artifact):
    """What came of loading a model and asking it, in a model server of its own.

    {uri}/serving_report.json   whether it may be loaded at all, ops, weights, answers, latency, memory, size

    Custom properties: those of `components.evidence`, and loadable (int, 1 if other judges may load the model).
    """

    TYPE_NAME = "components.ServingReport"


class PairedScores(Artifact):
    """Metrics of every evaluation example, of several models side by side, as a paired comparison needs them.

    {uri}/scores.parquet   a row per example, a column `candidate:SparseCategoricalAccuracy` per model and metric; no examples
    {uri}/summary.json     means, predictions that are not finite, and what the best constant prediction reaches

    Custom properties: those of `components.evidence`.
    """

    TYPE_NAME = "components.PairedScores"


class ClientMetrics(Artifact):
    """Metrics of the model under test, and of the served one, on every evaluation client.

    {uri}/client_metrics.parquet   a row per client, by its position, without its id; only for enough clients
    {uri}/summary.json             number of clients; for enough of them quantiles, worst decile and dispersion
    {uri}/clients.svg              a picture of how the metrics are distributed; only for enough clients

    Custom properties: those of `components.evidence`, clients (int) and shown (int, 1 if there were enough).
    """

    TYPE_NAME = "components.ClientMetrics"


class GateDecision(Artifact):
    """One recorded decision: each check, what was observed, what was required, the verdict, in plain words.

    {uri}/decision.json   for machines; what the blessing is bound to
    {uri}/decision.html   for people; one page without external resources
    {uri}/decision.md     the same as GitHub-style Markdown

    Custom properties: blessed (int), passed (int, what the checks alone say), checks, failed and skipped (int), failed_checks
    (str, their ids), model_id (int), model_digest (str), override (str: force, hold or empty), override_by, override_reason,
    override_until (str), digest (str, tree digest of the directory).
    """

    TYPE_NAME = "components.GateDecision"


class RunReport(Artifact):
    """What a run made and found, on one page: the card of the model under test, whether it was pushed or refused.

    {uri}/model_card.html   for people; one page without scripts and external resources, light and dark
    {uri}/model_card.md     the same as GitHub-style Markdown
    {uri}/facts.json        all that both show, for machines; no client ids

    Custom properties: model_id (int), model_digest (str), blessed (int), digest (str, tree digest of the directory).
    """

    TYPE_NAME = "components.RunReport"
