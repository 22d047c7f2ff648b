"""From what a client would send to what is added up: excluded if not finite, zeroed, clipped, compressed, weighted.

All of it happens where the client is, in the graph; how many were clipped or excluded is read off the rows afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Columns of the row that tells of a client: whether it counts; its weight; the L2 norm of what it would send before zeroing and
# clipping (0 where aggregation is plain); its L-infinity norm (0 without zeroing); the sum of its losses, and the examples of
# these (once per epoch).
COUNTED, WEIGHT, NORM, PEAK, LOSS_SUM, SEEN = range(6)
COLUMNS = 6
# A number in fixed point, for secure aggregation: 2^31 - 1 stands for the clipping norm, which no coordinate can exceed.
FIXED_POINT = float(2**31 - 1)
_LEVELS = 255.0


def contribution(
    sent: Sequence[Any], loss_sum: Any, weight: Any, seed: Any, numbers: Any, rules: Mapping[str, Any], clips: bool
) -> tuple[list[Any], Any, Any]:
    """Returns what is added up for one client, and its row.

    Args:
      sent: float tensors, what the client work gave.
      loss_sum: of the examples it saw.
      weight: float32, of this client.
      seed: int64 [2], of this client in this round.
      numbers: float32 [3], client learning rate, clipping norm, zeroing norm; infinite where there is none.
      rules: the `aggregation` section.
      clips: whether there is a clipping norm at all.

    Returns:
      The weighted tensors (zeros for a client that does not count), whether the client counts, and float32 [3]: half its
      squared norm, its L-infinity norm (0 without zeroing) and `loss_sum`, of which `rows` makes the row.
    """
    import tensorflow as tf

    energy = tf.add_n([tf.nn.l2_loss(tf.cast(tensor, tf.float32)) for tensor in sent])
    counted = tf.math.is_finite(energy + loss_sum)
    peak = tf.reduce_max([tf.reduce_max(tf.abs(tensor)) for tensor in sent]) if rules["zeroing"] else tf.constant(0.0)
    kept = counted & (peak <= numbers[2]) if rules["zeroing"] else counted
    scale = _scale(energy, numbers[1]) if clips else 1.0
    measured = tf.stack([energy, peak, loss_sum])
    if rules["rule"] == "mean" and rules["compression"] == "none":
        factor = tf.where(kept, weight * scale, 0.0)
        return [_times(tensor, factor) for tensor in sent], counted, measured
    counting = [_times(tensor, tf.where(kept, scale, 0.0)) for tensor in sent]
    if rules["compression"] == "8bit":
        counting = [_quantised(tensor, seed, number) for number, tensor in enumerate(counting)]
    if rules["rule"] == "simulated_secure_mean":
        return [_fixed_point(tensor, numbers[1]) * tf.cast(weight, tf.int64) for tensor in counting], counted, measured
    if rules["rule"] != "mean":  # each client as it is: the rule weighs
        return counting, counted, measured
    return [_times(tensor, weight) for tensor in counting], counted, measured


def rows(measured: Any, weights: Any, seen: Any, *, norms: bool) -> Any:
    """Returns float32 [k, COLUMNS], the rows of k clients.

    Args:
      measured: float32 [k, 3], what `contribution` returned.
      weights: float32 [k].
      seen: float32 [k], how many examples each saw; epochs add up.
      norms: whether to tell of norms; without, they are 0.
    """
    import tensorflow as tf

    energy, peak, loss_sum = tf.unstack(measured, axis=1)
    counted = tf.cast(tf.math.is_finite(energy + loss_sum), tf.float32)
    norm = tf.sqrt(2.0 * energy) if norms else tf.zeros_like(energy)
    return tf.stack([counted, weights, norm, peak, loss_sum, seen], axis=1)


def _scale(energy: Any, clip: Any) -> Any:
    """By what an update of half the squared norm `energy` is multiplied so that its norm is at most `clip`."""
    import tensorflow as tf

    norm = tf.sqrt(2.0 * energy)
    return tf.minimum(1.0, tf.math.divide_no_nan(clip, norm) + tf.cast(norm <= 0.0, tf.float32))


def _times(tensor: Any, factor: Any) -> Any:
    """The product, which is 0 where the factor is 0, whatever the tensor holds."""
    import tensorflow as tf

    return tf.math.multiply_no_nan(tensor, tf.cast(factor, tensor.dtype))


def _quantised(tensor: Any, seed: Any, number: int) -> Any:
    """To 256 levels between the least and the greatest number and back, rounded at random so that the mean stays the same
    (Suresh et al. 2017, "Distributed Mean Estimation with Limited Communication", stochastic k-level quantization).
    """
    import tensorflow as tf

    low, high = tf.reduce_min(tensor), tf.reduce_max(tensor)
    step = (high - low) / _LEVELS
    chance = tf.random.stateless_uniform(tf.shape(tensor), seed + tf.constant([0, number + 1], tf.int64), dtype=tensor.dtype)
    level = tf.clip_by_value(tf.floor(tf.math.divide_no_nan(tensor - low, step) + chance), 0.0, _LEVELS)
    return low + level * step


def _fixed_point(tensor: Any, bound: Any) -> Any:
    import tensorflow as tf

    scaled = tf.cast(tensor, tf.float64) * (FIXED_POINT / tf.cast(bound, tf.float64))
    return tf.cast(tf.round(scaled), tf.int64)
