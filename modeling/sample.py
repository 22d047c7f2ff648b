"""A made-up example of a module: what its functions are tried on before training, and what warms a served model up."""

from __future__ import annotations

from typing import Any

from errors import ConfigError
from modeling.contract import ModelModule, one_line


def sample_batch(module: ModelModule) -> dict[str, Any]:
    """One made-up example as raw tensors [1, ...], the label included: sample()'s values, else zeros and empty strings.

    Raises:
      ConfigError: sample() fails, or returns what does not fit FEATURES.
    """
    import tensorflow as tf

    values = _values(module)
    batch = {}
    for key, spec in module.features.items():
        value = values.get(key, b"" if spec.dtype == tf.string else 0)
        try:
            batch[key] = tf.broadcast_to(tf.constant(value, spec.dtype), [1, *spec.shape])
        except Exception as error:
            expected = f"{spec.dtype.name}, shape {list(spec.shape)}"
            raise ConfigError(
                f"{module.name}: sample()['{key}'] does not fit FEATURES ({expected}): {one_line(error)}"
            ) from error
    return batch


def _values(module: ModelModule) -> dict[str, Any]:
    if module.sample is None:
        return {}
    try:
        values = module.sample()
    except Exception as error:
        raise ConfigError(f"{module.name}: sample() failed: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{module.name}: sample() returned a {type(values).__name__}; expected a dict of raw values.")
    if unknown := sorted(map(str, values.keys() - module.features.keys())):
        raise ConfigError(
            f"{module.name}: sample() has {', '.join(unknown)}, which FEATURES has not; known: {', '.join(module.features)}."
        )
    return values
