"""Who looks at which requirement, and what becomes of one that nobody can look at: it has failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.deploy_gate import clients, evaluation, integrity, paired, serving, training, wording
from components.deploy_gate.case import Case, NotApplicable, Unknown
from components.deploy_gate.observed import Observed
from components.deploy_gate.requirements import Requirement

logger = logging.getLogger(__name__)
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """A requirement, what was seen of it, and the verdict: passed, failed or skipped. All text is on one line."""

    id: str
    judge: str
    what: str
    observed: str
    required: str
    verdict: str
    forceable: bool

    def as_json(self) -> dict[str, Any]:
        """Returns what decision.json says of it."""
        return asdict(self)


OBSERVERS: dict[str, Callable[[Requirement, Case], Observed]] = {
    "run": integrity.run,
    "model": integrity.model,
    "approvals": integrity.approvals,
    "evidence": integrity.evidence,
    "first-deploy": integrity.first_deploy,
    "infra": integrity.infra,
    "serving": serving.observe,
    "predictions": paired.finite,
    "constant": paired.constant,
    "baseline": paired.baseline,
    "evaluation": evaluation.overall,
    "evaluation/made": evaluation.made,
    "slice": evaluation.sliced,
    "clients": clients.observe,
    "privacy": training.privacy,
    "participation": training.participation,
}
"""First part of a requirement's id, or all of it -> who looks at it."""


def judge(requirements: Sequence[Requirement], case: Case) -> list[Check]:
    """Returns a check for every requirement, in their order. Never raises for what is wrong with a finding."""
    return [_checked(requirement, case) for requirement in requirements]


def _checked(requirement: Requirement, case: Case) -> Check:
    verdict, text = _verdict(requirement, case)
    return Check(
        id=requirement.id,
        judge=requirement.judge,
        what=requirement.what,
        observed=wording.one_line(text),
        required=requirement.required,
        verdict=verdict,
        forceable=requirement.forceable,
    )


def _verdict(requirement: Requirement, case: Case) -> tuple[str, str]:
    area = requirement.id.partition("/")[0]
    try:
        observed = OBSERVERS[requirement.id if requirement.id in OBSERVERS else area](requirement, case)
    except NotApplicable as reason:
        return SKIPPED, str(reason)
    except Unknown as reason:
        return FAILED, str(reason)
    except Exception as error:  # a finding of a form that no observer foresaw must not pass, and must not hide the others
        logger.exception("Requirement %s cannot be judged", requirement.id)
        return FAILED, f"not known: it cannot be judged ({type(error).__name__}; see the log)"
    return (PASSED if observed.passed is True else FAILED), observed.text
