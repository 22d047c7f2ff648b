"""The privacy ledger: sums, budgets, deaths at any moment, meddling, and several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components.federated_trainer.privacy.accounting import ADD_REMOVE, REPLACE, Release, guarantee
from components.federated_trainer.privacy.ledger import Ledger
from errors import ConfigError, IntegrityError, TrainingError

RUN = Release("gaussian", "fixed", 2.0, 50, 3383, 20)
POISSON = replace(RUN, sampling="poisson")
DELTA = 1e-5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "privacy" / "population.jsonl"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(str(path))


def _epsilon(*rounds: int) -> float:
    return guarantee([replace(RUN, rounds=each) for each in rounds], DELTA).epsilon


def test_a_population_without_releases_has_spent_nothing(ledger: Ledger, path: Path) -> None:
    assert ledger.total(DELTA).epsilon == 0
    assert not path.exists()


def test_releases_add_up_by_composition(ledger: Ledger) -> None:
    first = ledger.reserve("a", RUN, DELTA)
    both = ledger.reserve("b", RUN, DELTA)
    assert first.epsilon == pytest.approx(_epsilon(20))
    assert both.epsilon == ledger.total(DELTA).epsilon == pytest.approx(_epsilon(20, 20))
    assert both.epsilon < 1.9 * first.epsilon


def test_what_was_really_attempted_replaces_the_reservation(ledger: Ledger) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 7)
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(7))
    ledger.spend("a", 3)  # not less than what it once was
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(7))


def test_telling_again_what_was_spent_writes_nothing(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 7)
    before = path.read_bytes()
    ledger.spend("a", 7)
    assert path.read_bytes() == before


def test_rounds_repeated_after_a_failure_count(ledger: Ledger) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 26)
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(26))


def test_a_training_that_attempted_nothing_costs_nothing(ledger: Ledger) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 0)
    assert ledger.total(DELTA).epsilon == 0


def test_a_resumed_training_reserves_once(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    before = path.read_bytes()
    assert ledger.reserve("a", RUN, DELTA).epsilon == pytest.approx(_epsilon(20))
    assert path.read_bytes() == before


def test_a_training_that_goes_on_after_its_end_counts_in_full_again(ledger: Ledger) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 26)
    ledger.reserve("a", replace(RUN, rounds=40), DELTA)
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(40))
    ledger.spend("a", 30)
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(30))


@pytest.mark.slow
def test_a_killed_training_stays_counted(ledger: Ledger, path: Path) -> None:
    assert _python("ledger.reserve('a', RUN, DELTA); os.kill(os.getpid(), signal.SIGKILL)", path).wait() == -signal.SIGKILL
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(20))


def test_an_id_cannot_stand_for_two_trainings(ledger: Ledger) -> None:
    ledger.reserve("a", RUN, DELTA)
    for change in ({"noise_multiplier": 3.0}, {"population": 1000}, {"sampling": "poisson"}):
        with pytest.raises(ConfigError, match="release a is in the privacy ledger"):
            ledger.reserve("a", replace(RUN, **change), DELTA)


def test_a_budget_that_would_be_exceeded_is_refused_and_nothing_is_reserved(ledger: Ledger, path: Path) -> None:
    budget = _epsilon(20, 20) * 1.001
    ledger.reserve("a", RUN, DELTA, budget)
    ledger.reserve("b", RUN, DELTA, budget)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="budget would be exceeded") as caught:
        ledger.reserve("c", RUN, DELTA, budget)
    now, after = (f"{_epsilon(*[20] * n):.4g}" for n in (2, 3))
    assert f"{now} before" in str(caught.value) and f"got {after}" in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before
    ledger.reserve("b", RUN, DELTA, budget)  # a resumed one is in the total already


def test_a_plan_can_be_held_against_the_budget_without_reserving(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    assert ledger.require(5.0, DELTA, RUN).epsilon == pytest.approx(_epsilon(20, 20))
    with pytest.raises(TrainingError, match="budget"):
        ledger.require(0.1, DELTA, RUN)
    assert len(path.read_text().splitlines()) == 1


def test_a_release_without_noise_exceeds_every_budget(ledger: Ledger) -> None:
    ledger.reserve("a", replace(RUN, noise_multiplier=0.0), DELTA)
    with pytest.raises(TrainingError, match="got inf"):
        ledger.reserve("b", RUN, DELTA, budget=1e9)


def test_a_population_that_shrank_is_accounted_as_it_was_each_time(ledger: Ledger) -> None:
    small = replace(RUN, population=500)
    ledger.reserve("a", RUN, DELTA)
    total = ledger.reserve("b", small, DELTA)
    assert total.epsilon == pytest.approx(guarantee([RUN, small], DELTA).epsilon)
    assert total.epsilon > _epsilon(20, 20)
    with pytest.raises(ConfigError, match="less than 1/3383"):  # fine for 500 clients, but not for all that were there
        ledger.reserve("c", small, 1e-3)


def test_fixed_and_poisson_sampling_add_up_under_the_relation_both_have_a_bound_for(ledger: Ledger) -> None:
    alone = ledger.reserve("a", POISSON, DELTA)
    assert alone.relation == ADD_REMOVE and alone.epsilon == alone.pld
    total = ledger.reserve("b", RUN, DELTA)
    assert total.relation == REPLACE
    assert total.epsilon > _epsilon(20) > alone.epsilon


def test_a_last_line_torn_by_a_crash_is_dropped(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    ledger.spend("a", 5)
    whole = path.read_bytes()
    first = whole.splitlines(keepends=True)[0]
    for end in (len(first) + 1, len(first) + 40, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(20))
    ledger.spend("a", 6)
    assert ledger.total(DELTA).epsilon == pytest.approx(_epsilon(6))
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("meddling", ["changed", "removed", "not json", "swapped"])
def test_meddling_is_found_and_the_line_named(ledger: Ledger, path: Path, line: int, meddling: str) -> None:
    for name in "abcd":
        ledger.reserve(name, RUN, DELTA)
    lines = path.read_text().splitlines()
    index = line - 1
    if meddling == "changed":
        lines[index] = lines[index].replace('"rounds": 20', '"rounds": 2')
    elif meddling == "removed":
        del lines[index]
    elif meddling == "not json":
        lines[index] = "gone"
    else:
        lines[index], lines[index + 1] = lines[index + 1], lines[index]
    path.write_text("\n".join(lines) + "\n")
    for act in (lambda: ledger.total(DELTA), lambda: ledger.reserve("e", RUN, DELTA), lambda: ledger.spend("a", 1)):
        with pytest.raises(IntegrityError, match=f"line {line}:"):
            act()


def test_a_ledger_that_vanished_during_the_training_is_noticed(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    path.unlink()
    with pytest.raises(IntegrityError, match="no reservation of release a"):
        ledger.spend("a", 20)


def test_the_head_changes_with_every_line_and_holds_the_end(ledger: Ledger, path: Path) -> None:
    heads = [ledger.head()]
    for name in "ab":
        ledger.reserve(name, RUN, DELTA)
        heads.append(ledger.head())
    assert len(set(heads)) == 3
    path.write_text(path.read_text().splitlines(keepends=True)[0])  # a line cut off the end
    assert ledger.head() == heads[1]


def test_a_line_says_what_was_released_and_nothing_of_single_clients(ledger: Ledger, path: Path) -> None:
    ledger.reserve("a", RUN, DELTA)
    entry = json.loads(path.read_text())
    assert Release(**entry["release"]) == RUN
    assert set(entry) == {"line", "time", "previous", "kind", "release_id", "release", "digest"}


def _python(code: str, path: Path) -> subprocess.Popen[str]:
    setting = (
        "import os, signal, sys\nfrom components.federated_trainer.privacy.ledger import Ledger\n"
        "from components.federated_trainer.privacy.accounting import Release\nfrom errors import TrainingError\n"
        f"RUN = {RUN!r}\nDELTA = {DELTA}\nledger = Ledger({str(path)!r})\n"
    )
    root = str(Path(__file__).parents[4])
    return subprocess.Popen([sys.executable, "-c", setting + code], cwd=root, env={**os.environ, "PYTHONPATH": root}, text=True)


@pytest.mark.slow
def test_processes_at_once_lose_no_line(ledger: Ledger, path: Path) -> None:
    code = "for i in range(10):\n    ledger.reserve(f'{NAME}{i}', RUN, 1e-5)\n    ledger.spend(f'{NAME}{i}', 0)\n"
    processes = [_python(f"NAME = {name!r}\n{code}", path) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(path.read_text().splitlines()) == 60
    assert ledger.total(DELTA).epsilon == 0


@pytest.mark.slow
def test_processes_at_once_cannot_exceed_the_budget_together(ledger: Ledger, path: Path) -> None:
    budget = _epsilon(20, 20) * 1.001
    code = f"try:\n    ledger.reserve(NAME, RUN, DELTA, {budget!r})\nexcept TrainingError:\n    sys.exit(3)"
    processes = [_python(f"NAME = {name!r}\n{code}", path) for name in "abcd"]
    assert sorted(process.wait() for process in processes) == [0, 0, 3, 3]
    assert ledger.total(DELTA).epsilon <= budget
