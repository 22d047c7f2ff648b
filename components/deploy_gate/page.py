"""A decision as a page for people, and as GitHub-style Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from components.deploy_gate import wording
from components.deploy_gate.decision import Decision
from components.deploy_gate.observers import FAILED, PASSED, SKIPPED, Check

_TEMPLATE = "decision.html"
_WORST_FIRST = (FAILED, SKIPPED, PASSED)
_MARKS = {FAILED: "❌", PASSED: "✅", SKIPPED: "⚪"}
_WARNING = "⚠️"


def as_html(decision: Decision, picture: str | None = None) -> str:
    """Returns one HTML page that loads nothing.

    Args:
      decision: what to show.
      picture: SVG of the clients that may stand in the page as it is, see `picture.safe`.
    """
    import jinja2
    from markupsafe import Markup

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template(_TEMPLATE).render(
        decision=decision,
        headline=headline(decision),
        counts=counts(decision),
        checks=_judged(decision),
        safeguards=_safeguards(decision),
        decided_at=when(decision.decided_at.isoformat()),
        when=when,
        picture=Markup(picture) if picture else None,
    )


def as_markdown(decision: Decision) -> str:
    """Returns a headline, what is served, overrides and a table of checks, the failed ones first."""
    lines = [
        f"### {_mark(decision)} {wording.markdown(headline(decision))}",
        "",
        _facts(decision),
        "",
    ]
    lines += [f"> {wording.markdown(line)}  " for line in approval_lines(decision)]
    lines += ["", "| | Check | Observed | Required | By |", "|---|---|---|---|---|"]
    lines += map(_row, _judged(decision))
    if safeguards := _safeguards(decision):
        lines += ["", f"<details><summary>{wording.count(len(safeguards), 'safeguard')} held</summary>", ""]
        lines += ["| | Check | Observed | Required | By |", "|---|---|---|---|---|", *map(_row, safeguards), "", "</details>"]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def headline(decision: Decision) -> str:
    """Returns the verdict in a sentence, by the name under which the model is served."""
    said = f"{decision.model['name']}: model {decision.model['id']} {verdict(decision)}"
    failed = len(decision.with_verdict(FAILED))
    if decision.override is None:
        return said if decision.blessed else f"{said}, {wording.count(failed, 'check')} failed"
    if decision.blessed:
        return f"{said} over {wording.count(failed, 'failed check')}"
    return said if decision.passed else f"{said}, {wording.count(failed, 'check')} failed as well"


def verdict(decision: Decision) -> str:
    """Returns what becomes of the model."""
    if decision.override is None:
        return "may go live" if decision.blessed else "is refused"
    return "is forced live" if decision.blessed else "is held back"


def counts(decision: Decision) -> str:
    """Returns how many checks came out which way."""
    return ", ".join(f"{len(decision.with_verdict(verdict))} {verdict}" for verdict in (PASSED, FAILED, SKIPPED))


def approval_lines(decision: Decision) -> Iterator[str]:
    """Yields a line for each approval: who, why, until when, and what became of it."""
    for approval in decision.approvals:
        what = (
            {"force": "Forced", "hold": "Held"}[approval["action"]]
            if approval["applied"]
            else f"Not applied: {approval['action']}"
        )
        note = f" ({approval['note']})" if approval["note"] else ""
        yield f"{what} by {approval['by']} until {when(approval['expires'])}: {approval['reason']}{note}"


def when(moment: str) -> str:
    """Returns an ISO 8601 time as people read it, in UTC."""
    return datetime.fromisoformat(moment).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def served_text(decision: Decision) -> str:
    """Returns what is served while this was decided."""
    if decision.served is None:
        return "nothing"
    return f"version {decision.served['version']}{', this very model' if decision.served['same_as_model'] else ''}"


def _mark(decision: Decision) -> str:
    """A decision that a person made is neither of the two that the checks make."""
    return _WARNING if decision.override else _MARKS[PASSED if decision.blessed else FAILED]


def _facts(decision: Decision) -> str:
    digest = (decision.model["digest"] or "unreadable")[:12]
    made_by, served = wording.markdown(decision.model["node"]), wording.markdown(served_text(decision))
    decided = wording.markdown(when(decision.decided_at.isoformat()))
    return f"{wording.markdown(counts(decision))} · model `{digest}` of {made_by} · served: {served} · decided {decided}"


def _judged(decision: Decision) -> list[Check]:
    """What the decision turned on, worst first: a safeguard that failed is often why others did."""
    told = [check for check in decision.checks if check not in _safeguards(decision)]
    return sorted(told, key=lambda check: (_WORST_FIRST.index(check.verdict), check.forceable))


def _safeguards(decision: Decision) -> list[Check]:
    """What must hold of any model, and did: it is not what anybody reads first."""
    return [check for check in decision.checks if check.verdict == PASSED and not check.forceable]


def _row(check: Check) -> str:
    cells = (_MARKS[check.verdict], check.what, check.observed, check.required, check.judge)
    return f"| {' | '.join(map(wording.markdown, cells))} |"
