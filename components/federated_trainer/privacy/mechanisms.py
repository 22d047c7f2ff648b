"""Differential privacy's server half: noise on the sum of clipped updates, and the norm that clients clip to.

A release is (sum + noise) / expected clients. What protects is the noise on the sum; the denominator is public and fixed, never
the number of clients that reported. Noise comes from a key: the same key gives the same noise, so who knows it can take the
noise off again, and with one key each round may be released once. It is drawn with NumPy's Philox (counter-based, statistically
sound, not a cipher) as floats: attacks on the low-order bits (Mironov 2012, "On Significance of the Least Significant Bits for
Differential Privacy") are not covered.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer.aggregators import AdaptiveNorm
from errors import TrainingError

State = dict[str, np.ndarray]
# A draw of independent standard normals, named by integers, with the sign it enters with.
Draw = tuple[int, tuple[int, ...]]

_FIRST_CLIP = 0.1  # Andrew et al. 2021, section 3.2, as the next: starts small, reaches any norm in tens of rounds
_LEARNING_RATE = 0.2
_COUNT_NOISE = 1 / 20  # standard deviation of the noise on the count, in expected clients
_KEY_BYTES = 16
_ROUNDING = 1e-4  # by which float32 clipping on clients may overshoot the norm


def gaussian_draws(round_number: int, released: int) -> list[Draw]:
    """Fresh noise in every round (the Gaussian mechanism; McMahan et al. 2018, "Learning Differentially Private Recurrent
    Language Models", algorithm 1).
    """
    del released
    return [(1, (0, round_number))]


def tree_draws(round_number: int, released: int) -> list[Draw]:
    """What tree aggregation's noise on the cumulative sum changes by with release number `released` + 1 (DP-FTRL: Kairouz et
    al. 2021, "Practical and Private (Deep) Learning without Sampling or Shuffling", section 3 and appendix B).

    After t releases their sum carries one draw for each 1 in the binary digits of t: node `t >> level` of that level, which
    covers the 2^level releases before. Release t closes the node of its lowest 1 and takes off the nodes below it.
    """
    del round_number
    t = released + 1
    closed = (t & -t).bit_length() - 1
    return [(1, (1, closed, t >> closed)), *((-1, (1, level, (t - 1) >> level)) for level in range(closed))]


MECHANISMS: dict[str, Callable[[int, int], list[Draw]]] = {"gaussian": gaussian_draws, "tree": tree_draws}


@dataclass(frozen=True)
class Mechanism:
    """One mechanism with its parameters; everything that changes is in the state.

    shapes: of the tensors of an update. expected_clients: per round, the denominator. noise_multiplier: standard deviation of
    the noise on the sum in units of the clip (of a tree: per node). count_stddev: of the noise on the count of norms at or
    below the clip, in clients. norm: how the clip adapts; with learning rate 0 it is fixed.
    """

    draws: Callable[[int, int], list[Draw]]
    shapes: tuple[tuple[int, ...], ...]
    expected_clients: float
    noise_multiplier: float
    count_stddev: float
    norm: AdaptiveNorm

    @property
    def adaptive(self) -> bool:
        return self.norm.learning_rate > 0

    def initial(self) -> State:
        """Returns the state before the first round: scalars `clip` (float64), `released` and `last_round` (int64)."""
        return _state(self.norm.initial, 0, -1)

    def clip(self, state: State) -> float:
        """Returns the L2 norm, over all tensors of an update, that clients clip to in the next round."""
        return float(state["clip"])

    def release(
        self,
        state: State,
        total: Sequence[np.ndarray],
        below: int,
        reported: int,
        key: bytes,
        round_number: int,
    ) -> tuple[list[np.ndarray], State, dict[str, float]]:
        """Returns the noisy mean (dtypes of `total`), the next state, and what of the release may be shown.

        Args:
          state: from `initial`, or from the release before.
          total: the sum, each client with weight 1, of the updates clipped to `clip(state)`.
          below: how many of the clients had a norm at or below the clip, before clipping. Used when it adapts.
          reported: how many clients are in the sum. Only centres `below`: a client then moves the count by 1/2 at most, whether
            it is there or not, and 1/2 is what its noise is made for.
          key: of the noise; 16 bytes or more from the operating system unless the run is a study.
          round_number: rises from release to release.

        The facts: clip; noise_std, of each element of this mean (of a tree: of the change of the noise in the cumulative sum);
        and where the clip adapts, unclipped, the noisy share of norms at or below it.

        Raises:
          ValueError: an argument is not what the guarantee is made for; a defect of the caller.
        """
        clip = self.clip(state)
        self._check(state, total, reported, key, round_number)
        draws = self.draws(round_number, int(state["released"]))
        std = self.noise_multiplier * clip
        mean = []
        for number, tensor in enumerate(total):
            noise = std * _noise(key, draws, number, tensor.shape) if std else 0.0
            mean.append(((tensor.astype(np.float64) + noise) / self.expected_clients).astype(tensor.dtype))
        facts = {"clip": clip, "noise_std": std * math.sqrt(len(draws)) / self.expected_clients}
        if self.adaptive:
            count = below - reported / 2
            if self.count_stddev:
                count += self.count_stddev * float(_noise(key, draws, len(total), ()))
            facts["unclipped"] = count / self.expected_clients + 0.5
            clip = self.norm.moved(clip, facts["unclipped"])
        return mean, _state(clip, int(state["released"]) + 1, round_number), facts

    def _check(self, state: State, total: Sequence[np.ndarray], reported: int, key: bytes, round_number: int) -> None:
        if round_number <= state["last_round"]:
            raise ValueError(f"round {round_number} after round {state['last_round']}: noise must not be used twice")
        if len(key) < _KEY_BYTES:
            raise ValueError(f"the noise key has {len(key)} bytes, not {_KEY_BYTES} or more")
        found = tuple(tensor.shape for tensor in total)
        if found != self.shapes:
            raise ValueError(f"the sum has tensors of shapes {found}, not {self.shapes}")
        norm = math.sqrt(sum(float(np.sum(np.square(tensor, dtype=np.float64))) for tensor in total))
        bound = reported * self.clip(state) * (1 + _ROUNDING)
        if not norm <= bound:
            raise ValueError(f"the sum of {reported} updates has norm {norm}, above {bound}: they were not clipped")


def mechanism(
    privacy: Mapping[str, Any], expected_clients: float, shapes: Sequence[Sequence[int]], noise_multiplier: float
) -> Mechanism:
    """Returns the mechanism that the settings `privacy` ask for (keys mechanism, clip, clip_quantile).

    Args:
      privacy: the section train.privacy.
      expected_clients: clients per round; with Poisson sampling the expected number.
      shapes: of the tensors of an update.
      noise_multiplier: the one to account for, at least 0. Where the clip adapts it pays for the noisy count as well, and the
        noise on the sum is a little higher (`split_noise`). That holds for a tree, too: it adds up updates in units of their
        round's clip, beside the count, and a release multiplies by its round's clip, which is known by then.

    Raises:
      TrainingError: the noise is too high for so few clients and an adaptive clip.
    """
    adaptive = privacy["clip"] == "adaptive"
    if adaptive:
        norm = AdaptiveNorm(_FIRST_CLIP, privacy["clip_quantile"], _LEARNING_RATE)
        on_sum, count_stddev = split_noise(noise_multiplier, expected_clients)
    else:
        norm = AdaptiveNorm(float(privacy["clip"]), 0.5, 0.0)
        on_sum, count_stddev = noise_multiplier, 0.0
    return Mechanism(
        draws=MECHANISMS[privacy["mechanism"]],
        shapes=tuple(tuple(shape) for shape in shapes),
        expected_clients=expected_clients,
        noise_multiplier=on_sum,
        count_stddev=count_stddev,
        norm=norm,
    )


def split_noise(noise_multiplier: float, expected_clients: float) -> tuple[float, float]:
    """Returns the noise multiplier of the sum, and the standard deviation of the noise on the count in clients, that together
    cost what `noise_multiplier` costs (Andrew et al. 2021, theorem 1).

    Raises:
      TrainingError: the count alone would cost more.
    """
    if noise_multiplier == 0:
        return 0.0, 0.0
    count_stddev = _COUNT_NOISE * expected_clients
    if noise_multiplier >= 2 * count_stddev:
        raise TrainingError(
            f"privacy.clip adaptive with {expected_clients:g} clients per round allows a noise_multiplier below "
            f"{2 * count_stddev:g}, not {noise_multiplier:.4g}; set clients_per_round above {10 * noise_multiplier:.4g}, "
            "or privacy.clip to a number."
        )
    return (noise_multiplier**-2 - (2 * count_stddev) ** -2) ** -0.5, count_stddev


def _state(clip: float, released: int, last_round: int) -> State:
    return {
        "clip": np.array(clip, np.float64),
        "released": np.array(released, np.int64),
        "last_round": np.array(last_round, np.int64),
    }


def _noise(key: bytes, draws: Sequence[Draw], tensor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the signed sum of `draws` for one tensor, float64 of `shape`."""
    noise = np.zeros(shape)
    for sign, name in draws:
        words = ",".join(map(str, (*name, tensor)))
        seed = hmac.digest(key, words.encode(), hashlib.sha256)[:16]  # what a Philox key holds
        noise += sign * np.random.Generator(np.random.Philox(key=int.from_bytes(seed, "big"))).standard_normal(shape)
    return noise
