"""`python -m lineage verify`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from errors import ConfigError
from lineage.command_line import Parser
from lineage.places import Places, add_options, places_of
from lineage.questions import naming
from lineage.questions.tables import labelled, printable, width
from lineage.verify.checking import all_versions, live_models
from lineage.verify.checking import verify as check
from lineage.verify.hashing import Progress
from lineage.verify.report import FILES, RECORD, VERIFIED, Finding, Report

_EXAMPLES = """\
examples:
  python -m lineage verify                         every model that is live, back to its source data
  python -m lineage verify digits/1795203832       one version
  python -m lineage verify id:11 --json            a Model that was never pushed, for machines
  python -m lineage verify --all                   all artifacts, executions, runs and served versions
  python -m lineage verify --public-key public.pem hold the signed statements against a key from elsewhere

states:
  verified   it is what was written down of it
  altered    it is something else
  missing    it is gone, and nobody wrote down that it was removed
  deleted    gc removed it, which the log tells; fails only if a model needs it that was named, or that is live
  unproven   there is nothing to hold it against: no digest on record, no line in the log, the source is gone

exit codes: 0 all is verified; 10 something is not; 1 it cannot go on; 2 bad usage"""


def verify(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
      FedtfxError: the models or ML Metadata cannot be read.
    """
    given = _parser().parse_args(arguments)
    places, progress = places_of(given), Progress()
    with places.opened() as store:
        named = _models(store, places, given)
        report = check(store, places, named, everything=given.all, public_key=given.public_key, did=progress)
    progress.done()
    if given.json:
        print(json.dumps(report.as_json(allow_unproven=given.allow_unproven), indent=2))
    else:
        print(as_text(report, allow_unproven=given.allow_unproven))
    return report.exit_code(allow_unproven=given.allow_unproven)


def _models(store: Any, places: Places, given: argparse.Namespace) -> list[naming.Named]:
    if given.model and given.all:
        raise ConfigError("expected a MODEL or --all, got both; see `python -m lineage verify --help`.")
    if given.model:
        return [naming.resolve(given.model, store, places)]
    found = all_versions(store, places) if given.all else live_models(store, places)
    if not found and not given.all:
        raise ConfigError(
            f"{places.serving_root}: expected a live model, got none; name a MODEL, give --serving-root, or give --all."
        )
    return found


def as_text(report: Report, *, allow_unproven: bool = False) -> str:
    """Returns the report for people: what is not verified in full, and what is, counted."""
    failing = report.failing(allow_unproven=allow_unproven)
    others = [one for one in report.findings if one.state != VERIFIED and one not in failing]
    lines = [f"verified from {', '.join(report.models) or 'ML Metadata'} back to the source data", ""]
    lines += _table(report)
    for finding in (*failing, *others):
        lines += ["", *_finding(finding)]
    lines += ["", *(f"note: {note}" for note in report.notes)] if report.notes else []
    verdict = f"NOT VERIFIED: {_counted(failing)}" if failing else "VERIFIED"
    return "\n".join(printable(line) for line in (*lines, "", verdict))


def _table(report: Report) -> list[str]:
    states = list(report.counts)
    kinds = list(dict.fromkeys(finding.kind for finding in report.findings))
    width = max((len(kind) for kind in kinds), default=0)
    rows = ["  " + " " * width + "".join(f"{state:>10}" for state in states)]
    for kind in kinds:
        counts = [sum(one.kind == kind and one.state == state for one in report.findings) for state in states]
        rows.append(f"  {kind:<{width}}" + "".join(f"{count or '-':>10}" for count in counts))
    return rows


def _finding(finding: Finding) -> list[str]:
    facts = {"expected": finding.expected, "got": finding.got, "where": finding.path, "remedy": finding.remedy}
    about = f"{finding.kind} of {finding.subject}" if finding.kind in (FILES, RECORD) else finding.subject
    return [f"{finding.state.upper()}: {about}", *labelled(facts.items(), width(), indent=2)]


def _counted(findings: Sequence[Finding]) -> str:
    states = [finding.state for finding in findings]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m lineage verify",
        description="Recomputes every digest on the way from a model back to the source data, and names what changed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help=f"{naming.HELP}; every live model if it is left out")
    parser.add_argument("--all", action="store_true", help="all that ML Metadata and the log of runs know, and every version")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--allow-unproven", action="store_true", help="what cannot be proved does not fail")
    parser.add_argument("--public-key", metavar="P", help="PEM of the key that must have signed (this machine's own)")
    add_options(parser)
    return parser
