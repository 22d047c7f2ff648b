"""What DeployGate decided, as a run tells of it. The decision itself is the gate's, never ours."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import IntegrityError

_ORDER = {"failed": 0, "skipped": 1, "passed": 2}


@dataclass(frozen=True)
class Decision:
    """Whether the model under test was blessed, and why or why not.

    Attributes:
      blessed: the gate's word, an override included.
      reasons: a line per check that decided it: the failed ones of a refusal, the passed ones of a blessing.
      checks: every check as `decision.json` has it: id, judge, what, observed, required, verdict; failed ones first.
      override: who forced or held the model, why and until when; None without.
      approvals: what became of each approval in the file: action, by, reason, expires, applied, note.
      digest: the model's, which an approval names.
      live: the version under which this very model was live already when this was decided; None if it was not.
      folder: the GateDecision's directory, where the same is a page; None if the run came to no decision.
    """

    blessed: bool
    reasons: tuple[str, ...]
    checks: Sequence[Mapping[str, Any]] = ()
    override: Mapping[str, Any] | None = None
    approvals: Sequence[Mapping[str, Any]] = ()
    digest: str | None = None
    live: int | None = None
    folder: str | None = None

    @property
    def page(self) -> str | None:
        """The decision as a page for people."""
        return os.path.join(self.folder, "decision.html") if self.folder else None

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout."""
        return {
            "blessed": self.blessed,
            "reasons": list(self.reasons),
            "checks": [dict(check) for check in self.checks],
            "override": dict(self.override) if self.override else None,
            "approvals": [dict(approval) for approval in self.approvals],
        }


def read(uri: str) -> Decision:
    """Returns the decision in a GateDecision's directory.

    Raises:
      IntegrityError: there is none that can be read.
    """
    path = Path(uri, "decision.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checks = sorted(
            found["checks"], key=lambda check: (_ORDER[check["verdict"]], check["forceable"] and check["verdict"] == "failed")
        )
        deciding = "passed" if found["blessed"] else "failed"
        reasons = [in_words(check) for check in checks if check["verdict"] == deciding]
        return Decision(
            blessed=found["blessed"],
            reasons=(*_overridden(found["override"]), *reasons),
            checks=checks,
            override=found["override"],
            approvals=found["approvals"],
            digest=found["model"]["digest"],
            live=_live(found["served"]),
            folder=uri,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"expected the gate's decision in {path}, found none that can be read; run again with --from DeployGate."
        ) from error


def in_words(check: Mapping[str, Any]) -> str:
    """Returns a check in a line."""
    return f"{check['what']}: {check['observed']}; required: {check['required']}"


def _live(served: Mapping[str, Any] | None) -> int | None:
    return served["version"] if served and served["same_as_model"] else None


def _overridden(override: Mapping[str, Any] | None) -> tuple[str, ...]:
    if not override:
        return ()
    how = {"force": "forced live", "hold": "held back"}[override["action"]]
    return (f"{how} by {override['by']} until {override['expires']}: {override['reason']}",)
