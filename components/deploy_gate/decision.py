"""The decision: what the checks say, and what a person said. As it is written to decision.json and read again by Pusher."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.deploy_gate import wording
from components.deploy_gate.approvals import FORCE, HOLD, Approval
from components.deploy_gate.observers import FAILED, PASSED, Check

FORMAT = 1
DECISION_FILE = "decision.json"


@dataclass(frozen=True)
class Decision:
    """What was decided, of which model, beside which served one.

    Attributes:
      decided_at: UTC.
      model: id, name under which it is served, node and digest.
      served: version, digest and same_as_model of what is served; None if nothing is.
      checks: in the order of the requirements.
      override: the approval that made the decision differ from the checks, or held it; None if none did.
      approvals: what became of each approval of the file.
    """

    decided_at: datetime
    model: Mapping[str, Any]
    served: Mapping[str, Any] | None
    checks: tuple[Check, ...]
    override: Mapping[str, Any] | None
    approvals: tuple[Mapping[str, Any], ...]

    @property
    def passed(self) -> bool:
        """What the checks alone say: none failed, and some were made."""
        return passed(self.checks)

    @property
    def blessed(self) -> bool:
        """Whether the model may go live."""
        return self.passed if self.override is None else self.override["action"] == FORCE

    def with_verdict(self, verdict: str) -> tuple[Check, ...]:
        """The checks with a verdict."""
        return tuple(check for check in self.checks if check.verdict == verdict)

    def as_json(self) -> dict[str, Any]:
        """Returns the content of decision.json."""
        return {
            "format": FORMAT,
            "blessed": self.blessed,
            "passed": self.passed,
            "decided_at": self.decided_at.isoformat(timespec="seconds"),
            "model": dict(self.model),
            "served": None if self.served is None else dict(self.served),
            "override": None if self.override is None else dict(self.override),
            "approvals": [dict(approval) for approval in self.approvals],
            "checks": [check.as_json() for check in self.checks],
        }


def passed(checks: Sequence[Check]) -> bool:
    """Tells whether none failed and at least one passed."""
    verdicts = {check.verdict for check in checks}
    return PASSED in verdicts and FAILED not in verdicts


def decide(
    checks: Sequence[Check],
    approvals: Sequence[Approval],
    *,
    model: Mapping[str, Any],
    served: Mapping[str, Any] | None,
    now: datetime,
) -> Decision:
    """Returns the decision. A hold counts more than anything else; a force only if it covers every failed check.

    Args:
      checks: one for every requirement.
      approvals: of the file of approvals.
      model: of the model under test; see Decision.
      served: what is served now; see Decision.
      now: the time, with time zone, by which approvals expire.
    """
    notes = [(approval, _note(approval, model["digest"], checks, now)) for approval in approvals]
    able = sorted((approval for approval, note in notes if not note), key=lambda approval: approval.action != HOLD)
    applied = able[0] if able else None
    return Decision(
        decided_at=now,
        model=model,
        served=served,
        checks=tuple(checks),
        override=_override(applied, checks) if applied else None,
        approvals=tuple(_told(approval, approval is applied, note) for approval, note in notes),
    )


def _note(approval: Approval, digest: str, checks: Sequence[Check], now: datetime) -> str:
    """Why an approval is not applied; empty if it can be."""
    if not approval.is_about(digest):  # told all the same: somebody may have meant this model
        return f"names another model than {digest[:12]}" if digest else "names a model, and this one cannot be read"
    if approval.expired(now):
        return f"expired at {approval.expires.isoformat()}"
    if approval.action == HOLD:
        return ""
    failed = [check for check in checks if check.verdict == FAILED]
    if not failed:
        return "not needed: no check failed" if passed(checks) else "nothing was checked"
    if never := [check.id for check in failed if not check.forceable]:
        return f"no approval can override {', '.join(never)}"
    if approval.checks is not None and (others := [check.id for check in failed if check.id not in approval.checks]):
        return f"it does not name {', '.join(others)}, which failed as well"
    return ""


def _override(approval: Approval, checks: Sequence[Check]) -> dict[str, Any]:
    failed = [check.id for check in checks if check.verdict == FAILED]
    return {
        "action": approval.action,
        "by": approval.by,
        "reason": approval.reason,
        "expires": approval.expires.isoformat(),
        "file_sha256": approval.file_sha256,
        "checks": failed if approval.action == FORCE else [],
    }


def _told(approval: Approval, applied: bool, note: str) -> dict[str, Any]:
    said = {"action": approval.action, "by": approval.by, "reason": approval.reason, "expires": approval.expires.isoformat()}
    return {**said, "applied": applied, "note": note or ("" if applied else "another approval counts more")}


def read(folder: str) -> tuple[bytes, Mapping[str, Any]]:
    """Returns the bytes of a decision.json, and what it says.

    Raises:
      ValueError: there is none, or it is not a decision; says which in plain words.
    """
    path = os.path.join(folder, DECISION_FILE)
    try:
        with open(path, "rb") as file:
            content = file.read()
        decision = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({wording.one_line(type(error).__name__)})") from error
    if not isinstance(decision, dict) or decision.get("format") != FORMAT:
        raise ValueError(f"{path} is not a decision of format {FORMAT}")
    return content, decision
