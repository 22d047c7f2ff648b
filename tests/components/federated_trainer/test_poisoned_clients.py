"""Hostile clients in real trainings of a small classifier: what each rule stands, and what is too much for it.

Eleven clients, all of them in every round. Hostile ones hold the same examples, so that they agree with each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_trainer import algorithms
from components.federated_trainer.clients.work import ClientWork
from errors import TrainingError

pytestmark = pytest.mark.slow

CLIENTS = 11
NEAR = 0.08  # as accuracies go
# What each rule is told, and the most hostile clients of CLIENTS that it stands.
BOUNDS = {"median": (None, 5), "trimmed_mean": (5, 5), "krum": (4, 4), "multi_krum": (4, 4), "geometric_median": (None, 5)}
# Attack -> factor on the update, label -> the label in the hostile data.
ATTACKS: dict[str, tuple[float, Callable[[int], int]]] = {
    "scaled": (50.0, lambda label: 0),
    "sign-flipped": (-5.0, lambda label: label),
    "nan": (float("nan"), lambda label: label),
    "label-flipped": (1.0, lambda label: (label + 1) % 3),
    "enormous": (1e5, lambda label: 0),
}
COMMON = ("scaled", "sign-flipped", "nan", "label-flipped")
FAST = ("median", "sign-flipped")


class HostileWork(ClientWork):
    """Multiplies what it sends with the fourth input of its examples, which the model does not look at."""

    def make_slots(self) -> None:
        self._factor = tf.Variable(1.0, trainable=False)

    def descend(self, gradients: Any, examples: Any, x: Any, y: Any) -> None:
        self._factor.assign(x[0, 3])
        super().descend(gradients, examples, x, y)

    def finish(self, steps: Any, seen: Any) -> Any:
        change, kept = super().finish(steps, seen)
        return [self._factor * delta for delta in change], kept


@pytest.fixture(scope="module", autouse=True)
def hostile() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        work = algorithms.Algorithm(HostileWork, algorithms.ALGORITHMS["fedavg"].optimizer)
        patched.setitem(algorithms.ALGORITHMS, "hostile", work)
        yield


def with_factor(records: list[bytes], factor: float) -> list[bytes]:
    examples = list(map(tf.train.Example.FromString, records))
    for example in examples:
        example.features.feature["x"].float_list.value.append(factor)
    return [example.SerializeToString() for example in examples]


@pytest.fixture(scope="module")
def accuracy(make_job, train, write_clients, classes, class_source) -> Callable[..., float]:
    """Trains with some hostile clients; returns the model's share of right answers on examples of nobody's."""
    source = class_source.replace("FixedLenFeature([3]", "FixedLenFeature([4]")
    source = source.replace(
        "[tf.keras.layers.Input([3])", "[tf.keras.layers.Input([4]), tf.keras.layers.Lambda(lambda x: x[:, :3])"
    )
    uris: dict[tuple[str, int], str] = {}
    numbers = itertools.count()
    test = tf.io.parse_example(
        classes(1000, 99), {"x": tf.io.FixedLenFeature([3], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}
    )

    def written(attack: str, count: int) -> str:
        if (attack, count) not in uris:
            factor, label = ATTACKS[attack]
            bad = with_factor(classes(30, 0, label), factor)
            good = {f"client-{i:02d}": with_factor(classes(30, 1 + i), 1.0) for i in range(count, CLIENTS)}
            clients = {f"client-{i:02d}": bad for i in range(count)} | good
            uris[attack, count] = write_clients(f"{attack}-{count}", clients)
        return uris[attack, count]

    def run(attack: str, count: int, **aggregation: Any) -> float:
        settings = {"rounds": 4, "clients_per_round": None, "local_epochs": 2, "batch_size": 10, "client_learning_rate": 0.3}
        job = make_job(
            f"run-{next(numbers)}",
            written(attack, count),
            source=source,
            algorithm="hostile",
            shuffle=False,
            participation={"sampling": "full", "retries": 0},
            aggregation=aggregation,
            **settings,
        )
        trained = train(job)
        assert trained.facts["excluded_updates"] == (4 * count if attack == "nan" else 0)
        kernel, bias = trained.weights
        return float(np.mean(np.argmax(test["x"] @ kernel + bias, axis=1) == test["y"]))

    return run


@pytest.fixture(scope="module")
def clean(accuracy) -> float:
    return accuracy("scaled", 0)


def test_classifier_learns_without_hostile_clients(clean) -> None:
    assert clean > 0.95


@pytest.mark.parametrize("attack", ["scaled", "sign-flipped"])
def test_two_hostile_clients_are_enough_to_break_the_mean(attack, accuracy, clean) -> None:
    assert accuracy(attack, 2) < clean - 0.3


def test_mean_stands_clients_that_send_nan(accuracy, clean) -> None:
    assert accuracy("nan", 5) > clean - NEAR


@pytest.mark.parametrize(
    ("rule", "attack"),
    [
        pytest.param(rule, attack, marks=[] if (rule, attack) == FAST else pytest.mark.slow)
        for rule in BOUNDS
        for attack in COMMON
    ],
)
def test_rule_stands_as_many_as_its_bound_says(rule, attack, accuracy, clean) -> None:
    byzantine, most = BOUNDS[rule]
    assert accuracy(attack, most, rule=rule, byzantine=byzantine) > clean - NEAR


@pytest.mark.parametrize("rule", [pytest.param(rule, marks=[] if rule == "median" else pytest.mark.slow) for rule in BOUNDS])
def test_hostile_majority_is_too_much_for_every_rule(rule, accuracy, clean) -> None:
    assert accuracy("sign-flipped", 6, rule=rule, byzantine=BOUNDS[rule][0]) < clean - 0.3


@pytest.mark.slow
def test_fewer_updates_than_a_rule_needs_stop_the_training(accuracy) -> None:
    """Nine of eleven send NaN: the two that are left are no three, which is what Krum needs at the least."""
    with pytest.raises(TrainingError, match=r"^round 1 has 2 updates that count after 1 attempts; expected at least 3 "):
        accuracy("nan", 9, rule="krum", byzantine=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "aggregation",
    [{"clip": 1.0, "rule": "simulated_secure_mean"}, {"clip": "adaptive", "clip_quantile": 0.5}],
    ids=["fixed", "adaptive"],
)
def test_clipping_bounds_what_few_clients_can_do_and_not_what_many_can(aggregation, accuracy, clean) -> None:
    assert accuracy("scaled", 2, **aggregation) > clean - NEAR
    assert accuracy("sign-flipped", 7, **aggregation) < clean - 0.3


@pytest.mark.slow
def test_zeroing_takes_far_too_large_updates_out_and_leaves_those_that_hide_among_the_others(accuracy, clean) -> None:
    assert accuracy("enormous", 2, zeroing=True) > clean - NEAR
    assert accuracy("label-flipped", 7, zeroing=True) < clean - 0.3
