"""Whether a model answered finite numbers, as the summary of a judge that asks models says; and why not, if that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.answers import CANDIDATE
from components.deploy_gate import reading, wording
from components.deploy_gate.case import Unknown
from components.deploy_gate.observed import Observed

_MOST_TEXT = 200


def finite(summary: Mapping[str, Any]) -> Observed:
    """Whether every prediction of the model under test is a finite number."""
    broken, why = _broken(summary, CANDIDATE)
    examples = reading.amount(summary, "examples")
    if not examples:
        raise Unknown("not known: there were no examples")
    return Observed(not broken and not why, f"{f'{broken:,}' if broken else 'none'} of {examples:,}{why}")


def require_finite(summary: Mapping[str, Any], model: str) -> None:
    """Returns if all of a model's predictions are finite numbers.

    Raises:
      Unknown: some are not, so that no metric of them is one.
    """
    broken, why = _broken(summary, model)
    if broken or why:
        raise Unknown(f"not known: {broken:,} predictions of the {model} model are not finite numbers{why}")


def _broken(summary: Mapping[str, Any], model: str) -> tuple[int, str]:
    """How many are not finite, and why the model could not answer; the latter with a colon before it, or empty."""
    broken = reading.amount(reading.part(summary, "non_finite"), model)
    problem = reading.part(summary, "problems").get(model)
    return broken, f": {wording.one_line(problem, _MOST_TEXT)}" if problem else ""
