"""Stops a centralised training as soon as its model is good enough."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from errors import ConfigError, TrainingError
from modeling import batches
from modeling.contract import ModelModule

logger = logging.getLogger(__name__)
_CHECKS_PER_EPOCH = 20


def stopping_metric(module: ModelModule) -> Any:
    """Returns a fresh one of the metric that is looked at: the first of the module's.

    Raises:
      ConfigError: the module has none.
    """
    metrics = module.build_metrics()
    if not metrics:
        raise ConfigError(f"baseline.stop_at: needs a metric to look at, and build_metrics() of {module.name} returns none.")
    return metrics[0]


def _trained_on(patterns: Sequence[str]) -> int:
    held_out, rest = batches.count(patterns, "tenth"), batches.count(patterns, "rest")
    if not held_out or not rest:
        raise TrainingError(
            f"baseline.stop_at holds out about a tenth of the train split, and got {held_out} of {held_out + rest} examples;"
            " expected some on both sides: give more examples, or leave it out."
        )
    return rest


class Stop:
    """Ends a `fit` when the metric, on a tenth of the train split that is not trained on, is at least `stop_at`.

    Not on the eval split, whose examples the gate judges by. Which tenth, `batches.Part` tells; `fit` is to get the rest.

    A model may leap from 0.1 to 0.9 within an epoch, so this is looked at about 20 times in each, and at its end. The price is
    as many evaluations, and two passes over the train split to count its examples.
    """

    def __init__(self, module: ModelModule, fn_args: Any) -> None:
        """Takes what `centralised.train` takes; custom_config's stop_at is a number.

        Raises:
          ConfigError: the module has no metric.
          TrainingError: the train split is so small that the tenth or the rest is empty.
        """
        settings = fn_args.custom_config
        self._target, self._epochs = settings["stop_at"], settings["epochs"]
        self._metric = stopping_metric(module)
        self._examples = batches.dataset(module, fn_args.train_files, batch_size=1024, part="tenth")
        self._batches = math.ceil(_trained_on(fn_args.train_files) / settings["batch_size"])
        self._every = max(1, self._batches // _CHECKS_PER_EPOCH)
        self._epoch = 0
        self._best = -math.inf
        self._where = ""

    def callback(self, model: Any) -> Any:
        """Returns the Keras callback for the `fit` of `model`."""
        import tensorflow as tf

        def begin(epoch: int, logs: Any) -> None:
            self._epoch = epoch + 1

        def check(batch: int, logs: Any) -> None:
            if not (batch + 1) % self._every or batch + 1 == self._batches:
                model.stop_training = self._reached(model, batch + 1)

        return tf.keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_train_batch_end=check)

    def _reached(self, model: Any, done: int) -> bool:
        value = self._measured(model)
        self._best = max(self._best, value)
        if value >= self._target:
            self._where = f"in epoch {self._epoch}, after {done} of {self._batches} batches"
        return value >= self._target

    def _measured(self, model: Any) -> float:
        """Not by `evaluate`, which would spoil what `fit` has counted of the epoch."""
        self._metric.reset_state()
        for x, y in self._examples:
            self._metric.update_state(y, model(x, training=False))
        return float(self._metric.result())

    def tell(self) -> None:
        """Logs where it stopped.

        Raises:
          TrainingError: it did not.
        """
        if not self._where:
            raise TrainingError(
                f"the baseline's {self._metric.name} on the held-out tenth was at most {self._best:.4f} in {self._epochs}"
                f" epochs; expected baseline.stop_at {self._target:g}: raise baseline.epochs, or lower it."
            )
        logger.info("stopped at %s %.4f %s", self._metric.name, self._best, self._where)
