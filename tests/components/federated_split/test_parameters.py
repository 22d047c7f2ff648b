import json
from typing import Any

import pytest

from components.federated_split.parameters import ALLOWED, COMMON, check_parameters, strategy_parameters
from components.federated_split.partitioners import PARTITIONERS
from errors import DataError


def test_defaults_are_filled_in_and_none_counts_as_not_given() -> None:
    checked = check_parameters("dirichlet", {"clients": 3, "alpha": 1, "label": "y", "min_examples": None})
    assert checked == {
        "clients": 3,
        "alpha": 1,
        "label": "y",
        "min_examples": 1,
        "self_balancing": False,
        "block_bytes": 4 << 20,
        "shard_bytes": 64 << 20,
    }


@pytest.mark.parametrize(
    ("strategy", "parameters", "message"),
    [
        ("idd", {}, "split strategy out of by_key, continuous, .*, square, got 'idd'"),
        (["iid"], {}, r"split strategy out of .*, got \['iid'\]"),
        ("iid", {}, "split parameter 'clients' for 'iid', got none"),
        ("iid", {"clients": 0}, "whole number of at least 1 as split parameter 'clients', got 0"),
        ("iid", {"clients": True}, "'clients', got True"),
        ("iid", {"clients": 2.0}, "'clients', got 2.0"),
        ("iid", {"clients": 2, "alpha": 1.0}, "for 'iid', got 'alpha'; drop it"),
        ("dirichlet", {"clients": 2, "alpha": 1.0}, "'label' for 'dirichlet', got none"),
        ("dirichlet", {"clients": 2, "alpha": 0, "label": "y"}, "finite number above 0, or one for each.*'alpha', got 0"),
        ("dirichlet", {"clients": 2, "alpha": [1.0, 0.0], "label": "y"}, r"'alpha', got \[1.0, 0.0\]"),
        ("dirichlet", {"clients": 2, "alpha": {"a": -1.0}, "label": "y"}, "'alpha', got {'a': -1.0}"),
        ("dirichlet", {"clients": 2, "alpha": {1: 1.0, "1": 2.0}, "label": "y"}, "'alpha', got"),
        ("dirichlet", {"clients": 2, "alpha": [], "label": "y"}, r"'alpha', got \[\]"),
        ("dirichlet", {"clients": 2, "alpha": 10**400, "label": "y"}, "'alpha', got 1000"),
        (
            "dirichlet",
            {"clients": 2, "self_balancing": 1, "label": "y"},
            "true or false as split parameter 'self_balancing', got 1",
        ),
        ("dirichlet", {"clients": 2, "alpha": -1.0, "label": "y"}, "'alpha', got -1.0"),
        ("dirichlet", {"clients": 2, "alpha": float("nan"), "label": "y"}, "'alpha', got nan"),
        ("dirichlet", {"clients": 2, "alpha": float("inf"), "label": "y"}, "'alpha', got inf"),
        ("dirichlet", {"clients": 2, "alpha": "1", "label": "y"}, "'alpha', got '1'"),
        ("dirichlet", {"clients": 2, "alpha": 1.0, "label": "y", "min_examples": -1}, "'min_examples', got -1"),
        ("inner_dirichlet", {"label": "y"}, "exactly one of the split parameters 'clients' and 'sizes'.*got both or none"),
        ("inner_dirichlet", {"label": "y", "clients": 2, "sizes": [1, 2]}, "exactly one of"),
        ("sizes", {"sizes": []}, "whole numbers above 0 that add up to all examples, or of fractions.*'sizes', got"),
        ("sizes", {"sizes": [3, 0]}, r"'sizes', got \[3, 0\]"),
        ("sizes", {"sizes": [3, 0.5]}, r"'sizes', got \[3, 0.5\]"),
        ("sizes", {"sizes": [3.0, 5.0]}, r"'sizes', got \[3.0, 5.0\]"),
        ("sizes", {"sizes": "12"}, "'sizes', got '12'"),
        ("lognormal", {"clients": 2}, "'sigma' for 'lognormal', got none"),
        ("lognormal", {"clients": 2, "sigma": -0.1}, "a number from 0 to 50 as split parameter 'sigma', got -0.1"),
        ("lognormal", {"clients": 2, "sigma": float("nan")}, "'sigma', got nan"),
        (
            "shards",
            {"clients": 2, "shards_per_client": 0, "label": "y"},
            "at least 1 as split parameter 'shards_per_client', got 0",
        ),
        ("pathological", {"clients": 2, "assignment": "rand", "label": "y"}, "random, deterministic, first-.*, got 'rand'"),
        ("pathological", {"clients": 2, "classes_per_client": 0, "label": "y"}, "'classes_per_client', got 0"),
        ("distribution", {"label": "y"}, "'matrix' for 'distribution', got none"),
        ("distribution", {"label": "y", "matrix": [[1, 2], [1]]}, r"equally long rows.*'matrix', got \[\[1, 2\], \[1\]\]"),
        ("distribution", {"label": "y", "matrix": [[1, -2]]}, "'matrix', got"),
        ("distribution", {"label": "y", "matrix": [[1, float("inf")]]}, "'matrix', got"),
        ("distribution", {"label": "y", "matrix": [[0, 0], [0, 0]]}, "not all of them 0.*'matrix', got"),
        ("distribution", {"label": "y", "matrix": {"a": [0.0], "b": [0]}}, "not all of them 0.*'matrix', got"),
        ("distribution", {"label": "y", "matrix": [1, 2]}, "'matrix', got"),
        ("distribution", {"label": "y", "matrix": [[]]}, "'matrix', got"),
        ("continuous", {"clients": 2, "feature": "x"}, "'strictness' for 'continuous', got none"),
        ("continuous", {"clients": 2, "strictness": 0.5}, "'feature' for 'continuous', got none"),
        ("continuous", {"clients": 2, "feature": "x", "strictness": 1.1}, "a number from 0 to 1 .*, got 1.1"),
        ("grouped_by_key", {"key": "u", "group_size": 0}, "'group_size', got 0"),
        ("grouped_by_key", {"key": "u", "group_size": 2, "remainder": "drop"}, "allow-smaller, allow-bigger, .*, got 'drop'"),
        ("iid", {"clients": 2, "holdout": 1}, "a fraction of at least 0 and below 1 as split parameter 'holdout', got 1"),
        ("iid", {"clients": 2, "holdout_clients": 1.5}, "a whole number of at least 0, or a fraction below 1 .*, got 1.5"),
        ("by_key", {}, "'key' for 'by_key', got none"),
        ("by_key", {"key": ""}, "the name of a feature as split parameter 'key', got ''"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(strategy: Any, parameters: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        check_parameters(strategy, parameters)
    assert "\n" not in str(raised.value)


def test_labels_of_a_mapping_become_text_so_that_json_gives_them_back() -> None:
    checked = check_parameters("dirichlet", {"clients": 3, "alpha": {0: 1, "cat": 0.5}, "label": "y"})
    assert checked["alpha"] == json.loads(json.dumps(checked["alpha"])) == {"0": 1.0, "cat": 0.5}


@pytest.mark.parametrize(("sizes", "kind"), [((3, 5), int), ([0.25, 0.75], float), ([1], int)])
def test_sizes_are_numbers_or_fractions(sizes, kind: type) -> None:
    checked = check_parameters("sizes", {"sizes": sizes})["sizes"]
    assert checked == list(sizes)
    assert {type(size) for size in checked} == {kind}


def test_every_parameter_of_every_strategy_has_its_range() -> None:
    used = set().union(*map(strategy_parameters, PARTITIONERS), COMMON)
    assert used <= ALLOWED.keys()
    assert ALLOWED.keys() - used == {"block_bytes", "shard_bytes"}
