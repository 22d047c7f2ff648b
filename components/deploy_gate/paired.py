"""PairedEvaluator's scores: finite, better than a constant, and not inferior to the centralised baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components import scores
from components.deploy_gate import reading, wording
from components.deploy_gate.case import Case, Unknown
from components.deploy_gate.observed import SINGLE, Observed
from components.deploy_gate.requirements import PAIRED, Requirement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SUMMARY_FILE, _SCORES_FILE = "summary.json", "scores.parquet"
_CANDIDATE, _BASELINE = "candidate", "baseline"


def finite(requirement: Requirement, case: Case) -> Observed:
    """Whether every prediction is a finite number."""
    summary = _summary(case)
    broken = reading.amount(reading.part(summary, "non_finite"), _CANDIDATE)
    examples = reading.amount(summary, "examples")
    if not examples:
        raise Unknown("not known: there were no examples")
    return Observed(broken == 0, f"{broken:,} of {examples:,}" if broken else f"none of {examples:,}")


def constant(requirement: Requirement, case: Case) -> Observed:
    """Whether the model beats what always says the same; by more than rounding, for it may say the same in other bits."""
    metric, summary = requirement.limit["metric"], _summary(case)
    reached = reading.number(reading.part(summary, "means", _CANDIDATE), metric)
    best = reading.number(reading.part(summary, "constant"), metric)
    gain = reached - best if scores.HIGHER_IS_BETTER[metric] else best - reached
    passed = gain > SINGLE * max(abs(reached), abs(best))
    return Observed(passed, f"{wording.number(reached, best)}; a constant reaches {wording.number(best, reached)}")


def baseline(requirement: Requirement, case: Case) -> Observed:
    """Whether the model is not inferior to the baseline by more than the margin; see `bootstrap`."""
    from components.deploy_gate.bootstrap import lower_bound

    rule, metric = requirement.limit, requirement.limit["metric"]
    summary = _summary(case)
    if reading.amount(reading.part(summary, "non_finite"), _CANDIDATE):
        raise Unknown("not known: some predictions are not finite numbers")
    ours, theirs = _column(_CANDIDATE, metric, case, summary), _column(_BASELINE, metric, case, summary)
    gains = ours - theirs if scores.HIGHER_IS_BETTER[metric] else theirs - ours
    relative_to = theirs if rule["relative"] else None
    low = lower_bound(gains, rule["confidence"], rule["resamples"], case.settings["seed"], relative_to=relative_to)
    slack = 2.0**-50 * max(float(abs(ours).max()), float(abs(theirs).max()))
    unit = " of the baseline's" if rule["relative"] else ""
    text = (
        f"{wording.number(float(ours.mean()))} against {wording.number(float(theirs.mean()))} on"
        f" {wording.count(len(gains), 'example')}; {_worse(low, rule['margin'])}{unit}"
    )
    return Observed(low >= -rule["margin"] - slack, text)


def _worse(low: float, margin: float) -> str:
    if low == -float("inf"):
        return "worse by an unknown share, for the baseline's may be 0"
    if low == 0:
        return "no worse"
    if low > 0:
        return f"better by at least {wording.number(low)}"
    return f"worse by at most {wording.number(-low, margin)}"


def _summary(case: Case) -> Mapping[str, Any]:
    found: Mapping[str, Any] = case.once(_SUMMARY_FILE, lambda: reading.evaluated(case.folder(PAIRED) / _SUMMARY_FILE))
    return found


def _column(model: str, metric: str, case: Case, summary: Mapping[str, Any]) -> NDArray[np.float64]:
    import numpy as np
    from pyarrow import parquet

    name = f"{model}:{metric}"
    try:
        table = parquet.read_table(case.folder(PAIRED) / _SCORES_FILE)
    except (OSError, ValueError) as error:
        raise Unknown(f"not known: {_SCORES_FILE} cannot be read ({type(error).__name__})") from error
    if name not in table.column_names:
        raise Unknown(f"not known: no {name} was recorded")
    values = np.asarray(table[name].to_numpy(), dtype=np.float64)
    if len(values) != reading.amount(summary, "examples") or not len(values):
        raise Unknown(
            f"not known: {wording.count(len(values), 'example')} in {_SCORES_FILE}, another number in {_SUMMARY_FILE}"
        )
    if not np.isfinite(values).all():
        raise Unknown(f"{metric} of the {model} is not a finite number on some examples")
    return values
