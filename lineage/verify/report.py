"""What verification found: a finding per thing that was looked at, whatever came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

VERIFIED, ALTERED, MISSING, UNPROVEN, DELETED = "verified", "altered", "missing", "unproven", "deleted"
STATES = (ALTERED, MISSING, DELETED, UNPROVEN, VERIFIED)
"""The worst first."""
FILES, RECORD, EXECUTION, RUN = "files", "record", "execution", "run"
DECISION, SERVED, STATEMENT, SOURCE, LOG, FORGOTTEN = (
    "decision",
    "served",
    "statement",
    "source",
    "log",
    "forgotten",
)
FAILED = 10


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
      kind: what of it: `files` of an artifact, its `record` in ML Metadata, an `execution` or `run` there, a `decision` and
        what it is bound to, a `served` version, its `statement`, `source` data, a `log`, or the list of `forgotten` clients.
      subject: which, in words.
      state: `verified`; `altered`; `missing`; `unproven`, if there is nothing to hold it against; `deleted`, by gc, which wrote
        that down.
      expected: digest or value, or in words.
      got: what was there.
      remedy: what to do about it; empty if it is verified.
      path: where it lies; empty of what is in ML Metadata.
      needed: whether a model that is vouched for was made of it; then it should not be deleted.
    """

    kind: str
    subject: str
    state: str
    expected: str = ""
    got: str = ""
    remedy: str = ""
    path: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Report:
    """What came of a verification.

    Attributes:
      models: what was verified, as people name it.
      findings: all of them.
      notes: what is worth knowing and proves or disproves nothing, such as that the code is another version now.
    """

    models: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    def failing(self, *, allow_unproven: bool = False) -> list[Finding]:
        """Returns what keeps this from being verified, the worst first; deleted counts where it is needed."""
        found = [finding for finding in self.findings if _fails(finding, allow_unproven)]
        return sorted(found, key=lambda finding: STATES.index(finding.state))

    def exit_code(self, *, allow_unproven: bool = False) -> int:
        """Returns 0 if all is verified, 10 otherwise."""
        return FAILED if self.failing(allow_unproven=allow_unproven) else 0

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each state."""
        counted = Counter(finding.state for finding in self.findings)
        return {state: counted[state] for state in STATES if counted[state]}

    def of(self, *states: str) -> list[Finding]:
        """Returns the findings of these states."""
        return [finding for finding in self.findings if finding.state in states]

    def as_json(self, *, allow_unproven: bool = False) -> dict[str, Any]:
        """Returns the documented layout."""
        return {
            "verified": not self.failing(allow_unproven=allow_unproven),
            "models": list(self.models),
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
        }


def joined(parts: Sequence[str]) -> str:
    """Returns parts of a sentence with commas; what is empty is left out."""
    return ", ".join(filter(None, parts))


def _fails(finding: Finding, allow_unproven: bool) -> bool:
    if finding.state == DELETED:
        return finding.needed
    return finding.state in (ALTERED, MISSING) or (finding.state == UNPROVEN and not allow_unproven)
