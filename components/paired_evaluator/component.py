"""The PairedEvaluator component."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec

from components import answers, beam_parts, evidence, judged, scores
from components.artifacts import PairedScores
from components.federated_split import records
from components.paired_evaluator import executor, spec
from lineage.digests import code_digest


class PairedEvaluator(base_beam_component.BaseBeamComponent):
    """Measures the model under test, the baseline and the served model on every example of the split `eval`.

        PairedEvaluator(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            kind="classes",
            module="examples.digits.digits_model",
            module_digest=module.digest,
        )

    Models answer through the signature that is served. It measures and decides nothing: DeployGate does.
    """

    SPEC_CLASS = spec.PairedEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        module: str,
        module_digest: str,
        kind: str,
        serving_report: types.BaseChannel | None = None,
        served: types.BaseChannel | None = None,
        baseline: types.BaseChannel | None = None,
        metrics: Sequence[str] | None = None,
        batch_size: int = 256,
        code_version: str | None = None,
    ) -> None:
        """Makes the node.

        Args:
          examples: channel of Examples with a split `eval`.
          model: channel of the Model under test.
          module: import path of the model module.
          module_digest: digest of its source, so that an edit of it is seen by TFX's cache.
          kind: a key of `scores.KINDS`.
          serving_report: channel of ServingCheck's report; nothing is loaded that it calls unfit.
          served: channel of the Model that is served now; may resolve to nothing.
          baseline: channel of the centralised Model.
          metrics: of `scores.KINDS[kind]`; by default all of them.
          batch_size: examples that a model is asked about at once.
          code_version: part of TFX's cache key; by default the digest of the sources that decide what is written.

        Raises:
          ConfigError: the kind is unknown or does not have one of the metrics, or the batch is empty.
        """
        super().__init__(
            spec.PairedEvaluatorSpec(
                examples=examples,
                model=model,
                serving_report=serving_report,
                served=served,
                baseline=baseline,
                module=module,
                module_digest=module_digest,
                kind=kind,
                metrics=json.dumps(scores.chosen(kind, metrics)),
                batch_size=judged.batch_size(batch_size),
                code_version=code_version or _code_version(),
                paired_scores=types.Channel(type=PairedScores),
            )
        )


def _code_version() -> str:
    shared = [module.__file__ for module in (answers, beam_parts, evidence, judged, records, scores)]
    return code_digest(Path(__file__).parent, *filter(None, shared))
