"""Scores against Keras and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from components import scores
from errors import ConfigError, DataError

RANDOM = np.random.default_rng(7)
EDGES = np.array([[1, 0, 0], [0, 1, 0], [0.2, 0.2, 0.2], [1e-9, 0.5, 0.5], [0.7, 0.7, 0.1], [1 / 3, 1 / 3, 1 / 3]], np.float32)
SCORES = np.concatenate([RANDOM.dirichlet([1, 1, 1], 60).astype(np.float32), EDGES])
CLASSES = RANDOM.integers(0, 3, len(SCORES))
CHANCES = np.concatenate([RANDOM.random([57, 2], np.float32), np.array([[0, 1], [0.5, 0.5], [1e-8, 1 - 1e-8]], np.float32)])
HITS = RANDOM.integers(0, 2, CHANCES.shape).astype(np.float64)
KINDS = {"classes": (CLASSES, SCORES), "binary": (HITS, CHANCES), "regression": (HITS * 1e3, 1e3 * CHANCES)}


@pytest.mark.parametrize(("kind", "metric"), [(kind, metric) for kind, metrics in scores.KINDS.items() for metric in metrics])
def test_every_example_has_the_metric_that_keras_gives_it(kind: str, metric: str) -> None:
    import tensorflow as tf

    labels, predictions = KINDS[kind]
    measure = getattr(tf.keras.metrics, metric)()
    expected = []
    for label, prediction in zip(labels, predictions, strict=True):
        measure.reset_state()
        measure.update_state([label], [prediction])
        expected.append(float(measure.result()))
    np.testing.assert_allclose(scores.ingredient(metric, labels, predictions), expected, rtol=2e-6, atol=2e-7)


def test_root_of_a_group_is_what_keras_gives_it() -> None:
    import tensorflow as tf

    labels, predictions = KINDS["regression"]
    values = scores.ingredient("RootMeanSquaredError", labels, predictions)
    expected = []
    for group in (slice(0, 1), slice(1, 20), slice(20, None)):
        measure = tf.keras.metrics.RootMeanSquaredError()
        measure.update_state(labels[group], predictions[group])
        expected.append(float(measure.result()))
    found = scores.of_groups("RootMeanSquaredError", values, labels, np.array([0, 1, 20]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_auc_of_groups_is_what_sklearn_gives_them_ties_included() -> None:
    from sklearn.metrics import roc_auc_score

    sizes = RANDOM.integers(2, 60, 40)
    starts = np.cumsum(sizes) - sizes
    chances = np.round(RANDOM.random([sizes.sum(), 1]), 1).astype(np.float32)
    labels = RANDOM.integers(0, 2, chances.shape).astype(np.float64)
    values = scores.ingredient("AUC", labels, chances)
    found = scores.of_groups("AUC", values, labels, starts)
    pairs = zip(np.split(labels, starts[1:]), np.split(chances, starts[1:]), strict=True)
    expected = [roc_auc_score(label, chance) if len(np.unique(label)) == 2 else np.nan for label, chance in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_auc_of_several_outputs_counts_each_as_an_example() -> None:
    from sklearn.metrics import roc_auc_score

    found = scores.of_groups("AUC", scores.ingredient("AUC", HITS, CHANCES), HITS, np.array([0, 30]))
    expected = [roc_auc_score(HITS[part].ravel(), CHANCES[part].ravel()) for part in (slice(0, 30), slice(30, None))]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_auc_is_not_defined_for_one_class_soft_labels_or_a_prediction_that_is_not_finite() -> None:
    labels = np.array([[1], [1], [0.5], [0], [1], [0], [0], [1]], np.float64)
    chances = np.array([[0.1], [0.2], [0.1], [0.2], [np.nan], [0.1], [0.3], [0.4]], np.float32)
    found = scores.of_groups("AUC", scores.ingredient("AUC", labels, chances), labels, np.array([0, 2, 4, 6]))
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 1.0])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", scores.KINDS)
def test_a_prediction_that_is_not_finite_has_no_score_and_spoils_no_other(kind: str, broken: float) -> None:
    labels, predictions = KINDS[kind]
    spoilt = predictions.copy()
    spoilt[3, 1] = broken
    assert np.flatnonzero(~scores.finite(spoilt)).tolist() == [3]
    for metric in scores.KINDS[kind]:
        whole, found = scores.ingredient(metric, labels, predictions), scores.ingredient(metric, labels, spoilt)
        assert np.isnan(found[3])
        np.testing.assert_array_equal(np.delete(found, 3), np.delete(whole, 3))


def test_the_best_constant_is_the_best_by_each_metric() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    assert scores.constant("SparseCategoricalAccuracy", labels) == 0.5
    shares = np.array([3, 1, 2]) / 6
    np.testing.assert_allclose(scores.constant("SparseCategoricalCrossentropy", labels), -(shares * np.log(shares)).sum())
    column = np.array([[0.0], [0.0], [1.0], [7.0]])
    grid = np.linspace(0, 7, 7001)
    for metric in scores.KINDS["regression"]:
        best = min(scores.ingredient(metric, column, np.full([4, 1], value, np.float32)).mean() for value in grid)
        np.testing.assert_allclose(scores.constant(metric, column), best, rtol=1e-6)
    hits = np.array([[0.0], [1.0], [1.0]])
    assert scores.constant("BinaryAccuracy", hits) == pytest.approx(2 / 3)
    assert scores.constant("BinaryCrossentropy", hits) == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert scores.constant("BinaryCrossentropy", np.ones([3, 1])) == 0


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("classes", [0, 1, 3]),
        ("classes", [0, -1]),
        ("classes", [0.5, 1.0]),
        ("classes", [[0, 1]]),
        ("binary", [0.0, 1.5]),
        ("binary", [np.nan]),
        ("regression", [1.0, np.inf]),
        ("regression", [b"4711"]),
    ],
)
def test_wrong_labels_are_one_line_without_the_label(kind: str, labels: list) -> None:
    with pytest.raises(DataError) as refused:
        scores.usable_labels(kind, np.array(labels), 3)
    assert "\n" not in str(refused.value)
    assert not any(str(value) in str(refused.value) for value in ("1.5", "4711", "3", "-1", "inf"))


def test_labels_of_any_form_become_one() -> None:
    assert scores.usable_labels("classes", np.array([[1], [0]]), 2).tolist() == [1, 0]
    assert scores.usable_labels("binary", np.array([1, 0]), None).tolist() == [[1.0], [0.0]]
    assert scores.usable_labels("regression", np.zeros([2, 3, 1]), None).shape == (2, 3)


def test_unknown_metrics_and_kinds_are_refused_and_told_what_there_is() -> None:
    assert scores.chosen("classes", None) == list(scores.KINDS["classes"])
    assert scores.chosen("binary", ["AUC", "AUC"], scores.CLIENT_KINDS) == ["AUC"]
    for kind, metrics in (("classes", ["AUC"]), ("binary", []), ("kind", None), ("regression", ["R2"])):
        with pytest.raises(ConfigError, match="expected"):
            scores.chosen(kind, metrics)


def test_every_metric_says_which_way_is_better() -> None:
    assert set(scores.HIGHER_IS_BETTER) == {metric for metrics in scores.CLIENT_KINDS.values() for metric in metrics}
    assert all(scores.PRINCIPAL[kind] in metrics for kind, metrics in scores.KINDS.items())
