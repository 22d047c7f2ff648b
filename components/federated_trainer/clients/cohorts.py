"""Who takes part in a round: drawn, dropped out, late, and what each is asked to do; decided by key, round and attempt."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer.clients.batching import Work, mix


@dataclass(frozen=True)
class Cohort:
    """The clients of one attempt at a round.

    drawn: int64[n], positions of the clients that were asked, rising. work: of those that will report. late: how many do fewer
    epochs than asked, or (then not in `work`) come too late. digest: of `drawn`, keyed, so that it tells nothing but sameness.
    """

    drawn: np.ndarray
    work: Work
    late: int
    digest: str


def draw(
    population: int,
    size: int,
    participation: Mapping[str, Any],
    epochs: int,
    key: bytes,
    number: int,
    attempt: int = 1,
) -> Cohort:
    """Draws the clients of a round.

    Args:
      population: how many clients there are.
      size: clients per round; with Poisson sampling the expected number.
      participation: the section: `sampling` is `fixed` (so many, without replacement), `poisson` (each with probability
        size / population), `full` (all) or `ordered` (in
        turn, in one order that is gone round; a repeated round asks the same ones again, see `privacy`).
        `drop_out` is the probability that a client that was asked never reports; `stragglers` that it is slow: with
        `straggler_work` partial it does 1 to `epochs` epochs, equally likely (Li et al. 2020, FedProx, section 5.2), with none
        it is left out.
      epochs: local epochs asked for.
      key: decides everything.
      number: of the round, from 1.
      attempt: the how-many-th at this round, from 1.
    """
    random = _generator(key, number, attempt)
    drawn = _drawn(population, size, participation["sampling"], key, random, number)
    reports = random.random(len(drawn)) >= participation["drop_out"]
    slow = reports & (random.random(len(drawn)) < participation["stragglers"])
    done = np.where(slow, random.integers(1, epochs, len(drawn), endpoint=True), epochs)
    if participation["straggler_work"] == "none":
        reports, late = reports & ~slow, slow
    else:
        late = done < epochs
    clients = drawn[reports]
    base = np.frombuffer(_digest(key, b"order", number), np.uint64)[0]
    with np.errstate(over="ignore"):
        seeds = mix(base + clients.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    work = Work(clients, done[reports].astype(np.int64), seeds)
    return Cohort(drawn, work, int(late.sum()), _digest(key, b"cohort", number, drawn.tobytes()).hex()[:32])


def _drawn(population: int, size: int, sampling: str, key: bytes, random: np.random.Generator, number: int) -> np.ndarray:
    if sampling == "full":
        return np.arange(population)
    if sampling == "poisson":
        return np.flatnonzero(random.random(population) < size / population)
    if sampling == "ordered":
        order = _order(key, population)
        return np.sort(order[((number - 1) * size + np.arange(size)) % population])
    return np.sort(random.choice(population, size, replace=False))


@functools.lru_cache(maxsize=1)
def _order(key: bytes, population: int) -> np.ndarray:
    return _generator(key, 0, 0).permutation(population)


def _generator(key: bytes, number: int, attempt: int) -> np.random.Generator:
    entropy = int.from_bytes(_digest(key, b"draw", number, attempt.to_bytes(8, "big")), "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _digest(key: bytes, what: bytes, number: int, more: bytes = b"") -> bytes:
    return hashlib.blake2b(what + number.to_bytes(8, "big") + more, key=key, digest_size=32).digest()
