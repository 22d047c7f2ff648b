"""What every strategy promises, on whatever counts and parameters."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from components.federated_split.parameters import check_parameters, strategy_parameters
from components.federated_split.partitioners import PARTITIONERS
from errors import DataError

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=6)
CLIENTS = st.integers(1, 25)
ALPHA = st.floats(1e-3, 1e3)
FRACTIONS = st.lists(st.integers(1, 9), min_size=1, max_size=9).map(lambda parts: [part / sum(parts) for part in parts])

PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "iid": st.fixed_dictionaries({"clients": CLIENTS}),
    "sizes": st.fixed_dictionaries({"sizes": FRACTIONS}),
    "linear": st.fixed_dictionaries({"clients": CLIENTS, "min_examples": st.integers(0, 3)}),
    "square": st.fixed_dictionaries({"clients": CLIENTS, "min_examples": st.integers(0, 3)}),
    "exponential": st.fixed_dictionaries({"clients": CLIENTS, "min_examples": st.integers(0, 3)}),
    "lognormal": st.fixed_dictionaries({"clients": CLIENTS, "sigma": st.floats(0, 50), "min_examples": st.integers(0, 3)}),
    "dirichlet": st.fixed_dictionaries(
        {"clients": CLIENTS, "alpha": ALPHA, "min_examples": st.just(0), "self_balancing": st.booleans()}
    ),
    "inner_dirichlet": st.one_of(
        st.fixed_dictionaries({"clients": CLIENTS, "alpha": ALPHA}), st.fixed_dictionaries({"sizes": FRACTIONS, "alpha": ALPHA})
    ),
    "shards": st.fixed_dictionaries({"clients": CLIENTS, "shards_per_client": st.integers(1, 4)}),
    "pathological": st.fixed_dictionaries(
        {
            "clients": CLIENTS,
            "classes_per_client": st.integers(1, 4),
            "assignment": st.sampled_from(["random", "deterministic", "first-deterministic"]),
        }
    ),
    "distribution": st.fixed_dictionaries(
        {"matrix": st.lists(st.lists(st.floats(0, 9), min_size=4, max_size=4), min_size=6, max_size=6)}
    ),
    "power_law": st.fixed_dictionaries(
        {"clients": CLIENTS, "classes_per_client": st.integers(1, 4), "sigma": st.floats(0, 50)}
    ),
    "continuous": st.fixed_dictionaries({"clients": CLIENTS, "strictness": st.floats(0, 1)}),
    "by_key": st.just({}),
    "grouped_by_key": st.fixed_dictionaries(
        {
            "group_size": st.integers(1, 7),
            "remainder": st.sampled_from(["allow-smaller", "allow-bigger", "drop-remainder", "strict"]),
            "sort_keys": st.booleans(),
        }
    ),
}

# Small counts often cannot be divided as drawn, and are refused: that is a promise of the tests of each strategy.
HELD = settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def draw(data: st.DataObject, strategy: str) -> tuple[list[int], dict[str, Any]]:
    counts, parameters = data.draw(COUNTS), data.draw(PARAMETERS[strategy])
    if "matrix" in parameters:
        parameters["matrix"] = parameters["matrix"][: len(counts)]
    return counts, parameters


def test_every_strategy_is_held_to_its_promises() -> None:
    assert PARAMETERS.keys() == PARTITIONERS.keys()


@pytest.mark.parametrize("strategy", PARTITIONERS)
@settings(HELD, max_examples=40)
@given(data=st.data())
def test_every_example_goes_to_one_client_or_is_dropped(strategy, data, allot) -> None:
    (counts, parameters), seed = draw(data, strategy), data.draw(st.integers(0, 2**32))
    try:
        allocation = allot(strategy, counts, seed, **parameters)
    except DataError as error:
        assert "\n" not in str(error)
        assume(False)
    assert (allocation.size > 0).all()
    assert set(np.cumsum(counts)) <= set(np.cumsum(allocation.size)), "a portion reaches over the end of its stratum"
    assert allocation.size.sum() == sum(counts)
    assert allocation.sizes.sum() + allocation.dropped == sum(counts)
    assert allocation.clients == sorted(set(allocation.clients))
    assert allocation.client.max(initial=-1) < len(allocation.clients)
    assert allocation.client.dtype == allocation.size.dtype == np.int64


@pytest.mark.parametrize("strategy", PARTITIONERS)
@settings(HELD, max_examples=20)
@given(data=st.data())
def test_same_generator_gives_the_same_allocation(strategy, data, allot) -> None:
    counts, parameters = draw(data, strategy)
    try:
        first, second = (allot(strategy, counts, 3, **parameters) for _ in range(2))
    except DataError:
        assume(False)
    assert first.clients == second.clients
    np.testing.assert_array_equal(first.client, second.client)
    np.testing.assert_array_equal(first.size, second.size)


@pytest.mark.parametrize("strategy", PARTITIONERS)
def test_only_strategies_that_leave_something_over_may_drop(strategy, allot) -> None:
    parameters = {"clients": 2, "sigma": 1.0, "alpha": 1.0, "strictness": 0.5, "group_size": 3, "sizes": [0.5, 0.5]}
    parameters |= {"matrix": [[1.0, 1.0]] * 7, "classes_per_client": 3, "remainder": "drop-remainder"}
    own = {name: parameters[name] for name in strategy_parameters(strategy) if name in parameters}
    if strategy == "inner_dirichlet":
        del own["sizes"]
    dropped = allot(strategy, [20] * 7, **own).dropped
    assert (dropped > 0) == (strategy in {"pathological", "power_law", "grouped_by_key"})


@pytest.mark.parametrize("strategy", PARTITIONERS)
def test_origin_is_named_in_the_docstring(strategy) -> None:
    text = PARTITIONERS[strategy].divide.__doc__
    assert text and any(origin in text for origin in ("et al.", "Flower Datasets", "LEAF", "FedLab"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "parameters", "strata"),
    [
        ("iid", {"clients": 10**6}, 1),
        ("linear", {"clients": 10**6}, 1),
        ("lognormal", {"clients": 10**6, "sigma": 1.0}, 1),
        ("sizes", {"sizes": [3] * 10**6}, 1),
        ("shards", {"clients": 10**6}, 10),
        ("pathological", {"clients": 10**6}, 10),
        ("power_law", {"clients": 10**6}, 10),
        ("dirichlet", {"clients": 10**6, "min_examples": 0}, 10),
        ("inner_dirichlet", {"clients": 10**6}, 10),
        ("continuous", {"clients": 10**6, "strictness": 0.5}, 60_000),
        ("by_key", {}, 10**6),
        ("grouped_by_key", {"group_size": 1}, 10**6),
    ],
)
@pytest.mark.timeout(60)
def test_a_million_clients_are_no_matter(strategy, parameters, strata, allot) -> None:
    allocation = allot(strategy, np.full(strata, 3 * 10**6 // strata), **parameters)
    assert len(allocation.clients) == 10**6
    assert allocation.sizes.sum() == 3 * 10**6


def test_parameters_as_checked_are_what_the_functions_take(allot) -> None:
    checked = check_parameters("dirichlet", {"clients": 2, "alpha": {0: 1, 1: 0.5}, "label": "y"})
    own = {name: checked[name] for name in strategy_parameters("dirichlet") if name != "label"}
    assert allot("dirichlet", [30, 30], **own).sizes.sum() == 60
