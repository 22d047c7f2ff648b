import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.federated_split.partitioners import Allocation
from errors import DataError


def keys(number: int) -> list[str]:
    return [f"user {at:03d}" for at in range(number)]


def test_by_key_makes_each_key_a_client(allot) -> None:
    allocation = allot("by_key", [2, 3], strata=["anna", "bob"])
    assert allocation.clients == ["anna", "bob"]
    assert allocation.sizes.tolist() == [2, 3]


def test_whole_numbers_as_keys_are_clients_in_the_order_of_their_text(allot) -> None:
    allocation = allot("by_key", [1, 2, 3], strata=["2", "9", "10"])
    assert allocation.clients == ["10", "2", "9"]
    assert allocation.sizes.tolist() == [3, 1, 2]


@given(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.integers(0, 2**32))
def test_groups_have_the_size_asked_for_but_for_the_remainder(allot, number, size, sort, seed) -> None:
    def grouped(remainder: str) -> Allocation:
        return allot(
            "grouped_by_key", np.ones(number), seed, keys(number), group_size=size, remainder=remainder, sort_keys=sort
        )

    full, left = divmod(number, size)
    assert grouped("allow-smaller").sizes.tolist() == [size] * full + [left] * (left > 0)
    if full:
        bigger, dropped = grouped("allow-bigger"), grouped("drop-remainder")
        assert len(bigger.clients) == full
        assert bigger.sizes.min() >= size
        assert np.ptp(bigger.sizes) <= 1
        assert dropped.sizes.tolist() == [size] * full
        assert dropped.dropped == left
    if not left:
        assert grouped("strict").sizes.tolist() == [size] * full


def test_sorted_keys_are_grouped_with_their_neighbours(allot) -> None:
    allocation = allot("grouped_by_key", np.ones(6), strata=keys(6), group_size=2, sort_keys=True)
    assert allocation.client.tolist() == [0, 0, 1, 1, 2, 2]
    assert allocation.clients == ["group-00000", "group-00001", "group-00002"]
    drawn = allot("grouped_by_key", np.ones(6), strata=keys(6), group_size=2)
    assert drawn.client.tolist() != [0, 0, 1, 1, 2, 2]


def test_all_examples_of_a_key_stay_together(allot) -> None:
    allocation = allot("grouped_by_key", [5, 1, 7, 2], strata=keys(4), group_size=2)
    assert allocation.size.tolist() == [5, 1, 7, 2]


@pytest.mark.parametrize("strategy", ["by_key", "grouped_by_key"])
@pytest.mark.parametrize(
    "pair",
    [
        ["Anna", "anna"],
        ["anna", "anna "],
        [" a", "A"],
        ["Ann Lee", "ann  lee"],
        ["Ann\tLee", "Ann Lee"],
        ["anna", "an\u200bna"],
        ["anna", "\ufeffanna"],
        ["\u00e9va", "e\u0301va"],
        ["\uff41nna", "anna"],
        ["anna\x00", "anna"],
        ["Stra\u00dfe", "STRASSE"],
    ],
)
def test_keys_that_look_alike_are_refused_without_being_named(strategy, pair, allot) -> None:
    parameters = {"group_size": 2} if strategy == "grouped_by_key" else {}
    with pytest.raises(DataError, match="got 1 of 2 that repeat another") as raised:
        allot(strategy, [1, 1], strata=pair, **parameters)
    assert pair[1] not in str(raised.value)


@pytest.mark.parametrize("key", ["", "  ", "\u200b", "\x00 \u2060"])
def test_an_empty_key_is_refused(key, allot) -> None:
    with pytest.raises(DataError, match="got an empty one"):
        allot("by_key", [1, 1], strata=[key, "x"])


@pytest.mark.parametrize(
    ("remainder", "size", "message"),
    [
        ("strict", 3, "a number of different keys that 3 divides, got 7"),
        ("strict", 8, "at least 8 different keys for a group, got 7"),
        ("allow-bigger", 8, "use a smaller group_size or remainder 'allow-smaller'"),
        ("drop-remainder", 8, "at least 8 different keys for a group, got 7"),
    ],
)
def test_groups_that_cannot_be_are_refused_in_one_line(remainder, size, message, allot) -> None:
    with pytest.raises(DataError, match=message) as raised:
        allot("grouped_by_key", np.ones(7), strata=keys(7), group_size=size, remainder=remainder)
    assert "\n" not in str(raised.value)
