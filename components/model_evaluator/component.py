"""The Evaluator node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator import component as stock_component
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types import standard_component_specs as keys

from components import evidence, judged
from components.model_evaluator import executor, reporting, spec
from lineage.digests import code_digest


class ReportingEvaluator(stock_component.Evaluator):
    """The stock Evaluator for a model that is only reported: one that it cannot analyse has no metrics, and the run goes on."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(reporting.TolerantExecutor)


class ModelEvaluator(base_beam_component.BaseBeamComponent):
    """The stock Evaluator on the `eval` split, after a look at what ServingCheck and PairedEvaluator found.

    TensorFlow Model Analysis lets models through whose weights are NaN, or fails in the middle of an analysis, and it executes
    whatever operations a model holds. So a model that must not be loaded, or that answers with numbers that are not finite, is
    not analysed: its evaluation says why. A served model that cannot answer is left out: the evaluation is about the model
    under test alone.

    It has no blessing: one that a judge gives could be taken for the gate's, by whoever asks for the newest.
    """

    SPEC_CLASS = spec.ModelEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        serving_report: types.BaseChannel,
        paired_scores: types.BaseChannel,
        eval_config: Any,
        baseline_model: types.BaseChannel | None = None,
    ) -> None:
        """Takes the stock Evaluator's arguments, and the findings that come first.

        Args:
          examples: Examples with a split named eval.
          model: the Model under test.
          serving_report: ServingCheck's finding about it.
          paired_scores: PairedEvaluator's finding about it.
          eval_config: tfma.EvalConfig without thresholds: what is required is for DeployGate to judge.
          baseline_model: the Model that is served now, if any.
        """
        inputs = {keys.EXAMPLES_KEY: examples, keys.MODEL_KEY: model, keys.BASELINE_MODEL_KEY: baseline_model}
        super().__init__(
            spec.ModelEvaluatorSpec(
                **{key: channel for key, channel in inputs.items() if channel is not None},
                serving_report=serving_report,
                paired_scores=paired_scores,
                eval_config=eval_config,
                code_version=code_digest(Path(__file__).parent, *filter(None, (evidence.__file__, judged.__file__))),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            )
        )
