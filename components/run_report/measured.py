"""What was measured: overall with confidence, beside the baseline and the served model, on slices, and over clients.

Values are TensorFlow Model Analysis' where it can be read, and PairedEvaluator's means elsewhere. Intervals come from the
scores of the single examples, at 95 %: of a share that of Wilson (1927, J Am Stat Assoc 22:209), of other means and of paired
differences the normal one, mean +- 1.96 s / sqrt(n). They take examples for independent, which those of one client are not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.answers import BASELINE, CANDIDATE, SERVED
from components.run_report.sources import Missing, Sources
from components.scores import HIGHER_IS_BETTER, PRINCIPAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Reader = Callable[[str], Any]
"""A ModelEvaluation's uri -> `slices`: ((feature, value), ...) -> model -> (name, rest) -> value."""

CONFIDENCE = 0.95
_Z = 1.959964
_EXAMPLES = "example_count"
_FEWEST = 2
_MOST_SLICES = 40
_KNOWN = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): name for name in HIGHER_IS_BETTER}


def metrics(sources: Sources, read: Reader | None) -> dict[str, Any]:
    """Every metric on all evaluation examples, of each model that was measured, and the differences of the models."""
    found, examples = _analysed(sources, read)
    scores = _scores(sources)
    rows = [_row(name, found.get(name, {}), scores) for name in dict.fromkeys([*found, *scores.names])]
    if not rows:
        raise Missing("nothing was measured")
    principal = next((name for name in PRINCIPAL.values() if any(row["metric"] == name for row in rows)), rows[0]["metric"])
    rows.sort(key=lambda row: row["metric"] != principal)
    models = [model for model in (CANDIDATE, BASELINE, SERVED) if any(model in row["models"] for row in rows)]
    return {
        "examples": examples or scores.examples,
        "confidence": CONFIDENCE,
        "principal": principal,
        "models": models,
        "rows": rows,
        "comparisons": [
            comparison for row in rows for other in models[1:] if (comparison := _comparison(row["metric"], other, scores))
        ],
        "not_analysed": None if read else "TensorFlow Model Analysis' results are read by the RunReport node only",
    }


class _Scores:
    """Scores of single examples by `model:metric`, and what PairedEvaluator says of them all."""

    def __init__(self, columns: Mapping[str, Values], summary: Mapping[str, Any]) -> None:
        self.columns, self.summary = columns, summary
        self.names = [name for name in summary.get("metrics", []) if f"{CANDIDATE}:{name}" in columns]
        self.examples = int(summary.get("examples", 0))

    def of(self, model: str, metric: str) -> Values | None:
        return self.columns.get(f"{model}:{metric}")


def _scores(sources: Sources) -> _Scores:
    import numpy as np
    from pyarrow import parquet

    try:
        summary = sources.json("paired_scores", "summary.json")
        table = parquet.read_table(sources.file("paired_scores", "scores.parquet"))
    except (Missing, OSError, ValueError):
        return _Scores({}, {})
    columns = {name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in table.column_names if ":" in name}
    return _Scores({name: of for name, of in columns.items() if len(of) >= _FEWEST and np.isfinite(of).all()}, summary)


def _analysed(sources: Sources, read: Reader | None) -> tuple[dict[str, dict[str, float]], int]:
    """Metric -> model -> value on all examples, and how many these are."""
    found: dict[str, dict[str, float]] = {}
    examples = 0
    for role, models in (
        ("evaluation", {CANDIDATE: CANDIDATE, SERVED: SERVED}),
        ("baseline_evaluation", {CANDIDATE: BASELINE}),
    ):
        overall = _slices(sources, role, read).get((), {})
        for measured, model in models.items():
            for (name, rest), value in overall.get(measured, {}).items():
                if name == _EXAMPLES:
                    examples = examples or int(value or 0)
                elif value is not None and math.isfinite(value):
                    found.setdefault(_metric(name, rest), {})[model] = value
    return found, examples


def _slices(sources: Sources, role: str, read: Reader | None) -> Mapping[Any, Any]:
    if read is None or role not in sources.artifacts or not Path(sources.artifacts[role].uri).is_dir():
        return {}
    try:
        slices: Mapping[Any, Any] = read(sources.artifacts[role].uri).slices
    except Exception:  # not evaluated, or damaged; what the paired scores hold is left
        return {}
    return slices


