"""The Evaluator's verdict in words: what was observed, what was required. The verdict itself is the blessing's, never ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import Bounds, GateConfig
from pipeline.gate import value_names

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """Whether the model under test was blessed, and why or why not: one line per check that decided it."""

    blessed: bool
    reasons: tuple[str, ...]


def decide(gate: GateConfig, blessed: bool, validation: Any, candidate: Metrics | None, served: Metrics | None) -> Decision:
    """Puts a verdict into words.

    Args:
      gate: the config's gate.
      blessed: the blessing that the Evaluator wrote.
      validation: its tfma ValidationResult.
      candidate: overall metrics of the model under test, by TFMA's names.
      served: the same of the served model; None if nothing is served, or nothing but the model under test.
    """
    if blessed:
        return Decision(True, tuple(_passed(gate, candidate or {}, served)))
    refusals = tuple(_failures(gate, validation, served))
    return Decision(
        False, refusals or ("the Evaluator gave neither a blessing nor a reason; expected one of them, see the log",)
    )


def metrics_of(evaluation_uri: str, model_name: str) -> Metrics | None:
    """Returns the overall metrics of one of the evaluated models by TFMA's names; None if it was not evaluated.

    Args:
      evaluation_uri: a ModelEvaluation artifact's uri.
      model_name: tfma.CANDIDATE_KEY or tfma.BASELINE_KEY. A model that was evaluated alone has no name and is the candidate.
    """
    import tensorflow_model_analysis as tfma

    names = {model_name, ""} if model_name == tfma.CANDIDATE_KEY else {model_name}
    values: dict[str, float] = {}
    for metrics in tfma.load_metrics(evaluation_uri):
        if metrics.slice_key.single_slice_keys:
            continue
        for item in metrics.metric_keys_and_values:
            if item.key.model_name in names and not item.key.is_diff and item.value.HasField("double_value"):
                values[item.key.name] = item.value.double_value.value
    return values or None


def _passed(gate: GateConfig, candidate: Metrics, served: Metrics | None) -> Iterator[str]:
    for metric, bounds in gate.thresholds.items():
        for name in _observed_names(metric, candidate):
            yield f"{metric} is {candidate[name]:.4f}; required {_required(bounds.min, bounds.max)}"
    for metric, bounds in gate.change.items():
        if served is None:
            yield f"the change of {metric} was not checked: no other model is served to compare with"
            continue
        for name in _observed_names(metric, candidate):
            yield f"the change of {metric} is {candidate[name] - served[name]:+.4f}; required {_required_change(bounds)}"


def _observed_names(metric: str, values: Metrics) -> list[str]:
    return sorted(value_names(metric) & values.keys())


def _failures(gate: GateConfig, validation: Any, served: Metrics | None) -> Iterator[str]:
    names = {name: metric for metric in (*gate.thresholds, *gate.change) for name in value_names(metric)}
    for per_slice in validation.metric_validations_per_slice:
        where = _where(per_slice.slice_key)
        for failure in per_slice.failures:
            key = failure.metric_key
            metric = names.get(key.name, key.name) + where
            if key.is_diff:
                was = None if served is None else served.get(key.name)
                yield _change_failure(metric, failure, gate.change[names[key.name]], was)
            else:
                bounds = gate.thresholds[names[key.name]]
                yield f"{metric} is {_observed(failure, '.4f')}; required {_required(bounds.min, bounds.max)}"
    if validation.missing_slices:
        yield "there were no examples to judge the model on; check the eval split"


def _where(slice_key: Any) -> str:
    values = [(pair.column, getattr(pair, pair.WhichOneof("kind"))) for pair in slice_key.single_slice_keys]
    texts = [(column, value.decode(errors="replace") if isinstance(value, bytes) else value) for column, value in values]
    return f" where {' and '.join(f'{column} is {text}' for column, text in texts)}" if texts else ""


def _observed(failure: Any, style: str) -> str:
    if failure.metric_value.HasField("double_value"):
        return f"{failure.metric_value.double_value.value:{style}}"
    return f"not known ({' '.join(failure.message.split()).rstrip('.')})"


def _change_failure(metric: str, failure: Any, bounds: Bounds, was: float | None) -> str:
    reason = f"the change of {metric} is {_observed(failure, '+.4f')}; required {_required_change(bounds)}"
    return f"{reason}, and TFMA accepts no change from exactly 0" if was == 0 else reason


def _required(low: float | None, high: float | None) -> str:
    parts = [] if low is None else [f"at least {low:g}"]
    return " and ".join([*parts, *([] if high is None else [f"at most {high:g}"])])


def _required_change(bounds: Bounds) -> str:
    return f"at least {bounds.min:+g}" if bounds.min is not None else f"at most {bounds.max:+g}"
