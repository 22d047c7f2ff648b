"""The FederatedEvaluator component."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec

from components import answers, beam_parts, charts, evidence, judged, scores
from components.artifacts import ClientMetrics
from components.federated_evaluator import executor, spec
from components.federated_split import blocks
from components.federated_trainer.clients import population
from errors import ConfigError
from lineage.digests import code_digest


class FederatedEvaluator(base_beam_component.BaseBeamComponent):
    """Measures the model under test and the served one on every client of the evaluation side, client by client.

    Those are the kept examples of clients that are trained on, and all examples of held-out clients. Of fewer clients than
    `min_clients` nothing is written but how many there are. It measures and decides nothing: DeployGate does.
    """

    SPEC_CLASS = spec.FederatedEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        *,
        federated_examples: types.BaseChannel,
        model: types.BaseChannel,
        module: str,
        module_digest: str,
        kind: str,
        min_clients: int,
        serving_report: types.BaseChannel | None = None,
        served: types.BaseChannel | None = None,
        metrics: Sequence[str] | None = None,
        batch_size: int = 256,
        code_version: str | None = None,
    ) -> None:
        """Makes the node.

        Args:
          federated_examples: channel of FederatedExamples with a side `eval`.
          model: channel of the Model under test.
          module: import path of the model module.
          module_digest: digest of its source, so that an edit of it is seen by TFX's cache.
          kind: a key of `scores.CLIENT_KINDS`.
          min_clients: below this number nothing about single clients is written; at least 1.
          serving_report: channel of ServingCheck's report; nothing is loaded that it calls unfit.
          served: channel of the Model that is served now; may resolve to nothing.
          metrics: of `scores.CLIENT_KINDS[kind]`; by default all of them.
          batch_size: examples, of one client or of several, that a model is asked about at once.
          code_version: part of TFX's cache key; by default the digest of the sources that decide what is written.

        Raises:
          ConfigError: the kind is unknown or does not have one of the metrics, or `min_clients` or `batch_size` is below 1.
        """
        if min_clients < 1:
            raise ConfigError(f"expected min_clients of at least 1, got {min_clients}.")
        super().__init__(
            spec.FederatedEvaluatorSpec(
                federated_examples=federated_examples,
                model=model,
                serving_report=serving_report,
                served=served,
                module=module,
                module_digest=module_digest,
                kind=kind,
                metrics=json.dumps(scores.chosen(kind, metrics, scores.CLIENT_KINDS)),
                batch_size=judged.batch_size(batch_size),
                min_clients=min_clients,
                code_version=code_version or _code_version(),
                client_metrics=types.Channel(type=ClientMetrics),
            )
        )


def _code_version() -> str:
    shared = [module.__file__ for module in (answers, beam_parts, charts, evidence, judged, scores, blocks, population)]
    return code_digest(Path(__file__).parent, *filter(None, shared))
