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
_MARKDOWN = "\\`*_[]<>|~&"


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
    lines = [f"### {_MARKS[PASSED if decision.blessed else FAILED]} {escaped(headline(decision))}", "", _facts(decision), ""]
    lines += [f"> {escaped(line)}  " for line in approval_lines(decision)]
    lines += ["", "| | Check | Observed | Required | By |", "|---|---|---|---|---|"]
    lines += map(_row, _judged(decision))
    if safeguards := _safeguards(decision):
        lines += ["", f"<details><summary>{wording.count(len(safeguards), 'safeguard')} held</summary>", ""]
        lines += ["| | Check | Observed | Required | By |", "|---|---|---|---|---|", *map(_row, safeguards), "", "</details>"]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def headline(decision: Decision) -> str:
    """Returns the verdict in a sentence."""
    model = f"Model {decision.model['id']}"
    failed = decision.with_verdict(FAILED)
    if decision.override is None:
        return (
            f"{model} may go live" if decision.blessed else f"{model} is refused: {wording.count(len(failed), 'check')} failed"
        )
    if decision.blessed:
        return f"{model} is forced live over {wording.count(len(failed), 'failed check')}"
    return f"{model} is held back" + ("" if decision.passed else f"; {wording.count(len(failed), 'check')} failed as well")


def counts(decision: Decision) -> str:
    """Returns how many checks came out which way."""
    return ", ".join(f"{len(decision.with_verdict(verdict))} {verdict}" for verdict in (PASSED, FAILED, SKIPPED))


def approval_lines(decision: Decision) -> Iterator[str]:
    """Yields a line for each approval that is about the model: who, why, until when, and what became of it."""
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


def _facts(decision: Decision) -> str:
    digest = (decision.model["digest"] or "unreadable")[:12]
    made_by, served = escaped(decision.model["node"]), escaped(served_text(decision))
    decided = escaped(when(decision.decided_at.isoformat()))
    return f"{escaped(counts(decision))} · model `{digest}` of {made_by} · served: {served} · decided {decided}"


def _judged(decision: Decision) -> list[Check]:
    """What the decision turned on, worst first: a safeguard that failed is often why others did."""
    told = [check for check in decision.checks if check not in _safeguards(decision)]
    return sorted(told, key=lambda check: (_WORST_FIRST.index(check.verdict), check.forceable))


def _safeguards(decision: Decision) -> list[Check]:
    """What must hold of any model, and did: it is not what anybody reads first."""
    return [check for check in decision.checks if check.verdict == PASSED and not check.forceable]


def _row(check: Check) -> str:
    cells = (_MARKS[check.verdict], check.what, check.observed, check.required, check.judge)
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Returns text that Markdown leaves as it is: no table, HTML or formatting can be made with it."""
    return " ".join("".join(f"\\{char}" if char in _MARKDOWN else char for char in text).split())
