"""Who gets how many examples of which stratum. CHANGE THE SPLIT HERE.

A partitioner is a pure function of the strata (the distinct values of a feature, in their order), how many examples each holds,
a random generator, and its own parameters as keyword-only arguments. To add one: write the function, add a line to PARTITIONERS
(and the range of any new parameter in parameters.py), and test it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from components.federated_split.partitioners.allocation import DROPPED, Allocation
from components.federated_split.partitioners.by_dirichlet import dirichlet, inner_dirichlet
from components.federated_split.partitioners.by_key import by_key, grouped_by_key
from components.federated_split.partitioners.by_label import distribution, pathological, power_law, shards
from components.federated_split.partitioners.by_size import exponential, iid, linear, lognormal, sizes, square
from components.federated_split.partitioners.by_value import continuous

__all__ = ["DROPPED", "PARTITIONERS", "Allocation", "Partitioner"]


class Partitioner(NamedTuple):
    """A partitioning function and the name of the parameter whose feature makes its strata ("" = one single stratum).

    If it is numeric, the strata are ranges of a score of it instead of its values (see `ranking`).
    """

    divide: Callable[..., Allocation]
    strata: str
    numeric: bool = False


PARTITIONERS: dict[str, Partitioner] = {
    "iid": Partitioner(iid, strata=""),
    "sizes": Partitioner(sizes, strata=""),
    "linear": Partitioner(linear, strata=""),
    "square": Partitioner(square, strata=""),
    "exponential": Partitioner(exponential, strata=""),
    "lognormal": Partitioner(lognormal, strata=""),
    "dirichlet": Partitioner(dirichlet, strata="label"),
    "inner_dirichlet": Partitioner(inner_dirichlet, strata="label"),
    "shards": Partitioner(shards, strata="label"),
    "pathological": Partitioner(pathological, strata="label"),
    "distribution": Partitioner(distribution, strata="label"),
    "power_law": Partitioner(power_law, strata="label"),
    "continuous": Partitioner(continuous, strata="feature", numeric=True),
    "by_key": Partitioner(by_key, strata="key"),
    "grouped_by_key": Partitioner(grouped_by_key, strata="key"),
}
