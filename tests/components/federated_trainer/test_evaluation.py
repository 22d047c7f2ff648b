"""The global model on held-out examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_trainer.evaluation import Evaluation, better
from errors import TrainingError
from modeling import contract


@pytest.fixture(scope="module")
def held_out(classes) -> dict[str, list[bytes]]:
    """More examples than are evaluated at once, of two clients, in blocks of various sizes."""
    return {"ann": classes(1500, 1), "bob": classes(3, 2)}


@pytest.fixture(scope="module")
def uri(write_clients, classes, held_out) -> str:
    return write_clients("held-out", {"ann": classes(4, 3)}, 20_000, held_out)


@pytest.fixture(scope="module")
def module(write_module, class_source) -> Any:
    return contract.load(write_module(class_source))


def opened(module: Any, uri: str, metric: str = "loss") -> Evaluation:
    evaluation = Evaluation.open(module, uri, {"every": 1, "metric": metric})
    assert evaluation is not None
    return evaluation


def test_loss_and_metrics_are_those_of_all_held_out_examples_together(module, uri, held_out) -> None:
    evaluation = opened(module, uri)
    model = module.build_model()
    state = {"weights": [weight.numpy() for weight in model.trainable_weights], "frozen": []}
    model.compile(loss=module.build_loss(), metrics=module.build_metrics())
    raw = tf.io.parse_example([*held_out["ann"], *held_out["bob"]], module.features)
    expected = dict(zip(("loss", "accuracy"), model.evaluate(raw["x"], raw["y"], verbose=0), strict=True))
    assert evaluation.run(state) == pytest.approx(expected, rel=1e-4)
    assert evaluation.run(state) == evaluation.run(state)
    assert evaluation.names == ("loss", "accuracy")
    worse = evaluation.run({**state, "weights": [np.zeros_like(weight) for weight in state["weights"]]})
    assert worse["loss"] == pytest.approx(np.log(3), rel=1e-5)


def test_nothing_is_opened_where_nothing_is_to_be_evaluated(module) -> None:
    assert Evaluation.open(module, "/nowhere", {"every": 0}) is None


def test_metric_that_is_not_there_is_one_line_with_those_that_are(module, uri) -> None:
    with pytest.raises(TrainingError) as caught:
        opened(module, uri, "auc")
    assert str(caught.value) == "train.evaluation.metric is 'auc'; expected one of loss, accuracy."


def test_split_without_a_held_out_side_is_one_line(module, write_clients, classes) -> None:
    with pytest.raises(TrainingError, match=r"^train\.evaluation\.every: no example was held out; set split\.holdout"):
        opened(module, write_clients("all-trained-on", {"ann": classes(4, 1)}))


@pytest.mark.parametrize(
    ("metric", "value", "than", "by", "expected"),
    [
        ("loss", 0.4, 0.5, 0.0, True),
        ("loss", 0.5, 0.5, 0.0, False),
        ("loss", 0.4, 0.5, 0.2, False),
        ("accuracy", 0.6, 0.5, 0.0, True),
        ("accuracy", 0.4, 0.5, 0.0, False),
        ("mean_squared_error", 0.4, 0.5, 0.0, True),
        ("rmse", 0.4, 0.5, 0.0, True),
        ("false_positives", 4, 5, 0.0, True),
        ("true_positives", 4, 5, 0.0, False),
        ("cosine_similarity", 0.6, 0.5, 0.0, True),
        ("squared_hinge", 0.4, 0.5, 0.0, True),
        ("loss", 0.4, float("nan"), 0.2, True),
        ("loss", float("nan"), float("nan"), 0.0, False),
        ("accuracy", float("inf"), 0.5, 0.0, False),
    ],
)
def test_better_is_less_or_more_as_the_metric_has_it(metric, value, than, by, expected) -> None:
    assert better(metric, value, than, by) is expected
