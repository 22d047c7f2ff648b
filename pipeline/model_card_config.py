"""What people say of the model, in words: the `model_card` section of the config. No node but RunReport is told."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from pipeline.strict_yaml import Check, Section, items_of, optional, text

_ONE_OR_MORE = "text, or a list of texts that are not empty"


def _lines() -> Check:
    one, many = text(allowed=_ONE_OR_MORE), items_of(text(allowed=_ONE_OR_MORE), _ONE_OR_MORE)

    def check(key: str, value: Any) -> tuple[str, ...]:
        return many(key, value) if isinstance(value, list | tuple) else (one(key, value),)

    return check


Words = Annotated[str | None, optional(text())]
Lines = Annotated[tuple[str, ...] | None, optional(_lines())]


@dataclass(frozen=True)
class ModelCardConfig(Section):
    """All of it is optional, and stands in the model card as it is given: plain text, no markup."""

    SECTION: ClassVar[str] = "model_card"
    title: Words = None
    description: Words = None
    intended_use: Lines = None
    out_of_scope: Lines = None
    limitations: Lines = None
    ethical_considerations: Lines = None
    owners: Lines = None
    license: Words = None
    contact: Words = None

    def words(self) -> dict[str, Any]:
        """Returns what is given, by key, as plain values."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
