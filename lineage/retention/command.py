"""`python -m lineage gc`: what may go, what stays and why; with --apply, it goes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from errors import ConfigError, FedtfxError
from lineage import places
from lineage.command_line import Parser
from lineage.graph import Graph
from lineage.places import Places
from lineage.retention import collecting, plan, served, settling, wording
from lineage.retention.unseen import Unseen, pushed_and_unseen
from lineage.retention.wording import Considered

KEEP_FILE = ".keep"
_DAY = 86_400.0
_HELP = """\
Removes the directories of artifacts that nothing needs any more. What a version on the disk of a serving directory was made
from stays, whatever it is (live, labelled, listed, signed, or only there: `python -m serving prune` removes those), with all
that was found out in its run; also of a version that was pushed, is not found and was not pruned: no wrong --serving-root, and
none that is not mounted, takes protection away. So does what belongs to the newest runs, to runs that are not finished, and to
runs named by --keep-run or, a line each, in the file .keep of the pipeline root. Records stay for ever: ML Metadata, decisions,
blessings, reports, logs, privacy ledgers.

Examples:
  python -m lineage gc                         what would go
  python -m lineage gc --why 12                why artifact 12 stays
  python -m lineage gc --keep-runs 3 --apply   it goes
"""


def gc(arguments: Sequence[str]) -> int:
    """Removes, or tells what it would remove."""
    given = _parsed(arguments)
    where = places.places_of(given)
    try:
        found = _apply(given, where) if given.apply else _considered(given, where, collecting.graph_of(where))
    except OSError as error:
        raise FedtfxError(
            f"gc: {error.strerror or error} ({error.filename or where.root}); give this user access, and run gc again: it"
            " completes what it began."
        ) from error
    if given.why is not None:
        return _tell_why(given.why, found, given.json)
    print(
        json.dumps(wording.as_json(found, given.apply), indent=2)
        if given.json
        else wording.as_text(found, where.root, given.apply)
    )
    return 0


def _apply(given: argparse.Namespace, where: Places) -> Considered:
    with ExitStack() as stack:
        stack.enter_context(collecting.held(where))
        settling.settle(where.root, where.metadata)
        stack.enter_context(collecting.releases_held(where, collecting.graph_of(where)))
        found = _considered(given, where, collecting.graph_of(where))
        collecting.collect(where, found.goes)
    return found


def _considered(given: argparse.Namespace, where: Places, graph: Graph) -> Considered:
    named = _named_runs(given, where, graph)
    since = None if given.keep_days is None else time.time() - given.keep_days * _DAY
    runs = plan.kept_runs(graph, given.keep_runs, since, named)
    if given.pipeline is not None and given.pipeline not in {run.pipeline for run in graph.runs.values()}:
        known = ", ".join(sorted({run.pipeline for run in graph.runs.values()})) or "none"
        raise ConfigError(f"--pipeline: expected one of {known}, got {given.pipeline!r}.")
    versions = served.versions(where.serving_root, graph)
    unseen = _not_let_go(given.let_go, pushed_and_unseen(where.serving_root, graph, versions))
    planned = plan.planned(graph, plan.roots_of(graph, [*versions, *unseen], runs), given.pipeline)
    kept = dict(planned.kept)
    return Considered(collecting.what_goes(where.root, planned.remove, graph, kept), kept, unseen)


def _not_let_go(let_go: Sequence[str], unseen: Sequence[Unseen]) -> list[Unseen]:
    names = sorted({one.name for one in unseen})
    if unknown := sorted(set(let_go) - set(names)):
        known = ", ".join(names) or "none: all are found, or were pruned"
        raise ConfigError(f"--let-go: expected a version that was pushed and is not found ({known}), got {unknown[0]!r}.")
    return [one for one in unseen if one.name not in let_go]


def _named_runs(given: argparse.Namespace, where: Places, graph: Graph) -> list[str]:
    file = Path(where.root, KEEP_FILE)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    named = [*given.keep_run, *(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))]
    if unknown := sorted(set(named) - set(graph.runs)):
        raise ConfigError(
            f"--keep-run or {file}: expected names of runs, got {unknown[0]!r}; `python -m lineage list` has them."
        )
    return named


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m lineage gc", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="tell what would go (the default)")
    how.add_argument("--apply", action="store_true", help="remove it")
    parser.add_argument("--keep-runs", type=_whole, default=10, metavar="N", help="newest runs of each pipeline (%(default)s)")
    parser.add_argument("--keep-days", type=_days, metavar="D", help="runs of the last D days too")
    parser.add_argument("--keep-run", action="append", default=[], metavar="RUN", help="this run too; may be repeated")
    parser.add_argument(
        "--let-go",
        action="append",
        default=[],
        metavar="MODEL/VERSION",
        help="this pushed version is gone for good, though no `python -m serving prune` removed it; may be repeated",
    )
    parser.add_argument("--pipeline", metavar="NAME", help="only artifacts of this pipeline may go")
    parser.add_argument("--why", type=int, metavar="ID", help="tell why an artifact stays, or that it goes")
    parser.add_argument("--json", action="store_true", help="for machines")
    places.add_options(parser)
    return parser.parse_args(arguments)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 1e6:
        raise argparse.ArgumentTypeError(f"expected a number of days, got {text!r}")
    return days


def _tell_why(artifact: int, found: Considered, as_json: bool) -> int:
    goes, kept = found.goes, found.kept
    going = {one.id for one in (*goes.artifacts, *goes.gone)}
    if artifact not in going and artifact not in kept:
        raise ConfigError(f"--why: expected the id of an artifact that is live in ML Metadata, got {artifact}.")
    why = "nothing needs it" if artifact in going else kept[artifact]
    if as_json:
        print(json.dumps({"id": artifact, "stays": artifact in kept, "why": why}))
    else:
        print(f"artifact {artifact} {'stays' if artifact in kept else 'goes'}: {why}")
    return 0
