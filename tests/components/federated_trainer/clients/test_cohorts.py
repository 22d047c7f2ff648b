"""Who is drawn, who reports, and what each is asked to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.federated_trainer.clients.cohorts import Cohort, draw

KEY = b"a key of some length"


def drawn(
    population: int, size: int, number: int = 1, *, key: bytes = KEY, attempt: int = 1, epochs: int = 1, **given: Any
) -> Cohort:
    participation = {"sampling": "fixed", "drop_out": 0.0, "stragglers": 0.0, "straggler_work": "partial", **given}
    return draw(population, size, participation, epochs, key, number, attempt)


def test_cohort_is_the_same_for_the_same_key_round_and_attempt_and_changes_with_each() -> None:
    cohort = drawn(1000, 50)
    again, *others = (drawn(1000, 50), drawn(1000, 50, key=b"another"), drawn(1000, 50, 2), drawn(1000, 50, attempt=2))
    assert cohort.drawn.tolist() == again.drawn.tolist()
    assert cohort.work.seeds.tolist() == again.work.seeds.tolist()
    assert cohort.digest == again.digest
    assert all(cohort.drawn.tolist() != other.drawn.tolist() for other in others)
    assert len({cohort.digest, *(other.digest for other in others)}) == 4


def test_digest_tells_nothing_to_who_does_not_know_the_key() -> None:
    """Everybody is drawn under both keys: what differs is the key alone."""
    one, other = drawn(5, 5, sampling="full"), drawn(5, 5, sampling="full", key=b"another")
    assert one.drawn.tolist() == other.drawn.tolist() == [0, 1, 2, 3, 4]
    assert one.digest != other.digest


@pytest.mark.parametrize("size", [1, 7, 20])
def test_fixed_cohort_holds_each_client_at_most_once(size) -> None:
    for number in range(50):
        cohort = drawn(20, size, number)
        assert len(set(cohort.drawn.tolist())) == len(cohort.work) == size
        assert set(cohort.drawn.tolist()) <= set(range(20))


def test_every_client_is_equally_likely_and_so_is_every_pair() -> None:
    """The counts of 4,000 draws stay within 5 standard deviations of a binomial distribution."""
    draws, population, size = 4000, 10, 3
    together = np.zeros([population, population])
    for number in range(draws):
        cohort = drawn(population, size, number).drawn
        together[np.ix_(cohort, cohort)] += 1
    single, pair = size / population, size * (size - 1) / (population * (population - 1))
    expected = np.where(np.eye(population), single, pair)
    assert np.all(np.abs(together - draws * expected) < 5 * np.sqrt(draws * expected * (1 - expected)))


def test_poisson_sampling_draws_each_client_by_itself() -> None:
    """Sizes have the binomial distribution's mean and variance; clients are equally likely; nobody is drawn at times."""
    sizes, times = [], np.zeros(20)
    for number in range(2000):
        cohort = drawn(20, 3, number, sampling="poisson").drawn
        sizes.append(len(cohort))
        times[cohort] += 1
    assert np.mean(sizes) == pytest.approx(3, abs=5 * np.sqrt(20 * 0.15 * 0.85 / 2000))
    assert np.var(sizes) == pytest.approx(20 * 0.15 * 0.85, rel=0.2)
    assert np.all(np.abs(times - 300) < 5 * np.sqrt(2000 * 0.15 * 0.85))
    assert 0 in sizes


def test_full_sampling_takes_everybody() -> None:
    assert drawn(6, 6, sampling="full").drawn.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("population", "size"), [(12, 4), (10, 4), (5, 5)])
def test_ordered_clients_take_turns_and_come_back_no_sooner_than_the_privacy_bound_assumes(population, size) -> None:
    last = {}
    for number in range(1, 40):
        cohort = drawn(population, size, number, sampling="ordered").drawn.tolist()
        assert len(set(cohort)) == size
        assert all(number - last.get(client, -population) >= population // size for client in cohort)
        last |= dict.fromkeys(cohort, number)
    assert set(last) == set(range(population))


def test_repeated_round_asks_the_same_clients_again_if_they_take_turns() -> None:
    first, second = (drawn(100, 10, 4, attempt=attempt, sampling="ordered", drop_out=0.5) for attempt in (1, 2))
    assert first.drawn.tolist() == second.drawn.tolist()
    assert first.work.clients.tolist() != second.work.clients.tolist()


def test_clients_that_drop_out_are_drawn_but_do_no_work() -> None:
    cohorts = [drawn(100, 50, number, drop_out=0.3) for number in range(200)]
    assert {len(cohort.drawn) for cohort in cohorts} == {50}
    assert all(set(cohort.work.clients.tolist()) <= set(cohort.drawn.tolist()) for cohort in cohorts)
    assert np.mean([len(cohort.work) for cohort in cohorts]) == pytest.approx(35, abs=1)


def test_slow_clients_do_some_of_the_epochs() -> None:
    cohorts = [drawn(100, 50, number, epochs=4, stragglers=0.5) for number in range(200)]
    assert {len(cohort.work) for cohort in cohorts} == {50}
    epochs = np.concatenate([cohort.work.epochs for cohort in cohorts])
    shares = [np.mean(epochs == done) for done in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.125, 0.125, 0.125, 0.625], abs=0.02)
    assert all(cohort.late == int((cohort.work.epochs < 4).sum()) for cohort in cohorts)


def test_slow_clients_can_come_too_late() -> None:
    cohorts = [drawn(100, 50, number, epochs=4, stragglers=0.5, straggler_work="none") for number in range(50)]
    assert all(len(cohort.work) + cohort.late == 50 for cohort in cohorts)
    assert np.mean([cohort.late for cohort in cohorts]) == pytest.approx(25, abs=2)
    assert {int(done) for cohort in cohorts for done in cohort.work.epochs} == {4}


def test_what_a_client_does_in_a_round_does_not_depend_on_the_others() -> None:
    """Order and noise of a client are the same whoever else takes part; another round or key gives others."""
    full, poisson = drawn(50, 50, sampling="full"), drawn(50, 20, sampling="poisson")
    assert poisson.work.seeds.tolist() == full.work.seeds[poisson.work.clients].tolist()
    others = (full, drawn(50, 50, 2, sampling="full"), drawn(50, 50, key=b"another", sampling="full"))
    assert len({seed for other in others for seed in other.work.seeds.tolist()}) == 150
