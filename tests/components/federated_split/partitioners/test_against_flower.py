"""`dirichlet`, `shards` and `pathological` beside Flower Datasets itself, on the labels of MNIST: the same distribution.

Flower Datasets needs another stack than ours and so an environment of its own, which `make flower` makes.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).parents[4]
PYTHON = Path(os.environ.get("FEDTFX_FLOWER_PYTHON", ROOT / ".tools" / "flower" / "bin" / "python"))
# Both draw from the same generator: with the same seeds they would not be two samples.
THEIR_SEEDS, OUR_SEEDS = list(range(30)), range(1000, 1030)

# Ours and theirs, by the same numbers.
CASES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "dirichlet": (
        "dirichlet",
        {"clients": 10, "alpha": 0.5, "min_examples": 10},
        "DirichletPartitioner",
        {"num_partitions": 10, "alpha": 0.5, "min_partition_size": 10},
    ),
    "dirichlet, self-balancing": (
        "dirichlet",
        {"clients": 10, "alpha": 0.1, "min_examples": 1, "self_balancing": True},
        "DirichletPartitioner",
        {"num_partitions": 10, "alpha": 0.1, "min_partition_size": 1, "self_balancing": True},
    ),
    "shards": (
        "shards",
        {"clients": 40, "shards_per_client": 2},
        "ShardPartitioner",
        {"num_partitions": 40, "num_shards_per_partition": 2},
    ),
    "pathological, random": (
        "pathological",
        {"clients": 40, "classes_per_client": 2, "assignment": "random"},
        "PathologicalPartitioner",
        {"num_partitions": 40, "num_classes_per_partition": 2, "class_assignment_mode": "random"},
    ),
    "pathological, first-deterministic": (
        "pathological",
        {"clients": 40, "classes_per_client": 2, "assignment": "first-deterministic"},
        "PathologicalPartitioner",
        {"num_partitions": 40, "num_classes_per_partition": 2, "class_assignment_mode": "first-deterministic"},
    ),
    "pathological, deterministic": (
        "pathological",
        {"clients": 40, "classes_per_client": 2, "assignment": "deterministic"},
        "PathologicalPartitioner",
        {"num_partitions": 40, "num_classes_per_partition": 2, "class_assignment_mode": "deterministic"},
    ),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def labels(test_data: Path) -> np.ndarray:
    packed = (test_data / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes()
    return np.frombuffer(gzip.decompress(packed), np.uint8, offset=8)


@pytest.fixture(scope="module")
def flower(labels: np.ndarray) -> dict[str, np.ndarray]:
    """int64[seeds, clients, labels] of each case, divided by Flower Datasets."""
    if not PYTHON.is_file():
        pytest.skip(f"no Flower Datasets at {PYTHON}; get it with `make flower`, or name a Python in FEDTFX_FLOWER_PYTHON")
    jobs = [{"partitioner": name, "arguments": arguments, "seeds": THEIR_SEEDS} for _, _, name, arguments in CASES.values()]
    request = json.dumps({"labels": labels.tolist(), "jobs": jobs})
    command = [str(PYTHON), str(Path(__file__).with_name("flower_side.py"))]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, input=request, capture_output=True, text=True, env={**os.environ, **offline})
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(CASES, map(np.array, json.loads(done.stdout)), strict=True))


@pytest.fixture(scope="module")
def ours(labels: np.ndarray, allot: Any, table: Any) -> Callable[..., np.ndarray]:
    counts = np.bincount(labels)

    def divide(strategy: str, **parameters: Any) -> np.ndarray:
        return np.array([table(allot(strategy, counts, seed, **parameters), counts).T for seed in OUR_SEEDS])

    return divide


def measures(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """What is compared: float64[divisions, values of each]."""
    sizes = matrices.sum(axis=2)
    shares = matrices / sizes[:, :, np.newaxis]
    return {
        "examples of a client": sizes,
        "entropy of a client's labels": stats.entropy(shares, axis=2).round(6),
        "share of a client's most frequent label": shares.max(axis=2).round(6),
        "examples of one label at one client": matrices.reshape(len(matrices), -1),
        "labels of a client": (matrices > 0).sum(axis=2),
        "spread of sizes in one division": sizes.std(axis=1, keepdims=True),
    }


def chance(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the p-value of the hypothesis that both are divisions of one distribution.

    The two-sample Kolmogorov-Smirnov statistic of each measure, of which the largest counts. Clients of one division depend on
    each other, so its distribution is not the textbook's: it comes from dealing whole divisions to the two sides anew.
    """
    both = measures(np.concatenate([first, second]))
    sides = np.repeat([1 / len(first), -1 / len(second)], [len(first), len(second)])
    rng = np.random.default_rng(0)
    deals = np.stack([sides, *(rng.permutation(sides) for _ in range(999))])
    statistics = np.max([_largest_gaps(values, deals) for values in both.values()], axis=0)
    return float((statistics >= statistics[0] - 1e-12).mean())


def _largest_gaps(values: np.ndarray, deals: np.ndarray) -> np.ndarray:
    """Returns float64[deals], the largest difference of the two sides' distribution functions.

    Args:
      values: of each division (row), as many.
      deals: per deal, the weight of each division: positive on one side, negative on the other.
    """
    order = np.argsort(values, axis=None, kind="stable")
    last_of_equals = np.append(np.diff(values.ravel()[order]) > 0, True)
    division = order // values.shape[1]
    return np.array([np.abs(np.cumsum(deal[division])[last_of_equals]).max() for deal in deals]) / values.shape[1]


@pytest.mark.parametrize("case", [name for name in CASES if not name.endswith(" deterministic")])
def test_clients_are_distributed_as_those_of_flower_datasets(case, flower, ours) -> None:
    strategy, parameters, _, _ = CASES[case]
    assert chance(ours(strategy, **parameters), flower[case]) > 0.01


def test_deterministic_labels_are_those_of_flower_datasets(flower, ours) -> None:
    case = "pathological, deterministic"
    strategy, parameters, _, _ = CASES[case]
    # Of the examples of a label that do not divide, both give one more to some of its clients, but not to the same ones.
    assert np.abs(ours(strategy, **parameters) - flower[case]).max() <= 1


def test_the_comparison_sees_a_difference(flower, ours) -> None:
    others = {
        "dirichlet": ours("dirichlet", clients=10, alpha=0.25, min_examples=10),
        "dirichlet, self-balancing": ours("dirichlet", clients=10, alpha=0.1, min_examples=1),
        "shards": ours("shards", clients=40, shards_per_client=3),
        "pathological, random": ours("pathological", clients=40, classes_per_client=2, assignment="first-deterministic"),
    }
    assert max(chance(other, flower[case]) for case, other in others.items()) < 0.01
