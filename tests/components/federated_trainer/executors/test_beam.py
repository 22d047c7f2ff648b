"""A round as a Beam pipeline: worker processes give the same bits, and nothing is left behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.federated_trainer.algorithms import server
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.executors import beam as beam_executor
from components.federated_trainer.executors import executor
from components.federated_trainer.executors.beam import BeamExecutor
from components.federated_trainer.rounds import Job
from modeling import contract
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

pytestmark = pytest.mark.slow

PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.fixture(scope="module")
def job(make_job, write_clients, classes, class_source) -> Callable[..., Job]:
    uri = write_clients("ten", {f"client-{i}": classes(4 + 3 * i, i) for i in range(10)}, block_bytes=200)
    settings = build(TrainConfig, {"algorithm": "scaffold", "rounds": 1, "clients_per_round": 10}).settings("people")

    def make(*beam_args: str, **other: Any) -> Job:
        made = make_job("beam", uri, source=class_source)
        return dataclasses.replace(made, settings=settings | {"executor": "beam"}, beam_args=beam_args, **other)

    return make


def worked(job: Job, then: Callable[[], None] = lambda: None) -> Result:
    """A round of all clients, and what follows before the executor is closed."""
    module, population = contract.load(job.module), Population.open(job.examples_uri)
    half, clients = server(job.settings, len(population)), np.arange(len(population))
    start = [np.full(weight.shape, 0.1, np.float32) for weight in module.build_model().trainable_weights]
    states = [np.random.default_rng(1).normal(size=(len(clients), *weight.shape)).astype(np.float32) for weight in start]
    work = Work(clients, 1 + clients % 2, clients.astype(np.uint64))
    with executor(module, population, job) as beam:
        message = half.message(half.initial(start, []), 1, np.inf, np.inf)
        result = beam.run(message, work, np.ones(len(clients), np.float32), states)
        then()
    population.close()
    return result


def files_of(job: Job) -> list[Path]:
    return [path for path in Path(job.state_dir).rglob("*") if path.is_file()]


@pytest.mark.slow
def test_worker_processes_give_the_bits_of_one_process(job) -> None:
    here, there = worked(job()), worked(job(*PROCESSES))
    for one, other in zip((*here.sums, here.rows, *here.states), (*there.sums, there.rows, *there.states), strict=True):
        assert one.tobytes() == other.tobytes()


def test_nothing_stays_behind_after_a_round(job) -> None:
    asked = job()
    worked(asked, then=lambda: pytest.fail("files stay") if files_of(asked) else None)
    assert not beam_executor._WORKSHOPS


def test_what_a_killed_training_left_is_cleared_away_by_the_same_training(job) -> None:
    asked = job()
    module, population = contract.load(asked.module), Population.open(asked.examples_uri)
    left = Path(BeamExecutor(module, population, asked)._folder)
    left.mkdir(parents=True)
    (left / "round.npz").write_bytes(b"half a file")
    assert np.isfinite(worked(asked).loss)
    assert files_of(asked) == []
    population.close()


def test_what_other_trainings_left_is_cleared_away(job) -> None:
    asked = job()
    left = Path(asked.state_dir, "beam", "another", "round.npz")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"weights")
    worked(asked, then=lambda: pytest.fail("files stay") if left.parent.exists() else None)
    assert files_of(asked) == []


def test_nobody_else_may_read_what_a_round_writes(tmp_path: Path) -> None:
    work = Work(np.arange(2), np.ones(2, np.int64), np.zeros(2, np.uint64))
    folder = tmp_path / "beam" / "training"
    beam_executor._write_round(str(folder), {"weights": []}, work, np.ones(2), [np.ones([2, 3])], [np.arange(2)])
    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "beam", folder, *folder.iterdir())}
    assert found == {"beam": 0o700, "training": 0o700, "round.npz": 0o600, "states-00000.npz": 0o600}


def test_a_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "round.npz", clients=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        beam_executor._load(str(tmp_path / "round.npz"))


def test_arrays_and_lists_of_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = [np.arange(3, dtype=np.float32) * number for number in range(12)]
    beam_executor._save(str(tmp_path / "a.npz"), {"weights": arrays, "frozen": [], "numbers": np.float32([1, np.inf])})
    read = beam_executor._load(str(tmp_path / "a.npz"))
    assert sorted(read) == ["numbers", "weights"]
    assert [array.tolist() for array in read["weights"]] == [array.tolist() for array in arrays]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
