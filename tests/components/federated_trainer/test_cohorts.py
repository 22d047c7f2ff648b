import numpy as np
import pytest

from components.federated_trainer.rounds import sample_cohort


def test_a_cohort_is_the_same_for_the_same_seed_and_round_and_changes_with_either() -> None:
    cohort = sample_cohort(1000, 50, seed=1, number=1)
    assert cohort == sample_cohort(1000, 50, seed=1, number=1)
    assert cohort != sample_cohort(1000, 50, seed=2, number=1)
    assert cohort != sample_cohort(1000, 50, seed=1, number=2)


@pytest.mark.parametrize("size", [1, 7, 20])
def test_a_cohort_holds_each_client_at_most_once(size) -> None:
    for number in range(50):
        cohort = sample_cohort(20, size, seed=9, number=number)
        assert len(set(cohort)) == size
        assert set(cohort) <= set(range(20))


def test_every_client_is_equally_likely_and_so_is_every_pair() -> None:
    """The counts of 4,000 draws stay within 5 standard deviations of a binomial distribution."""
    draws, population, size = 4000, 10, 3
    together = np.zeros([population, population])
    for number in range(draws):
        cohort = sample_cohort(population, size, seed=5, number=number)
        together[np.ix_(cohort, cohort)] += 1
    single, pair = size / population, size * (size - 1) / (population * (population - 1))
    expected = np.where(np.eye(population), single, pair)
    assert np.all(np.abs(together - draws * expected) < 5 * np.sqrt(draws * expected * (1 - expected)))
