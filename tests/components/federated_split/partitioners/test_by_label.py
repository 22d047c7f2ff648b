import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from errors import DataError

COUNTS = st.lists(st.integers(30, 90), min_size=2, max_size=6)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32))
def test_shards_are_equal_and_each_client_gets_its_number_of_them(allot, table, counts, clients, each, seed) -> None:
    number = clients * each
    assume(number <= sum(counts))
    allocation = allot("shards", counts, seed, clients=clients, shards_per_client=each)
    shard = sum(counts) / number
    assert (np.abs(allocation.sizes - each * shard) <= each).all()
    # A shard of s examples touches as many labels as fit, so a client's labels are bounded by what its shards can touch.
    touched = (table(allocation, counts) > 0).sum(axis=0)
    assert (touched <= each * (2 + shard / min(counts))).all()


def test_shards_of_the_paper_give_most_clients_two_labels(allot, table) -> None:
    counts = [6000] * 10
    allocation = allot("shards", counts, clients=100, shards_per_client=2)
    assert set(allocation.sizes) == {600}
    assert set((table(allocation, counts) > 0).sum(axis=0)) == {1, 2}


def test_shards_are_dealt_at_random(allot) -> None:
    first, second = (allot("shards", [50, 50], seed, clients=10, shards_per_client=2) for seed in (1, 2))
    assert first.client.tolist() != second.client.tolist()


@settings(deadline=None)
@given(
    COUNTS,
    st.integers(1, 20),
    st.integers(1, 6),
    st.sampled_from(["random", "deterministic", "first-deterministic"]),
    st.integers(0, 2**32),
)
def test_pathological_clients_have_exactly_k_labels_in_equal_parts(
    allot, table, counts, clients, each, assignment, seed
) -> None:
    each = min(each, len(counts))
    matrix = table(allot("pathological", counts, seed, clients=clients, classes_per_client=each, assignment=assignment), counts)
    assert set((matrix > 0).sum(axis=0)) == {each}
    for row, count in zip(matrix, counts, strict=True):
        held = row[row > 0]
        assert held.sum() in (0, count), "a label that anybody has is given out completely"
        assert not len(held) or np.ptp(held) <= 1
    if assignment == "deterministic":
        labels = [set(np.flatnonzero(column)) for column in matrix.T]
        assert labels == [{(client + i) % len(counts) for i in range(each)} for client in range(clients)]
    if assignment == "first-deterministic":
        assert all(matrix[client % len(counts), client] > 0 for client in range(clients))


def test_random_labels_are_all_as_likely(allot, table) -> None:
    counts = [10**6] * 5
    matrix = table(allot("pathological", counts, clients=20_000, classes_per_client=2), counts) > 0
    pairs = np.unique(np.packbits(matrix, axis=0)[0], return_counts=True)[1]
    assert len(pairs) == 10
    assert np.abs(pairs - 2000).max() < 5 * np.sqrt(2000)


def test_labels_that_nobody_has_are_dropped(allot) -> None:
    allocation = allot("pathological", [20] * 10, clients=2, classes_per_client=3, assignment="deterministic")
    assert allocation.sizes.sum() == 80
    assert allocation.dropped == 120


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=3, max_size=3),
    st.lists(st.integers(20, 90), min_size=3, max_size=3),
)
def test_a_matrix_is_followed_within_one_example(allot, table, matrix, counts) -> None:
    given = table(allot("distribution", counts, matrix=matrix), counts)
    for row, weights, count in zip(given, matrix, counts, strict=True):
        expected = np.zeros(5) if sum(weights) == 0 else np.array(weights) / sum(weights) * count
        np.testing.assert_allclose(row, expected, atol=1 + 1e-6)
        assert row.sum() == (count if sum(weights) else 0)


def test_a_matrix_may_name_its_labels(allot, table) -> None:
    rows = {"cat": [1.0, 0.0], "ant": [0.0, 1.0], "bee": [1.0, 3.0]}
    allocation = allot("distribution", [4, 8, 6], strata=["ant", "bee", "cat"], matrix=rows)
    assert table(allocation, [4, 8, 6]).tolist() == [[0, 4], [2, 6], [6, 0]]


def test_each_client_first_gets_the_least_of_each_of_its_labels(allot, table) -> None:
    matrix = [[1.0, 1e6, 0.0], [1.0, 1.0, 1.0]]
    given = table(allot("distribution", [100, 90], matrix=matrix, min_per_label=5), [100, 90])
    assert given.tolist() == [[5, 95, 0], [30, 30, 30]]


