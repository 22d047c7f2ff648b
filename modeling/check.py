"""Builds a module's model, tries it on made-up examples, and says before anything is trained what would go wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from errors import ConfigError
from modeling.contract import ModelModule, one_line
from modeling.export import signatures
from modeling.sample import sample_batch

# More than one, so that a function that mixes up examples and features is found out.
_BATCH = 2
# What a trainer or its records use these names for.
_TAKEN_METRIC_NAMES = {
    *("loss", "num_examples", "num_batches", "round", "sampled", "clients", "late", "excluded", "examples", "left_out"),
    *("attempts", "largest_share", "seconds", "cohort", "bytes_up", "clip", "clipped", "zeroed"),
    *("noise_std", "unclipped", "epsilon_rdp"),
}


def check(module: ModelModule) -> None:
    """Runs preprocess, model, loss, metrics, postprocess and the export's signatures once, on made-up examples.

    Raises:
      ConfigError: one line naming the function and what is wrong with what it returned.
    """
    import tensorflow as tf

    raw = {key: tf.repeat(value, _BATCH, axis=0) for key, value in sample_batch(module).items()}
    label = raw.pop(module.label_key)
    x = _attempt(module, "preprocess", lambda: module.preprocess(dict(raw)))
    _check_preprocess_in_graph(module, raw)
    model = _attempt(module, "build_model", module.build_model)
    _check_model(module, model)
    _check_fresh(module, model)
    outputs = _attempt(module, "build_model", lambda: model(x, training=False))
    _check_loss(module, label, outputs)
    _check_metrics(module, label, outputs)
    _check_outputs(module, outputs)
    _attempt(module, "the export", lambda: signatures(model, module))


def _attempt(module: ModelModule, function: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{module.name}: {function} failed on made-up examples: {type(error).__name__}: {one_line(error)}{_hint(module)}"
        ) from error


def _hint(module: ModelModule) -> str:
    import tensorflow as tf

    guessed = module.sample is None and any(spec.dtype == tf.string for spec in module.inputs.values())
    return " (if a string feature holds encoded data, add sample() with a made-up example)" if guessed else ""


def _check_preprocess_in_graph(module: ModelModule, raw: dict[str, Any]) -> None:
    """A client's dataset is built inside a graph, where neither values of tensors nor state of the module can be reached."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        batches = tf.data.Dataset.from_tensor_slices({key: value.numpy() for key, value in raw.items()}).batch(_BATCH)
        try:
            _attempt(module, "preprocess, in a graph,", lambda: batches.map(module.preprocess))
        except ConfigError as error:
            if "EagerTensor" not in str(error):
                raise
            raise ConfigError(
                f"{module.name}: preprocess uses a tensor, variable or table that was made outside of it, which clients do not"
                " have; use Python or NumPy values, or make it inside."
            ) from error
        functions = graph.as_graph_def().library.function
    if any("PyFunc" in node.op for function in functions for node in function.node_def):
        raise ConfigError(
            f"{module.name}: preprocess calls Python at run time (tf.py_function or tf.numpy_function), which neither clients"
            " nor the model server can do; use TensorFlow ops."
        )


def _check_model(module: ModelModule, model: Any) -> None:
    import tensorflow as tf

    if not isinstance(model, tf.keras.Model):
        raise ConfigError(f"{module.name}: build_model() returned a {type(model).__name__}; expected a tf.keras.Model.")
    if model.compiled_loss is not None or model.optimizer is not None:
        raise ConfigError(f"{module.name}: build_model() returned a compiled model; drop the .compile() call.")
    if not model.built:
        raise ConfigError(
            f"{module.name}: build_model() returned a model without weights, because nothing tells the shape of its input;"
            " begin with tf.keras.layers.Input, or call its build()."
        )
    if not model.trainable_weights:
        raise ConfigError(f"{module.name}: build_model() returned a model without trainable weights; expected some.")
    for layer in model.submodules:
        if any(kind.__name__ == "BatchNormalizationBase" for kind in type(layer).__mro__):  # SyncBatchNormalization as well
            raise ConfigError(
                f"{module.name}: layer '{layer.name}' is a BatchNormalization, whose moving statistics do not average across"
                " clients; use GroupNormalization or LayerNormalization."
            )


