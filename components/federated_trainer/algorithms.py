"""CHANGE THE FEDERATED ALGORITHM HERE: what clients do, and what the server makes of it, by name.

Adding one is a class of client work, a server half (either may be one that is there), a line in ALGORITHMS and a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer.clients import work as clients
from components.federated_trainer.schedules import multiplier

Settings = Mapping[str, Any]
Arrays = list[np.ndarray]
State = dict[str, Arrays]
"""What the server keeps: `weights` and `frozen` (the model's trainable and other weights), `optimizer`, `extra`."""


class Server:
    """Takes the mean change of the clients for a gradient, negated, and makes an optimizer's step with it (Reddi et al. 2021,
    "Adaptive Federated Optimization", algorithm 1); with plain SGD and a rate of 1 that is federated averaging.
    """

    def __init__(self, settings: Settings, optimizer: Any, population: int) -> None:
        """Takes the `train` section, one of TFF's optimizers, and how many clients there are in all."""
        import tensorflow as tf

        self._settings, self._optimizer, self._population = settings, optimizer, population
        self._next = tf.function(self._traced_next, autograph=False)

    def initial(self, weights: Arrays, frozen: Arrays) -> State:
        """Returns the state before the first round."""
        return {
            "weights": weights,
            "frozen": frozen,
            "optimizer": _flat(self._optimizer.initialize(_specs(weights))),
            "extra": self.initial_extra(weights),
        }

    def initial_extra(self, weights: Arrays) -> Arrays:
        """Returns what clients are sent beside the weights, before the first round."""
        return []

    def message(self, state: State, number: int, clip: float, zero: float) -> dict[str, Any]:
        """Returns what the clients of round `number` are sent (see ClientWork.load); norms may be infinite."""
        rate = (self._settings["client_learning_rate"] or 0.0) * multiplier(self._settings["client_schedule"], number)
        numbers = np.array([rate, clip, zero], np.float32)
        return {"weights": state["weights"], "frozen": state["frozen"], "extra": state["extra"], "numbers": numbers}

    def update(self, state: State, mean: Arrays, reports: int, number: int) -> State:
        """Returns the state after round `number`.

        Args:
          state: before it.
          mean: of what the clients sent, part after part.
          reports: how many clients that is of.
          number: of the round, from 1.
        """
        return self.step(state, mean, number)

    def step(self, state: State, change: Sequence[np.ndarray], number: int) -> State:
        """Returns the state after the optimizer's step along `change`."""
        import tensorflow as tf

        rate = self._settings["server_learning_rate"] * multiplier(self._settings["server_schedule"], number)
        pairs = zip(change, state["weights"], strict=True)
        gradients = [-np.asarray(delta, weight.dtype) for delta, weight in pairs]
        optimizer, weights = self._next(state["optimizer"], state["weights"], gradients, tf.constant(rate, tf.float32))
        return {**state, "weights": [weight.numpy() for weight in weights], "optimizer": _flat(optimizer)}

    def _traced_next(self, optimizer: Sequence[Any], weights: Sequence[Any], gradients: Sequence[Any], rate: Any) -> Any:
        import tensorflow as tf

        before = tf.nest.pack_sequence_as(self._optimizer.initialize(_specs(weights)), optimizer)
        before = self._optimizer.set_hparams(before, {**self._optimizer.get_hparams(before), "learning_rate": rate})
        after, stepped = self._optimizer.next(before, tuple(weights), tuple(gradients))
        return tf.nest.flatten(after), list(stepped)


class MimeLiteServer(Server):
    """Also moves the momentum, m = beta m + mean gradient at the global weights (Karimireddy et al. 2021)."""

    def initial_extra(self, weights: Arrays) -> Arrays:
        """Returns a momentum of 0."""
        return list(map(np.zeros_like, weights))

    def update(self, state: State, mean: Arrays, reports: int, number: int) -> State:
        """Steps, then moves the momentum that the next round's clients use."""
        change, gradient = mean[: len(mean) // 2], mean[len(mean) // 2 :]
        beta = np.float32(self._settings["momentum"])
        return {
            **self.step(state, change, number),
            "extra": [beta * m + g for m, g in zip(state["extra"], gradient, strict=True)],
        }


class ScaffoldServer(Server):
    """Also moves the common control variate, c += reports / clients in all * mean change of c_i (Karimireddy et al. 2020)."""

    def initial_extra(self, weights: Arrays) -> Arrays:
        """Returns a control variate of 0."""
        return list(map(np.zeros_like, weights))

    def update(self, state: State, mean: Arrays, reports: int, number: int) -> State:
        """Steps, then moves the control variate."""
        change, control = mean[: len(mean) // 2], mean[len(mean) // 2 :]
        share = np.float32(reports / self._population)
        return {
            **self.step(state, change, number),
            "extra": [c + share * d for c, d in zip(state["extra"], control, strict=True)],
        }


class FairServer(Server):
    """w -= sum of F^q dw / sum of h (Li et al. 2020, q-FedAvg); as a change, so that the server's learning rate applies."""

    def update(self, state: State, mean: Arrays, reports: int, number: int) -> State:
        """Divides the one mean by the other; where losses to the power of q underflow, both are 0, and nothing changes."""
        *change, bound = mean
        known = bound[0] > 0
        return self.step(state, [delta / bound[0] if known else np.zeros_like(delta) for delta in change], number)


@dataclass(frozen=True)
class Algorithm:
    """A federated algorithm: the clients' half, the server's half, and the server's optimizer.

    uniform: all clients weigh the same, whatever `train.weighting` says, because the paper's derivation needs it.
    """

    client: type[clients.ClientWork]
    optimizer: Callable[[Settings], Any]
    server: type[Server] = Server
    uniform: bool = False


def _sgd(settings: Settings) -> Any:
    from tensorflow_federated.python.learning.optimizers import sgdm

    return sgdm.build_sgdm(settings["server_learning_rate"])


def _momentum(settings: Settings) -> Any:
    """Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification"."""
    from tensorflow_federated.python.learning.optimizers import sgdm

    return sgdm.build_sgdm(settings["server_learning_rate"], settings["momentum"])


def _adam(settings: Settings) -> Any:
    from tensorflow_federated.python.learning.optimizers import adam

    return adam.build_adam(settings["server_learning_rate"], settings["beta_1"], settings["beta_2"], settings["adaptivity"])


def _yogi(settings: Settings) -> Any:
    from tensorflow_federated.python.learning.optimizers import yogi

    return yogi.build_yogi(
        settings["server_learning_rate"],
        settings["beta_1"],
        settings["beta_2"],
        settings["adaptivity"],
        settings["initial_accumulator"],
    )


def _adagrad(settings: Settings) -> Any:
    from tensorflow_federated.python.learning.optimizers import adagrad

    return adagrad.build_adagrad(settings["server_learning_rate"], settings["initial_accumulator"], settings["adaptivity"])


ALGORITHMS: dict[str, Algorithm] = {
    "fedavg": Algorithm(clients.ClientWork, _sgd),
    "fedavgm": Algorithm(clients.ClientWork, _momentum),
    "fedadam": Algorithm(clients.ClientWork, _adam),
    "fedyogi": Algorithm(clients.ClientWork, _yogi),
    "fedadagrad": Algorithm(clients.ClientWork, _adagrad),
    "fedprox": Algorithm(clients.ProximalWork, _sgd),
    "fedsgd": Algorithm(clients.GradientWork, _sgd),
    "mime_lite": Algorithm(clients.MimeLiteWork, _sgd, MimeLiteServer),
    "scaffold": Algorithm(clients.ScaffoldWork, _sgd, ScaffoldServer, uniform=True),
    "qfedavg": Algorithm(clients.FairWork, _sgd, FairServer, uniform=True),
}


def server(settings: Settings, population: int) -> Server:
    """Returns the server half of the algorithm that the `train` section names."""
    algorithm = ALGORITHMS[settings["algorithm"]]
    return algorithm.server(settings, algorithm.optimizer(settings), population)


def _specs(weights: Sequence[Any]) -> tuple[Any, ...]:
    import tensorflow as tf

    return tuple(tf.TensorSpec(weight.shape, weight.dtype) for weight in weights)


def _flat(structure: Any) -> Arrays:
    import tensorflow as tf

    arrays = map(np.asarray, tf.nest.flatten(structure))
    return [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]  # Python's floats
