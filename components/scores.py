"""Metrics as Keras and TensorFlow Model Analysis define them, example by example and client by client, in NumPy.

Labels are int64 [n] for the kind `classes` and float64 [n, outputs] otherwise; predictions float32 [n, classes] or [n,
outputs]. An example whose prediction is not finite has the score NaN, whatever Keras would make of it. Formulas:
keras.losses and keras.metrics of Keras 2.15, whose crossentropies are computed in float32, because clipping to 1 - 1e-7
depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from errors import ConfigError, DataError

KINDS: dict[str, tuple[str, ...]] = {
    "classes": ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"),
    "binary": ("BinaryAccuracy", "BinaryCrossentropy", "MeanAbsoluteError", "MeanSquaredError"),
    "regression": ("MeanAbsoluteError", "MeanSquaredError"),
}
"""What can be measured of a single example."""
CLIENT_KINDS: dict[str, tuple[str, ...]] = {
    "classes": KINDS["classes"],
    "binary": (*KINDS["binary"], "AUC"),
    "regression": (*KINDS["regression"], "RootMeanSquaredError"),
}
"""What can be measured of a client: means of the above, and what only several examples have."""
PRINCIPAL = {"classes": "SparseCategoricalAccuracy", "binary": "BinaryAccuracy", "regression": "MeanSquaredError"}
HIGHER_IS_BETTER = {
    "SparseCategoricalAccuracy": True,
    "SparseCategoricalCrossentropy": False,
    "BinaryAccuracy": True,
    "BinaryCrossentropy": False,
    "MeanAbsoluteError": False,
    "MeanSquaredError": False,
    "RootMeanSquaredError": False,
    "AUC": True,
}
_EPSILON = np.float32(1e-7)


def chosen(kind: str, metrics: Sequence[str] | None, known: dict[str, tuple[str, ...]] = KINDS) -> list[str]:
    """Returns the metrics to measure, each once: those asked for, or all of the kind.

    Raises:
      ConfigError: the kind is unknown or does not have one of the metrics.
    """
    if kind not in known:
        raise ConfigError(f"expected one of the kinds {', '.join(known)}, got {kind!r}.")
    asked = list(dict.fromkeys(metrics if metrics is not None else known[kind]))
    if not asked or (unknown := [metric for metric in asked if metric not in known[kind]]):
        got = ", ".join(unknown) if asked else "none"
        raise ConfigError(f"expected metrics of the kind {kind} ({', '.join(known[kind])}), got {got}.")
    return asked


def usable_labels(kind: str, labels: np.ndarray, classes: int | None) -> np.ndarray:
    """Returns labels [n, ...] as read from examples in the form that is described above.

    Raises:
      DataError: some are not labels of this kind; does not tell which.
    """
    flat = labels.reshape([len(labels), -1])
    if kind == "classes":
        flat = flat[:, 0] if flat.shape[1] == 1 and flat.dtype.kind in "iu" else np.full(len(flat), -1)
        good, expected = (flat >= 0) & (flat < (classes or 0)), f"whole numbers from 0 to {(classes or 0) - 1}, one each,"
    else:
        flat = flat.astype(np.float64) if flat.dtype.kind in "iuf" else np.full(flat.shape, np.nan)
        binary = kind == "binary"
        good = ((flat >= 0) & (flat <= 1) if binary else np.isfinite(flat)).all(axis=1)
        expected = "from 0 to 1" if binary else "that are finite numbers"
    if not good.all():
        raise DataError(f"expected labels {expected} in the evaluation examples, got others; mend the data.")
    return flat


def finite(predictions: np.ndarray) -> np.ndarray:
    """Returns bool [n], which predictions hold nothing but finite numbers."""
    return np.isfinite(predictions).all(axis=1)


def ingredient(metric: str, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Returns what a metric is made of: float64 [n], for AUC [n, outputs]; NaN where a prediction is not finite.

    For a metric in `KINDS` it is the metric of each example.
    """
    good = finite(predictions)
    tame = np.where(good[:, None], predictions, np.float32(0.5))
    values = _INGREDIENTS[metric](labels, tame).astype(np.float64)
    values[~good] = np.nan
    return values


