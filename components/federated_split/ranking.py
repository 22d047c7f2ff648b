"""Orders examples by a number, for the strategy `continuous`: the strata become ranges of a score, in rising order.

The first pass leaves each example's number as its stratum. From the exact sums of all numbers follow mean and deviation, from
these and the example's digest its score, and from a sample of scores the ends of the ranges. The sample are the examples with
the smallest digests: chosen by content, it is the same whatever the order of the input. Within a range the order is that of
the digests. So up to SAMPLE examples are ordered exactly, and of more each is within a range of its place, about 1 / SAMPLE of
all; memory does not grow with their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from components.federated_split.disk import full_disk_is_one_line
from components.federated_split.features import numbers_of
from components.federated_split.manifests import RANKED, Manifest, load_segments, save_manifest
from components.federated_split.placing import digest_order, digest_words
from components.federated_split.spills import READ_SCHEMA, SpillFile
from errors import DataError

SAMPLE = 1 << 16


@dataclass(frozen=True)
class Score:
    """strictness * (number - mean) / deviation + (1 - strictness) * noise; deviation is not 0 unless strictness is."""

    mean: float
    deviation: float
    strictness: float

    def of(self, numbers: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Returns float64[n] from the numbers, float64[n], and the digests, uint64[n, 4]."""
        scores = np.zeros(len(numbers))
        if self.strictness > 0:
            scores += self.strictness * ((numbers - self.mean) / self.deviation)
        if self.strictness < 1:
            # From digest bits that neither the order of examples (the first) nor their side (the last) comes from.
            share = ((words[:, 2] >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
            scores += (1 - self.strictness) * np.fromiter(map(NormalDist().inv_cdf, share.tolist()), np.float64, len(share))
        return scores


@dataclass(frozen=True)
class Ranking:
    """The score, and the values of it at which a range ends: float64[n], rising."""

    score: Score
    ends: np.ndarray


def make_ranking(folder: str, manifests: Sequence[Manifest], feature: str, strictness: float) -> Ranking:
    """Finds the score's mean and deviation and the ranges.

    Args:
      folder, manifests: what the first pass left, in the order of the partitions.
      feature: its name, for the message.
      strictness: from 0 to 1.

    Raises:
      DataError: all numbers are equal, so that there is nothing to sort by.
    """
    total, squares = Fraction(0), Fraction(0)
    for manifest in manifests:
        for numbers, _ in _columns(folder, manifest.partition):
            own = moments(numbers)
            total, squares = total + own[0], squares + own[1]
    count = sum(manifest.examples for manifest in manifests)
    mean = total / count
    score = Score(float(mean), math.sqrt(squares / count - mean**2), strictness)
    if strictness > 0 and score.deviation == 0:
        raise DataError(
            f"feature {feature!r} (split parameter 'feature'): expected different numbers to sort by, got the same one in all "
            f"{count} examples; name another feature."
        )
    return Ranking(score, np.unique(_sample(folder, manifests, score)))


def moments(numbers: np.ndarray) -> tuple[Fraction, Fraction]:
    """Returns the exact sum of finite float64[n] and of their squares: rounded sums would depend on the order.

    Each number is a whole one, h * 2^26 + l, times a power of two; numbers of the same power are summed as whole numbers.
    """
    total, squares = Fraction(0), Fraction(0)
    mantissas, exponents = np.frexp(numbers)
    order = np.argsort(exponents, kind="stable")
    powers, firsts = np.unique(exponents[order], return_index=True)
    for power, part in zip(powers.tolist(), np.split(order, firsts)[1:], strict=True):
        whole = np.ldexp(mantissas[part], 53).astype(np.int64)
        high, low = whole >> 26, whole & (2**26 - 1)
        total += _whole_sum(whole) * Fraction(2) ** (power - 53)
        square = (_whole_sum(high * high) << 52) + (_whole_sum(2 * high * low) << 26) + _whole_sum(low * low)
        squares += square * Fraction(2) ** (2 * power - 106)
    return total, squares


def _whole_sum(values: np.ndarray) -> int:
    """Returns the sum of int64[n], which may be beyond 64 bits."""
    return (int((values >> 32).sum()) << 32) + int((values & (2**32 - 1)).sum())


def _sample(folder: str, manifests: Sequence[Manifest], score: Score) -> np.ndarray:
    """Returns the scores of the SAMPLE examples with the smallest digests: partitions rise with the digest."""
    numbers, words, count = [], [], 0
    for manifest in manifests:
        if count >= SAMPLE:
            break
        for own_numbers, own_words in _columns(folder, manifest.partition):
            numbers.append(own_numbers)
            words.append(own_words)
            count += len(own_numbers)
    all_words = np.concatenate(words)
    chosen = digest_order(all_words)[:SAMPLE]
    return score.of(np.concatenate(numbers)[chosen], all_words[chosen])


def _columns(folder: str, partition: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the numbers, float64[n], and digests, uint64[n, 4], of each segment of a partition."""
    for segment in load_segments(folder, partition):
        batch = segment.batch(READ_SCHEMA)
        yield numbers_of(batch.column("stratum")), digest_words(batch.column("digest"))


def rank(partition: int, folder: str, ranking: Ranking) -> None:
    """Spills a partition again with the number of its range as each example's stratum, and describes it anew, as RANKED.

    What it reads stays: a second attempt finds the numbers again.

    Raises:
      FedtfxError: the disk is full.
    """
    segments = []
    with full_disk_is_one_line(folder), SpillFile(folder) as spill:
        for segment in load_segments(folder, partition):
            batch = segment.batch(READ_SCHEMA)
            scores = ranking.score.of(numbers_of(batch.column("stratum")), digest_words(batch.column("digest")))
            names = [f"{number:05d}" for number in np.searchsorted(ranking.ends, scores).tolist()]
            columns = [pa.array(names, pa.large_string()), *batch.columns[1:]]
            offset, length = spill.append(pa.record_batch(columns, schema=READ_SCHEMA))
            segments.append(replace(segment, path=spill.path, offset=offset, length=length))
    save_manifest((partition, segments), folder, RANKED)