def test_what_is_left_over_does_not_pile_up_at_the_first_clients(allot) -> None:
    counts, ones = [15] * 200, [[1.0] * 10] * 200
    sizes = allot("distribution", counts, matrix=ones).sizes
    assert sizes.sum() == 3000
    assert np.ptp(sizes) < 60
    assert sizes.tolist() != allot("distribution", counts, 1, matrix=ones).sizes.tolist()


def test_weights_may_be_as_large_as_floats_are(allot, table) -> None:
    given = table(allot("distribution", [10, 8], matrix=[[1e308, 1e308], [1e308, 0.0]]), [10, 8])
    assert given.tolist() == [[5, 5], [8, 0]]


def test_every_power_law_client_gets_an_example_of_each_of_its_labels(allot, table) -> None:
    matrix = table(allot("power_law", [100] * 5, clients=100, sigma=20.0), [100] * 5)
    assert set((matrix > 0).sum(axis=0)) == {2}


def test_power_law_may_give_nothing_where_that_is_asked_for(allot) -> None:
    allocation = allot("power_law", [3, 300], clients=100, min_per_label=0)
    assert allocation.sizes.sum() == 303


def test_power_law_has_few_labels_each_and_very_unequal_sizes(allot, table) -> None:
    counts = [6000] * 10
    allocation = allot("power_law", counts, clients=1000, classes_per_client=2, min_per_label=5)
    matrix = table(allocation, counts)
    assert set((matrix > 0).sum(axis=0)) == {2}
    assert matrix[matrix > 0].min() == 5
    assert allocation.sizes.max() > 20 * np.median(allocation.sizes)
    assert all(matrix[[client % 10, (client + 1) % 10], client].min() >= 5 for client in range(1000))


@pytest.mark.parametrize(
    ("strategy", "parameters", "message"),
    [
        ("shards", {"clients": 16, "shards_per_client": 2}, r"shards as training examples \(30\), got 32 \(16 clients x 2\)"),
        ("pathological", {"clients": 2, "classes_per_client": 4}, r"at most the number of labels \(3\), got 4; use fewer"),
        (
            "pathological",
            {"clients": 20, "classes_per_client": 2, "assignment": "deterministic"},
            "one example of label '0' for each of the 13 clients that have it, got 10",
        ),
        ("pathological", {"clients": 31}, "got 31; use fewer clients"),
        ("power_law", {"clients": 6, "classes_per_client": 4}, r"number of labels \(3\), got 4"),
        (
            "power_law",
            {"clients": 6, "classes_per_client": 2, "min_per_label": 3},
            "3 examples of label '0' for each of 4 clients, got 10 in all",
        ),
        ("power_law", {"clients": 20, "classes_per_client": 2}, "1 examples of label '0' for each of 13 clients, got 10"),
        (
            "distribution",
            {"matrix": [[1.0, 1.0]] * 3, "min_per_label": 2**62},
            f"{2**62} examples of label '0'.* got 10 in all",
        ),
        ("distribution", {"matrix": [[1.0, 1.0]] * 3, "min_per_label": 2**70}, f"{2**70} examples of label '0'"),
        ("distribution", {"matrix": [[1.0]] * 2}, "a row of weights for each of the 3 labels.*'matrix', got 2"),
        ("distribution", {"matrix": {"0": [1.0], "1": [1.0]}}, "got none for '2'; add it"),
        ("distribution", {"matrix": {str(n): [1.0] for n in range(4)}}, "got one for '3', which no example has; drop it"),
        ("distribution", {"matrix": [[1.0, 1.0]] * 3, "min_per_label": 6}, "6 examples of label '0' for each of 2 clients"),
    ],
)
def test_labels_that_do_not_reach_are_refused_in_one_line(strategy, parameters, message, allot) -> None:
    with pytest.raises(DataError, match=message) as raised:
        allot(strategy, [10, 10, 10], **parameters)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("strategy", ["pathological", "power_law", "dirichlet", "inner_dirichlet"])
def test_an_id_as_label_is_refused(strategy, allot) -> None:
    with pytest.raises(DataError, match="few distinct values, got 20000 of them for 10000 clients"):
        allot(strategy, np.ones(20_000), clients=10_000)