def _check_fresh(module: ModelModule, model: Any) -> None:
    """Each trainer and each client builds its own model: two of them must share nothing and fit each other."""
    other = _attempt(module, "build_model", module.build_model)
    if other is model or {id(weight) for weight in model.weights} & {id(weight) for weight in other.weights}:
        raise ConfigError(f"{module.name}: build_model() returned the same weights twice; make model and layers inside it.")
    if [weight.shape for weight in model.weights] != [weight.shape for weight in other.weights]:
        raise ConfigError(
            f"{module.name}: build_model() returned two models with weights of different shapes; expected the same every time."
        )


def _check_loss(module: ModelModule, label: Any, outputs: Any) -> None:
    import tensorflow as tf

    loss = _attempt(module, "build_loss", module.build_loss)
    if not isinstance(loss, tf.keras.losses.Loss):
        raise ConfigError(f"{module.name}: build_loss() returned a {type(loss).__name__}; expected a tf.keras.losses.Loss.")
    value = _attempt(module, "build_loss", lambda: loss(label, outputs))
    if value.shape.rank != 0:
        raise ConfigError(
            f"{module.name}: build_loss() gives a loss of shape {list(value.shape)}; expected one number for a batch: drop"
            " reduction='none'."
        )
    if not bool(tf.math.is_finite(value)):
        raise ConfigError(
            f"{module.name}: the untrained model's loss on a made-up example is {float(value)}; expected a finite number."
        )


def _check_metrics(module: ModelModule, label: Any, outputs: Any) -> None:
    import tensorflow as tf

    metrics = _attempt(module, "build_metrics", module.build_metrics)
    if not isinstance(metrics, (list, tuple)) or not all(isinstance(m, tf.keras.metrics.Metric) for m in metrics):
        raise ConfigError(f"{module.name}: build_metrics() returned {metrics!r}; expected a list of tf.keras.metrics.Metric.")
    names = [metric.name for metric in metrics]
    for metric in metrics:
        if names.count(metric.name) > 1 or metric.name in _TAKEN_METRIC_NAMES:
            raise ConfigError(f"{module.name}: the metric name '{metric.name}' is taken; give each metric a name of its own.")
        _attempt(module, f"metric '{metric.name}'", functools.partial(metric.update_state, label, outputs))
        if metric.result().shape.rank != 0:
            raise ConfigError(
                f"{module.name}: metric '{metric.name}' gives shape {list(metric.result().shape)}; expected one number."
            )


def _check_outputs(module: ModelModule, model_outputs: Any) -> None:
    answers = _attempt(module, "postprocess", lambda: module.outputs(model_outputs))
    if not isinstance(answers, dict) or module.prediction_key not in answers:
        got = sorted(map(str, answers)) if isinstance(answers, dict) else type(answers).__name__
        raise ConfigError(f"{module.name}: postprocess() returned {got}; expected a dict with '{module.prediction_key}'.")
    for key, answer in answers.items():
        shape = list(getattr(answer, "shape", []))
        if not shape or shape[0] != _BATCH:
            raise ConfigError(
                f"{module.name}: postprocess() gives '{key}' of shape {shape} for {_BATCH} examples; expected [batch, ...]."
            )
    if module.class_labels:
        _check_scores(module, answers["scores"])


def _check_scores(module: ModelModule, scores: Any) -> None:
    if scores.shape.rank != 2 or scores.shape[-1] != len(module.class_labels or ()):
        raise ConfigError(
            f"{module.name}: postprocess() returns {list(scores.shape)} scores for {len(module.class_labels or ())}"
            " CLASS_LABELS; expected [batch, classes], one score for each."
        )
