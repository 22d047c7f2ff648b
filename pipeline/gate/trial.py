"""Whether TFMA can compute a metric of what a model answers, tried on made-up labels and answers before anything is trained.

TFMA finds out in the middle of an analysis, after the training, with an error from inside of Beam.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from modeling.contract import ModelModule, one_line
from modeling.export import EXAMPLES_SIGNATURE
from modeling.sample import sample_batch

if TYPE_CHECKING:
    import tensorflow_model_analysis as tfma

_COUNT = 8
Examples = list[tuple[np.ndarray, np.ndarray]]
"""(label, answer) pairs, each an array as TFMA has it of one example."""


def examples(module: ModelModule, kind: str) -> Examples:
    """Returns made-up labels, and answers of the shape that the module's model gives: probabilities, or numbers of any size."""
    raw = sample_batch(module)
    label = raw.pop(module.label_key).numpy()[0].reshape(-1)
    model = module.build_model()
    shape = module.outputs(model(module.preprocess(raw), training=False))[module.prediction_key].numpy()[0].shape
    draw = np.random.default_rng(0)
    if kind == "classes":
        labels = [np.array([number % shape[-1]]) for number in range(_COUNT)]
        return [(each, draw.dirichlet(np.ones(shape[-1])).astype(np.float32)) for each in labels]
    size = shape or (1,)
    if kind == "binary":
        labels = [np.full(label.shape, number % 2).astype(label.dtype) for number in range(_COUNT)]
        return [(each, draw.random(size, dtype=np.float32)) for each in labels]
    labels = [(10 * draw.standard_normal(label.shape)).astype(label.dtype) for _ in range(_COUNT)]
    return [(each, 10 * draw.standard_normal(size, dtype=np.float32)) for each in labels]


def refusal(metric: tfma.MetricConfig, made_up: Examples) -> str | None:
    """Returns why TFMA cannot compute a metric of such answers, in one line; None if it can.

    The computations are run as TFMA's evaluator runs them, without Beam. It hands every metric of an analysis the same arrays,
    so one that changes them makes the others wrong.
    """
    import tensorflow_model_analysis as tfma

    extracts: list[dict[str, Any]] = [
        {
            tfma.LABELS_KEY: label.copy(),
            tfma.PREDICTIONS_KEY: answer.copy(),
            tfma.EXAMPLE_WEIGHTS_KEY: np.ones(1, np.float32),
            tfma.FEATURES_KEY: {},
        }
        for label, answer in made_up
    ]
    try:
        with np.errstate(all="ignore"):
            _compute(metric, extracts)
    except Exception as error:  # whatever a metric raises at numbers that it is not for
        reason = error.__cause__ if error.__cause__ is not None and str(error.__cause__) else error
        return re.split(r": | \{", one_line(reason))[0]  # what follows are the numbers that were made up
    answers = [each[tfma.PREDICTIONS_KEY] for each in extracts]
    changed = not all(np.array_equal(answer, given) for answer, (_, given) in zip(answers, made_up, strict=True))
    return "it changes the predictions, which all metrics share" if changed else None


def _compute(metric: tfma.MetricConfig, extracts: list[dict[str, Any]]) -> None:
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.metrics import metric_specs, metric_types

    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=EXAMPLES_SIGNATURE, label_key="label", prediction_key="prediction")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )
    config = tfma.utils.update_eval_config_with_defaults(config)
    values: dict[Any, Any] = {}
    derived = []
    for computation in metric_specs.to_computations(config.metrics_specs, config):
        if isinstance(computation, metric_types.MetricComputation):
            values.update(_combined(computation, extracts))
        elif isinstance(computation, metric_types.DerivedMetricComputation):
            derived.append(computation)
    for computation in derived:
        values.update(computation.result(values))


def _combined(computation: Any, extracts: list[dict[str, Any]]) -> dict[Any, Any]:
    combiner = computation.combiner
    combiner.setup()
    accumulator = combiner.create_accumulator()
    for each in extracts:
        accumulator = combiner.add_inputs(accumulator, _inputs(computation, each))
    result: dict[Any, Any] = combiner.extract_output(combiner.merge_accumulators([combiner.create_accumulator(), accumulator]))
    return result


def _inputs(computation: Any, extracts: dict[str, Any]) -> list[Any]:
    from tensorflow_model_analysis.metrics import metric_types

    standard = metric_types.StandardMetricInputsPreprocessor
    preprocessors = computation.preprocessors or [standard()]
    inputs = [dict(extracts)]
    for preprocessor in preprocessors:
        inputs = list(itertools.chain.from_iterable(preprocessor.process(each) for each in inputs))
    if [type(preprocessor) for preprocessor in preprocessors] == [standard]:
        return [metric_types.StandardMetricInputs(each) for each in inputs]
    return inputs
