"""What kind of model a module makes: what its answers mean, and by which metrics they can be judged."""

from __future__ import annotations

from errors import ConfigError
from modeling.contract import ModelModule


def kind(module: ModelModule) -> str:
    """Returns "classes" for a module with CLASS_LABELS, "binary" for one whose loss is a BinaryCrossentropy, else "regression".

    Raises:
      ConfigError: the module is binary, and what it would serve are logits, which no metric takes for probabilities.
    """
    import tensorflow as tf

    if module.class_labels:
        return "classes"
    loss = module.build_loss()
    if not isinstance(loss, tf.keras.losses.BinaryCrossentropy):
        return "regression"
    if loss.get_config().get("from_logits") and module.postprocess is None:
        raise ConfigError(
            f"{module.name}: the loss takes logits, so the model would serve logits; add a postprocess(outputs) that returns"
            " {'predictions': tf.sigmoid(outputs)}."
        )
    return "binary"
