"""The server's half of aggregation: from what the clients' half gave to one mean, and the norms of the next round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.federated_trainer import aggregators
from components.federated_trainer.clients.contribution import FIXED_POINT, NORM, PEAK
from components.federated_trainer.clients.results import Result
from components.federated_trainer.privacy import mechanisms

State = dict[str, np.ndarray]


class Combiner:
    """Without privacy; keeps the adaptive norms. `rules` is the `aggregation` section."""

    def __init__(self, rules: Mapping[str, Any], shapes: Sequence[tuple[int, ...]]) -> None:
        self._rules, self._shapes = rules, shapes
        self._clipping = aggregators.adaptive_clipping(rules["clip_quantile"]) if rules["clip"] == "adaptive" else None
        self._zeroing = aggregators.adaptive_zeroing() if rules["zeroing"] else None

    def initial(self) -> State:
        """Returns the state before the first round."""
        state = {}
        if self._clipping:
            state["clip"] = np.array(self._clipping.initial)
        if self._zeroing:
            state["zero"] = np.array(self._zeroing.initial)
        return state

    def norms(self, state: State) -> tuple[float, float]:
        """Returns the L2 norm that clients clip to and the L-infinity norm above which they send zeros; infinite without."""
        clip = self._clipping.threshold(float(state["clip"])) if self._clipping else self._rules["clip"] or math.inf
        clip = float(np.float32(clip))  # as clients compare with it
        return clip, self._zeroing.threshold(float(state["zero"])) if self._zeroing else math.inf

    def combine(self, state: State, result: Result, number: int) -> tuple[list[np.ndarray], State, dict[str, float]]:
        """Returns the mean of what the clients sent (or what the rule makes of it), the next state, and facts of the round.

        Raises:
          TrainingError: fewer clients reported than the rule needs.
        """
        counted, (clip, zero) = result.counted, self.norms(state)
        norms, peaks = result.rows[counted, NORM], result.rows[counted, PEAK]
        zeroed = peaks > zero
        shown = np.where(zeroed, 0, norms)
        facts = {"bytes_up": float(len(result.rows) * aggregators.update_bytes(self._shapes, self._rules["compression"]))}
        after = dict(state)
        if math.isfinite(clip):
            facts |= {"clip": clip, "clipped": float((shown > clip).sum())}
        if self._clipping:
            after["clip"] = np.array(self._clipping.update(float(state["clip"]), int((shown <= clip).sum()), len(norms)))
        if self._zeroing:
            facts["zeroed"] = float(zeroed.sum())
            after["zero"] = np.array(
                self._zeroing.update(float(state["zero"]), int((peaks <= state["zero"]).sum()), len(norms))
            )
        return self._mean(result, clip), after, facts

    def weights(self, result: Result) -> np.ndarray:
        """Returns the weight with which each client counted, float64[n]; 0 for those that do not count."""
        if aggregators.ignores_weights(self._rules["rule"]):
            return result.counted.astype(np.float64)
        return result.weights

    def _mean(self, result: Result, clip: float) -> list[np.ndarray]:
        rule, weights = self._rules["rule"], result.weights
        if result.stacks:
            kept = result.counted
            # Who sent NaN is one of the Byzantine clients that the rule is to stand, and is out already.
            byzantine = max(0, (self._rules["byzantine"] or 0) - int((~kept).sum()))
            together = aggregators.combine(rule, result.sums[0][kept], weights[kept], byzantine)
            ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]
            return [part.reshape(shape) for part, shape in zip(np.split(together, ends), self._shapes, strict=True)]
        unit = clip / FIXED_POINT if rule == "simulated_secure_mean" else 1.0
        return [(total * (unit / weights.sum())).astype(np.float32) for total in result.sums]


class PrivateCombiner:
    """With differential privacy: the noise, and the fixed denominator, are the mechanism's. `key` is of the noise."""

    def __init__(self, mechanism: mechanisms.Mechanism, key: bytes, shapes: Sequence[tuple[int, ...]]) -> None:
        self._mechanism, self._key = mechanism, key
        self._bytes = aggregators.update_bytes(shapes)

    def initial(self) -> State:
        """Returns the state before the first round."""
        return self._mechanism.initial()

    def norms(self, state: State) -> tuple[float, float]:
        """Returns the norm that clients clip to; none is above zeroing."""
        return self._mechanism.clip(state), math.inf

    def combine(self, state: State, result: Result, number: int) -> tuple[list[np.ndarray], State, dict[str, float]]:
        """Returns the noisy mean, the next state, and of the round only what the guarantee covers."""
        below = int((result.rows[result.counted, NORM] <= self._mechanism.clip(state)).sum())
        reported = int(result.counted.sum())
        total = [value.astype(np.float32) for value in result.sums]
        mean, after, facts = self._mechanism.release(state, total, below, reported, self._key, number)
        return mean, after, {"bytes_up": float(len(result.rows) * self._bytes), **facts}

    def weights(self, result: Result) -> np.ndarray:
        """Returns the weight with which each client counted, float64[n]; 0 for those that do not count."""
        return result.weights
