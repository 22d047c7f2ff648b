import pytest

from components.federated_split.parameters import check_parameters
from errors import DataError


def test_defaults_are_filled_in_and_none_counts_as_not_given() -> None:
    checked = check_parameters("dirichlet", {"clients": 3, "alpha": 1, "label": "y", "min_examples": None})
    assert checked == {
        "clients": 3,
        "alpha": 1,
        "label": "y",
        "min_examples": 1,
        "block_bytes": 4 << 20,
        "shard_bytes": 64 << 20,
    }


@pytest.mark.parametrize(
    ("strategy", "parameters", "message"),
    [
        ("idd", {}, "split strategy out of by_key, dirichlet, iid, got 'idd'"),
        ("iid", {}, "split parameter 'clients' for 'iid', got none"),
        ("iid", {"clients": 0}, "whole number of at least 1 as split parameter 'clients', got 0"),
        ("iid", {"clients": True}, "'clients', got True"),
        ("iid", {"clients": 2.0}, "'clients', got 2.0"),
        ("iid", {"clients": 2, "alpha": 1.0}, "for 'iid', got 'alpha'; drop it"),
        ("dirichlet", {"clients": 2, "alpha": 1.0}, "'label' for 'dirichlet', got none"),
        ("dirichlet", {"clients": 2, "alpha": 0, "label": "y"}, "finite number above 0 as split parameter 'alpha', got 0"),
        ("dirichlet", {"clients": 2, "alpha": -1.0, "label": "y"}, "'alpha', got -1.0"),
        ("dirichlet", {"clients": 2, "alpha": float("nan"), "label": "y"}, "'alpha', got nan"),
        ("dirichlet", {"clients": 2, "alpha": float("inf"), "label": "y"}, "'alpha', got inf"),
        ("dirichlet", {"clients": 2, "alpha": "1", "label": "y"}, "'alpha', got '1'"),
        ("dirichlet", {"clients": 2, "alpha": 1.0, "label": "y", "min_examples": -1}, "'min_examples', got -1"),
        ("by_key", {}, "'key' for 'by_key', got none"),
        ("by_key", {"key": ""}, "the name of a feature as split parameter 'key', got ''"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(strategy: str, parameters: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        check_parameters(strategy, parameters)
    assert "\n" not in str(raised.value)
