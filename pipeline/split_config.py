"""How the training examples are divided among clients: the `split` section of the config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from components.federated_split.parameters import ALLOWED, COMMON, EITHER, strategy_parameters
from components.federated_split.partitioners import PARTITIONERS
from errors import ConfigError
from pipeline.strict_yaml import Check, Section, one_of, wrong

SPLIT_PARAMETERS: dict[str, dict[str, Any]] = {
    strategy: {**strategy_parameters(strategy), **COMMON} for strategy in PARTITIONERS
}
"""Per strategy, the parameters of `split` that it uses and their defaults."""


def _split_parameter(name: str) -> Check:
    expected, read_value = ALLOWED[name]

    def check(key: str, value: Any) -> Any:
        try:
            return None if value is None else read_value(value)
        except (ValueError, OverflowError):
            raise wrong(key, expected, value) from None

    return check


@dataclass(frozen=True)
class SplitConfig(Section):
    """How the training examples are divided among clients. What a strategy does not use is None."""

    SECTION: ClassVar[str] = "split"
    strategy: Annotated[str, one_of(*SPLIT_PARAMETERS)]
    clients: Annotated[int | None, _split_parameter("clients")] = None
    sizes: Annotated[list[int] | list[float] | None, _split_parameter("sizes")] = None
    """Examples of each client: whole numbers that add up to all, or fractions that add up to 1."""
    min_examples: Annotated[int | None, _split_parameter("min_examples")] = None
    sigma: Annotated[float | None, _split_parameter("sigma")] = None
    """Standard deviation of the logarithm of what is drawn: the larger, the more unequal."""
    alpha: Annotated[float | list[float] | dict[str, float] | None, _split_parameter("alpha")] = None
    """Concentration of the Dirichlet distribution, one or one per label: the smaller, the more the clients' labels differ."""
    self_balancing: Annotated[bool | None, _split_parameter("self_balancing")] = None
    shards_per_client: Annotated[int | None, _split_parameter("shards_per_client")] = None
    classes_per_client: Annotated[int | None, _split_parameter("classes_per_client")] = None
    assignment: Annotated[str | None, _split_parameter("assignment")] = None
    """How classes are assigned to clients."""
    matrix: Annotated[list[list[float]] | dict[str, list[float]] | None, _split_parameter("matrix")] = None
    """Labels x clients: in which proportions each label's examples are shared out."""
    min_per_label: Annotated[int | None, _split_parameter("min_per_label")] = None
    feature: Annotated[str | None, _split_parameter("feature")] = None
    """The numeric feature to sort by."""
    strictness: Annotated[float | None, _split_parameter("strictness")] = None
    key: Annotated[str | None, _split_parameter("key")] = None
    """The feature whose value names the client."""
    group_size: Annotated[int | None, _split_parameter("group_size")] = None
    remainder: Annotated[str | None, _split_parameter("remainder")] = None
    """What becomes of the keys that do not fill a group."""
    sort_keys: Annotated[bool | None, _split_parameter("sort_keys")] = None
    label: Annotated[str | None, _split_parameter("label")] = None
    """The feature to stratify by and to count; None: the module's LABEL_KEY."""
    holdout: Annotated[float | None, _split_parameter("holdout")] = None
    """Fraction of every client's examples that is kept for evaluation."""
    holdout_clients: Annotated[int | float | None, _split_parameter("holdout_clients")] = None
    """How many clients (below 1: which fraction of them) are never trained on."""

    def validate(self) -> None:
        self._keep_used("strategy", SPLIT_PARAMETERS)
        either = EITHER.get(self.strategy, ())
        if either and sum(getattr(self, name) is not None for name in either) != 1:
            raise ConfigError(f"split: strategy {self.strategy!r} needs exactly one of {' and '.join(either)}")

    def parameters(self) -> dict[str, Any]:
        """Returns what the chosen strategy uses, by name."""
        return {name: getattr(self, name) for name in SPLIT_PARAMETERS[self.strategy]}

    def known_clients(self) -> tuple[str, int] | None:
        """Returns which key says how many clients there are, and how many; None where the data decides."""
        if self.clients is not None:
            return "split.clients", self.clients
        if self.sizes is not None:
            return "the clients in split.sizes", len(self.sizes)
        if self.matrix is not None:
            rows = list(self.matrix.values() if isinstance(self.matrix, Mapping) else self.matrix)
            return "the clients in split.matrix", len(rows[0])
        return None
