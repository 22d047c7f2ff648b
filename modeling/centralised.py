"""Centralised training on the pooled train split: what a model module's run_fn calls; the baseline of the federated model."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from errors import TrainingError
from modeling import batches, contract
from modeling.export import export
from modeling.stopping import Stop

logger = logging.getLogger(__name__)


def train(fn_args: Any, module_name: str) -> None:
    """Trains the module's model with Keras' Adam on the train split and exports it with the module's signatures.

    With `stop_at`, a tenth of the train split is held out, and training ends as soon as the first of the module's metrics
    reaches that on it; see `stopping`. The eval split is only looked at to show metrics.

    Args:
      fn_args: tfx.components.FnArgs. `custom_config` holds epochs, batch_size, learning_rate, seed and, or None, stop_at.
      module_name: the model module's import path, `__name__` of the caller.

    Raises:
      ConfigError: there is a `stop_at`, and the module has no metric.
      TrainingError: the weights are not finite in the end, `stop_at` was not reached, or there is nothing to hold out.
    """
    import tensorflow as tf

    settings = fn_args.custom_config
    module = contract.load(module_name)
    stop = None if settings["stop_at"] is None else Stop(module, fn_args)
    tf.keras.utils.set_random_seed(settings["seed"])
    model = module.build_model()
    model.compile(tf.keras.optimizers.Adam(settings["learning_rate"]), loss=module.build_loss(), metrics=module.build_metrics())
    board = tf.keras.callbacks.TensorBoard(fn_args.model_run_dir, write_graph=False)
    examples = batches.dataset(
        module,
        fn_args.train_files,
        batch_size=settings["batch_size"],
        shuffle_seed=settings["seed"],
        part="rest" if stop else "all",
    )
    model.fit(
        examples,
        validation_data=batches.dataset(module, fn_args.eval_files, batch_size=1024),
        epochs=settings["epochs"],
        callbacks=[board, *([stop.callback(model)] if stop else []), _progress(settings["epochs"])],
        verbose=0,
    )
    _check_finite(model, settings)
    if stop:
        stop.tell()
    export(model, module, fn_args.serving_model_dir)


def _check_finite(model: Any, settings: Mapping[str, Any]) -> None:
    if not all(np.all(np.isfinite(weights)) for weights in model.get_weights()):
        raise TrainingError(
            f"the centralised model's weights are not finite after {settings['epochs']} epochs; expected finite numbers. Lower"
            " baseline.learning_rate, or look for NaN in the data."
        )


def _progress(epochs: int) -> Any:
    """A Keras callback that logs one line per epoch: epoch, every metric, time left."""
    import tensorflow as tf

    started = time.monotonic()

    def log_epoch(epoch: int, logs: dict[str, float]) -> None:
        done = epoch + 1
        metrics = ", ".join(f"{key} {value:.4f}" for key, value in logs.items())
        left = (time.monotonic() - started) / done * (epochs - done)
        logger.info("epoch %d/%d: %s, %.0f s left", done, epochs, metrics, left)

    return tf.keras.callbacks.LambdaCallback(on_epoch_end=log_epoch)