def _metric(name: str, rest: str) -> str:
    """The name that the config has for it, as far as it is one of ours."""
    known = _KNOWN.get(name, name)
    return f"{known} ({rest})" if rest else known


def _row(metric: str, values: Mapping[str, float], scores: _Scores) -> dict[str, Any]:
    models = {}
    for model in (CANDIDATE, BASELINE, SERVED):
        column = scores.of(model, metric)
        if model not in values and column is None:
            continue
        low, high = (None, None) if column is None else interval(column)
        value = values.get(model, float(column.mean()) if column is not None else None)
        models[model] = {"value": value, "low": low, "high": high}
    constant = scores.summary.get("constant", {}).get(metric)
    return {"metric": metric, "higher_is_better": HIGHER_IS_BETTER.get(metric), "constant": constant, "models": models}


def interval(values: Values) -> tuple[float, float]:
    """Returns the ends of the 95 % interval of the mean of values, float64 [n >= 2]; Wilson's if all are 0 or 1."""
    n, mean = len(values), float(values.mean())
    if bool(((values == 0) | (values == 1)).all()):
        centre, spread = (mean + _Z**2 / (2 * n)), _Z * math.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n * n))
        return max(0.0, (centre - spread) / (1 + _Z**2 / n)), min(1.0, (centre + spread) / (1 + _Z**2 / n))
    half = _Z * float(values.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def _comparison(metric: str, other: str, scores: _Scores) -> dict[str, Any] | None:
    """The mean difference on the same examples, and whether it is more than these examples' chance."""
    ours, theirs = scores.of(CANDIDATE, metric), scores.of(other, metric)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return None
    differences = ours - theirs
    mean, half = float(differences.mean()), _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    up = mean if HIGHER_IS_BETTER.get(metric, True) else -mean
    verdict = "no clear difference" if abs(mean) <= half else "better" if up > 0 else "worse"
    return {
        "metric": metric,
        "with": other,
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
        "verdict": verdict,
    }


def slices(sources: Sources, read: Reader | None) -> dict[str, Any]:
    """The first metric on each slice that the gate's config asks for, the worst first; `left_out` slices are not shown."""
    if read is None:
        raise Missing("TensorFlow Model Analysis' results are read by the RunReport node only")
    sources.artifact("evaluation")
    found = {key: models for key, models in _slices(sources, "evaluation", read).items() if key}
    if not found:
        raise Missing("the config slices by no feature (gate.slices)")
    metric = _principal(found)
    rows = [_slice(key, models, metric) for key, models in found.items()]
    known = [row for row in rows if row["models"].get(CANDIDATE) is not None]
    higher = HIGHER_IS_BETTER.get(metric, True)
    known.sort(key=lambda row: row["models"][CANDIDATE] * (1 if higher else -1))
    return {"metric": metric, "rows": known[:_MOST_SLICES], "left_out": len(rows) - len(known[:_MOST_SLICES])}


def _principal(found: Mapping[Any, Any]) -> str:
    names = [_metric(*key) for models in found.values() for key in models.get(CANDIDATE, {}) if key[0] != _EXAMPLES]
    if not names:
        raise Missing("no slice has a metric")
    return next((name for name in PRINCIPAL.values() if name in names), names[0])


def _slice(key: Any, models: Mapping[str, Any], metric: str) -> dict[str, Any]:
    values = {model: {_metric(*name): value for name, value in of.items()} for model, of in models.items()}
    return {
        "slice": ", ".join(f"{feature} = {value}" for feature, value in key),
        "examples": values.get(CANDIDATE, {}).get(_EXAMPLES),
        "models": {model: of[metric] for model, of in values.items() if of.get(metric) is not None},
    }


def clients(sources: Sources) -> dict[str, Any]:
    """How the metrics are distributed over clients, as FederatedEvaluator summed it up; only of enough clients."""
    if not sources.federated:
        raise Missing("the model is trained on pooled examples; there are no clients")
    if "client_metrics" not in sources.artifacts:
        raise Missing("no client was evaluated: the split holds nothing out (split.holdout, split.holdout_clients)")
    found = sources.json("client_metrics", "summary.json")
    if not found.get("evaluated"):
        raise Missing("the clients were not evaluated: the model was not loaded")
    if not found.get("shown"):
        raise Missing(
            f"{found['clients']} evaluation clients are fewer than the {found['min_clients']} of gate.clients.min_clients"
        )
    return {"clients": found["clients"], "examples": found["examples"], "metrics": found["metrics"]}
