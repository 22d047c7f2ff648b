"""PairedEvaluator's scores: finite, better than a constant, and not inferior to the centralised baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components import scores
from components.answers import BASELINE, CANDIDATE
from components.deploy_gate import predictions, reading, wording
from components.deploy_gate.case import Case, Unknown
from components.deploy_gate.observed import SINGLE, Observed, settled
from components.deploy_gate.requirements import PAIRED, Requirement
from components.judged import SUMMARY_FILE
from components.paired_evaluator.merging import SCORES_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_ROUNDING = 2.0**-50
"""Relative rounding error of a mean of differences: some spacings of float64."""


def finite(requirement: Requirement, case: Case) -> Observed:
    """Whether every prediction is a finite number."""
    return predictions.finite(_summary(case))


def constant(requirement: Requirement, case: Case) -> Observed:
    """Whether the model beats what always says the same, surely: by more than these examples and rounding do.

    The constant is the best for these very examples, and a given number: only the model's mean is uncertain.
    """
    from components.deploy_gate.bootstrap import lower_bound

    rule, metric, summary = requirement.limit, requirement.limit["metric"], _summary(case)
    best = reading.number(reading.part(summary, "constant"), metric)
    ours = _column(CANDIDATE, metric, case, summary)
    sign, end = (1, "least") if scores.HIGHER_IS_BETTER[metric] else (-1, "most")
    low = lower_bound(sign * (ours - best), rule["confidence"], rule["resamples"], case.settings["seed"])
    reached, bound = float(ours.mean()), best + sign * low
    surely = f"with {100 * rule['confidence']:g} % confidence at {end} {wording.number(bound, best)}"
    text = f"{wording.number(reached, best)}, {surely}; a constant reaches {wording.number(best)}"
    return Observed(low > SINGLE * max(abs(reached), abs(best)), text)


def baseline(requirement: Requirement, case: Case) -> Observed:
    """Whether the model is not inferior to the baseline by more than the margin; see `bootstrap`."""
    from components.deploy_gate.bootstrap import lower_bound

    rule, metric = requirement.limit, requirement.limit["metric"]
    summary = _summary(case)
    ours, theirs = (_column(model, metric, case, summary) for model in (CANDIDATE, BASELINE))
    gains = ours - theirs if scores.HIGHER_IS_BETTER[metric] else theirs - ours
    relative_to = theirs if rule["relative"] else None
    low = lower_bound(gains, rule["confidence"], rule["resamples"], case.settings["seed"], relative_to=relative_to)
    most, unit = rule["margin"], " of the baseline's value" if rule["relative"] else ""
    low = -settled(-low, {"max": most}, _rounding_error(ours, theirs, rule["relative"]))
    text = (
        f"{wording.number(float(ours.mean()))} against {wording.number(float(theirs.mean()))} on"
        f" {wording.count(len(gains), 'example')}; {_worse(low, most, unit)} ({100 * rule['confidence']:g} % bound)"
    )
    return Observed(low >= -most, text)


def _rounding_error(ours: Values, theirs: Values, relative: bool) -> float:
    """Of the mean gain, in the unit of the margin: the metric's own, or a share of the baseline's mean."""
    size, base = float(abs(ours).mean() + abs(theirs).mean()), float(abs(theirs.mean()))
    if not relative:
        return _ROUNDING * size
    return _ROUNDING * size / base if base else 0.0


def _worse(low: float, margin: float, unit: str) -> str:
    if low == -math.inf:
        return "worse by a share that is not known, for the baseline's may be 0"
    if low == 0:
        return "no worse"
    if low > 0:
        return f"better by at least {wording.number(low)}{unit}"
    return f"worse by up to {wording.number(-low, margin)}{unit}"


def _summary(case: Case) -> Mapping[str, Any]:
    found: Mapping[str, Any] = case.once((PAIRED, SUMMARY_FILE), lambda: reading.evaluated(case.folder(PAIRED) / SUMMARY_FILE))
    return found


def _column(model: str, metric: str, case: Case, summary: Mapping[str, Any]) -> Values:
    import numpy as np
    from pyarrow import parquet

    name = f"{model}:{metric}"
    try:
        table = parquet.read_table(case.folder(PAIRED) / SCORES_FILE)
    except (OSError, ValueError) as error:
        raise Unknown(f"not known: {SCORES_FILE} cannot be read ({type(error).__name__})") from error
    if name not in table.column_names:
        raise Unknown(f"not known: no {name} was recorded")
    predictions.require_finite(summary, model)
    values = np.asarray(table[name].to_numpy(), dtype=np.float64)
    if len(values) != reading.amount(summary, "examples") or not len(values):
        raise Unknown(f"not known: {wording.count(len(values), 'example')} in {SCORES_FILE}, another number in {SUMMARY_FILE}")
    if not np.isfinite(values).all():
        raise Unknown(f"{metric} of the {model} is not a finite number on some examples")
    return values
