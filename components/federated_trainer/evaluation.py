"""The global model on held-out examples while it trains: FederatedSplit's evaluation side, which no client trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.federated_trainer import before
from components.federated_trainer.clients.population import Population
from errors import TrainingError
from modeling import batches
from modeling.contract import ModelModule

# Names of metrics of which less is better contain one of these.
_LESS_IS_BETTER = (
    *("loss", "error", "entropy", "divergence", "deviation", "hinge", "logcosh", "poisson", "perplexity", "false"),
    *("mae", "mse", "mape", "msle"),
)
_EXAMPLES_AT_ONCE = 1024
_SIDE = "eval"


class Evaluation:
    """Loss and metrics of a module's model on one split, all clients' examples together."""

    def __init__(self, module: ModelModule, population: Population) -> None:
        import tensorflow as tf

        self._population = population
        self._module, self._model = module, module.build_model()
        self._loss, self._metrics = module.build_loss(), module.build_metrics()
        self.names: tuple[str, ...] = ("loss", *(metric.name for metric in self._metrics))
        """What `run` returns."""
        self._step = tf.function(self._traced, autograph=False, reduce_retracing=True)

    @classmethod
    def open(cls, module: ModelModule, uri: str, settings: Mapping[str, Any]) -> Evaluation | None:
        """Returns the evaluation that the `evaluation` section asks for; None if it asks for none.

        Raises:
          TrainingError: nothing was held out, or there is no metric of that name.
        """
        if not settings["every"]:
            return None
        if _SIDE not in before.partition(uri)["index_sha256"] or not len(population := Population.open(uri, _SIDE)):
            raise TrainingError("train.evaluation.every: no example was held out; set split.holdout or split.holdout_clients.")
        evaluation = cls(module, population)
        if settings["metric"] not in evaluation.names:
            evaluation.close()
            known = ", ".join(evaluation.names)
            raise TrainingError(f"train.evaluation.metric is {settings['metric']!r}; expected one of {known}.")
        return evaluation

    def close(self) -> None:
        """Closes the files."""
        self._population.close()

    def run(self, state: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
        """Returns `loss`, the mean over the examples, and the module's metrics, of the model with these weights."""
        import tensorflow as tf

        for kind, weights in (("trainable_weights", state["weights"]), ("non_trainable_weights", state["frozen"])):
            for variable, value in zip(getattr(self._model, kind), weights, strict=True):
                variable.assign(value)
        for metric in self._metrics:
            metric.reset_state()
        loss_sum, examples = 0.0, 0
        for rows in self._chunks():
            records = tf.io.parse_tensor(self._population.read(rows), tf.string)
            for begin in range(0, len(records), _EXAMPLES_AT_ONCE):
                part = records[begin : begin + _EXAMPLES_AT_ONCE]
                loss_sum += float(self._step(part)) * len(part)
                examples += len(part)
        return {"loss": loss_sum / examples, **{metric.name: float(metric.result()) for metric in self._metrics}}

    def _chunks(self) -> list[np.ndarray]:
        """Blocks, as many together as have about as many examples as are evaluated at once."""
        rows = np.arange(self._population.blocks_of(len(self._population) - 1)[-1] + 1)
        ends = np.cumsum(self._population.examples_in(rows)) // _EXAMPLES_AT_ONCE
        return np.split(rows, np.flatnonzero(np.diff(ends)) + 1)

    def _traced(self, serialized: Any) -> Any:
        import tensorflow as tf

        x, y = batches.parse(self._module, serialized)
        outputs = self._model(x, training=False)
        for metric in self._metrics:
            metric.update_state(y, outputs)
        return tf.cast(self._loss(y, outputs), tf.float32)


def better(metric: str, value: float, than: float, by: float) -> bool:
    """Tells whether `value` of a metric is better by more than `by`; anything finite is better than NaN.

    Less is better of `loss`, and of metrics named for an error, an entropy, a divergence, a deviation or false answers, or with
    the name of one of Keras's losses.
    """
    if not np.isfinite(value):
        return False
    if not np.isfinite(than):
        return True
    gain = than - value if any(word in metric.lower() for word in _LESS_IS_BETTER) else value - than
    return gain > by