def of_groups(metric: str, values: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Returns float64 [groups], the metric of groups of neighbouring examples; NaN where it is not defined.

    Args:
      metric: one of CLIENT_KINDS.
      values: its `ingredient` of all examples.
      labels: of all examples.
      starts: int64 [groups], rising, where each group begins; none is empty.
    """
    if metric == "AUC":
        return _areas(values, labels, starts)
    means = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))
    return np.sqrt(means) if metric == "RootMeanSquaredError" else means


def constant(metric: str, labels: np.ndarray) -> float:
    """Returns what the best constant prediction reaches on these labels: the one that is best by this very metric."""
    if metric.startswith("Sparse"):
        shares = np.bincount(labels) / len(labels)
        return float(shares.max() if metric == "SparseCategoricalAccuracy" else _entropy(shares))
    return float(np.mean([_CONSTANTS[metric](output) for output in labels.T]))


def _sparse_accuracy(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return scores.argmax(axis=1) == labels


def _sparse_crossentropy(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Keras clips, and then renormalises, because it takes the logarithms as logits."""
    clipped = np.clip(scores, _EPSILON, 1 - _EPSILON, dtype=np.float32)
    return np.log(clipped.sum(axis=1, dtype=np.float32)) - np.log(clipped[np.arange(len(labels)), labels])


def _binary_accuracy(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return ((predictions > 0.5) == labels).mean(axis=1)


def _binary_crossentropy(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    targets, clipped = labels.astype(np.float32), np.clip(predictions, _EPSILON, 1 - _EPSILON, dtype=np.float32)
    terms = targets * np.log(clipped + _EPSILON) + (1 - targets) * np.log(1 - clipped + _EPSILON)
    return -terms.mean(axis=1, dtype=np.float64)


def _absolute_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(labels - predictions).mean(axis=1)


def _squared_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.square(labels - predictions).mean(axis=1)


_INGREDIENTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "SparseCategoricalAccuracy": _sparse_accuracy,
    "SparseCategoricalCrossentropy": _sparse_crossentropy,
    "BinaryAccuracy": _binary_accuracy,
    "BinaryCrossentropy": _binary_crossentropy,
    "MeanAbsoluteError": _absolute_error,
    "MeanSquaredError": _squared_error,
    "RootMeanSquaredError": _squared_error,
    "AUC": lambda labels, predictions: predictions,
}


def _entropy(shares: np.ndarray) -> float:
    """In nats."""
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


# Of one output: float64 [n] labels -> what the best constant reaches.
_CONSTANTS: dict[str, Callable[[np.ndarray], float]] = {
    "BinaryAccuracy": lambda labels: max(float((labels == 0).mean()), float((labels == 1).mean())),
    "BinaryCrossentropy": lambda labels: _entropy(np.array([labels.mean(), 1 - labels.mean()])),
    "MeanAbsoluteError": lambda labels: float(np.abs(labels - np.median(labels)).mean()),
    "MeanSquaredError": lambda labels: float(labels.var()),
}


def _areas(predictions: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of each group, from the rank sum of its positives (Mann and Whitney 1947).

    The exact area, as sklearn.metrics.roc_auc_score computes it. Equal predictions share the mean of their ranks; several
    outputs count as several examples, as in Keras. Not defined where all labels are equal or one is neither 0 nor 1.
    """
    outputs = labels.shape[1]
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(labels)) * outputs)
    score, label = predictions.reshape(-1), labels.reshape(-1)
    order = np.lexsort((score, group))
    score, label = score[order], label[order]  # the groups stay where they are
    first = np.flatnonzero(np.concatenate([[True], (score[1:] != score[:-1]) | (group[1:] != group[:-1])]))
    many = np.diff(first, append=len(score))
    ranks = np.repeat(first + (many + 1) / 2, many) - starts[group] * outputs
    at = starts * outputs
    positives, size = np.add.reduceat(label, at), np.diff(at, append=len(score))
    pairs = positives * (size - positives)
    hard = np.logical_and.reduceat((label == 0) | (label == 1), at) & np.logical_and.reduceat(np.isfinite(score), at)
    above = np.add.reduceat(ranks * label, at) - positives * (positives + 1) / 2
    return np.where(hard & (pairs > 0), above / np.where(pairs > 0, pairs, 1), np.nan)
