"""How a metric is distributed over clients."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.scores import HIGHER_IS_BETTER

QUANTILES = ("0", "0.1", "0.25", "0.5", "0.75", "0.9", "1")


def describe(metric: str, values: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
    """Returns what client_metrics' summary.json says of a metric of a model.

    Args:
      metric: a key of `scores.HIGHER_IS_BETTER`.
      values: float64 [clients], NaN where it is not defined for a client; those count as `undefined` and nowhere else.
      examples: int64 [clients], the weights of the weighted mean.

    Returns:
      undefined (int); mean, weighted_mean, std (of the population), quantiles and worst_decile, None if defined for nobody.
    """
    defined = np.isfinite(values)
    there = values[defined]
    undefined = {"undefined": int((~defined).sum())}
    if not len(there):
        nothing = dict.fromkeys(("mean", "weighted_mean", "std", "worst_decile"))
        return {**undefined, **nothing, "quantiles": dict.fromkeys(QUANTILES)}
    return {
        **undefined,
        "mean": float(there.mean()),
        "weighted_mean": float(np.average(there, weights=examples[defined])),
        "std": float(there.std()),
        "quantiles": dict(zip(QUANTILES, np.quantile(there, [float(q) for q in QUANTILES]).tolist(), strict=True)),
        "worst_decile": worst_decile(metric, there),
    }


def worst_first(metric: str, values: np.ndarray) -> np.ndarray:
    """Returns the values, the worst first."""
    ordered = np.sort(values)
    return ordered if HIGHER_IS_BETTER[metric] else ordered[::-1]


def worst_decile(metric: str, values: np.ndarray) -> float:
    """Returns the mean over the worst tenth of clients, rounded down, at least one of them; `values` finite, at least one."""
    return float(worst_first(metric, values)[: max(1, len(values) // 10)].mean())
