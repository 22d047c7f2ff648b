import numpy as np
import pytest

from components.federated_split.parameters import check_parameters
from components.federated_split.partitioners import PARTITIONERS, Allocation, Partitioner
from components.federated_split.plan import make_plan
from errors import DataError, IntegrityError


@pytest.mark.parametrize("size", [[3, 3], [4, 4], [7, 0], [8, -1]])
def test_a_partitioner_that_does_not_give_out_every_example_is_found_out(size, monkeypatch) -> None:
    def wrong(strata, counts, rng) -> Allocation:
        return Allocation(["a", "b"], np.array([0, 1]), np.array(size))

    monkeypatch.setitem(PARTITIONERS, "wrong", Partitioner(wrong, strata=""))
    with pytest.raises(IntegrityError, match=r"portions above 0 that add up to 7 examples, got .* in 'wrong'"):
        make_plan({"": 7}, 100, "wrong", check_parameters("wrong", {}), 1)


def test_a_plan_that_drops_everything_is_refused() -> None:
    parameters = {**check_parameters("distribution", {"matrix": [[1, 1]], "label": "y"}), "matrix": [[0, 0]]}
    with pytest.raises(DataError, match="gives examples to somebody, got 'distribution' dropping all 7") as raised:
        make_plan({"cat": 7}, 100, "distribution", parameters, 1)
    assert "holdout" not in str(raised.value)


def test_what_is_dropped_is_counted_in_examples_and_in_strata() -> None:
    parameters = check_parameters("distribution", {"matrix": [[0, 0], [1, 1], [0, 0]], "label": "y"})
    plan = make_plan({"a": 7, "b": 5, "c": 2}, 100, "distribution", parameters, 1)
    assert (plan.dropped, plan.dropped_strata) == (9, 2)
