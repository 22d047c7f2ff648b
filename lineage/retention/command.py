"""`python -m lineage gc`: what may go, what stays and why; with --apply, it goes."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from errors import ConfigError, FedtfxError
from lineage import places
from lineage.graph import Artifact, Graph
from lineage.places import Places
from lineage.retention import collecting, directories, plan, served
from lineage.retention.collecting import Removal

KEEP_FILE = ".keep"
_DAY = 86_400.0
_HELP = """\
Removes the directories of artifacts that nothing needs any more. What a version on the disk of a serving directory was made
from stays, whatever it is (live, labelled, listed, signed, or only there: `python -m serving prune` removes those), with all
that was found out in its run. So does what belongs to the newest runs, to runs that are not finished, and to runs named by
--keep-run or, a line each, in the file .keep of the pipeline root. Records stay for ever: ML Metadata, decisions, blessings,
reports, logs, privacy ledgers.

Examples:
  python -m lineage gc                         what would go
  python -m lineage gc --why 12                why artifact 12 stays
  python -m lineage gc --keep-runs 3 --apply   it goes
"""


def gc(arguments: Sequence[str]) -> int:
    """Removes, or tells what it would remove."""
    given = _parsed(arguments)
    where = places.places_of(given)
    if given.apply:
        goes, kept = _apply(given, where)
    else:
        graph = collecting.graph_of(where)
        goes, kept = _considered(given, where, graph)
    if given.why is not None:
        return _tell_why(given.why, goes, kept, given.json)
    print(json.dumps(_as_json(goes, kept, given, where), indent=2) if given.json else _as_text(goes, kept, given, where))
    return 0


def _apply(given: argparse.Namespace, where: Places) -> tuple[Removal, dict[int, str]]:
    with ExitStack() as stack:
        try:
            stack.enter_context(collecting.held(where))
            collecting.settle(where)
            stack.enter_context(collecting.releases_held(where, collecting.graph_of(where)))
            graph = collecting.graph_of(where)
            goes, kept = _considered(given, where, graph)
            collecting.collect(where, goes)
        except OSError as error:
            raise FedtfxError(
                f"gc: {error.strerror or error} ({error.filename or where.root}); give this user access, and run gc again: it"
                " completes what it began."
            ) from error
    return goes, kept


def _considered(given: argparse.Namespace, where: Places, graph: Graph) -> tuple[Removal, dict[int, str]]:
    named = _named_runs(given, where, graph)
    since = None if given.keep_days is None else time.time() - given.keep_days * _DAY
    runs = plan.kept_runs(graph, given.keep_runs, since, named)
    if given.pipeline is not None and given.pipeline not in {run.pipeline for run in graph.runs.values()}:
        known = ", ".join(sorted({run.pipeline for run in graph.runs.values()})) or "none"
        raise ConfigError(f"--pipeline: expected one of {known}, got {given.pipeline!r}.")
    roots = plan.roots_of(graph, served.versions(where.serving_root, graph), runs)
    planned = plan.planned(graph, roots, given.pipeline)
    kept = dict(planned.kept)
    return collecting.what_goes(where.root, planned.remove, graph, kept), kept


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
    parser = argparse.ArgumentParser(
        prog="python -m lineage gc", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="tell what would go (the default)")
    how.add_argument("--apply", action="store_true", help="remove it")
    parser.add_argument("--keep-runs", type=_whole, default=10, metavar="N", help="newest runs of each pipeline (%(default)s)")
    parser.add_argument("--keep-days", type=_days, metavar="D", help="runs of the last D days too")
    parser.add_argument("--keep-run", action="append", default=[], metavar="RUN", help="this run too; may be repeated")
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


def _tell_why(artifact: int, goes: Removal, kept: dict[int, str], as_json: bool) -> int:
    going = {one.id for one in (*goes.artifacts, *goes.gone)}
    if artifact not in going and artifact not in kept:
        raise ConfigError(f"--why: expected the id of an artifact that is live in ML Metadata, got {artifact}.")
    why = "nothing needs it" if artifact in going else kept[artifact]
    if as_json:
        print(json.dumps({"id": artifact, "stays": artifact in kept, "why": why}))
    else:
        print(f"artifact {artifact} {'stays' if artifact in kept else 'goes'}: {why}")
    return 0


def _as_json(goes: Removal, kept: dict[int, str], given: argparse.Namespace, where: Places) -> dict[str, object]:
    return {
        "applied": given.apply,
        "bytes": goes.bytes,
        "removed" if given.apply else "would_remove": [
            {"id": one.id, "type": one.type, "path": one.uri, "bytes": goes.sizes[one.uri], "digest": one.digest}
            for one in goes.artifacts
        ],
        "directories": [{"path": str(path), "bytes": goes.sizes[str(path)]} for path in goes.orphans],
        "gone_already": [one.id for one in goes.gone],
        "kept": {str(one): why for one, why in sorted(kept.items())},
    }


def _as_text(goes: Removal, kept: dict[int, str], given: argparse.Namespace, where: Places) -> str:
    rows = [_row(str(one.id), one.type, goes.sizes[one.uri], _shown(where, one)) for one in goes.artifacts]
    rows += [
        _row("-", "of a dead execution", goes.sizes[str(path)], directories.relative(where.root, path)) for path in goes.orphans
    ]
    count = len(goes.artifacts) + len(goes.orphans)
    verb = "removed" if given.apply else "would remove"
    lines = [_row("id", "type", "bytes", "directory"), *rows, ""] if rows else []
    lines.append(f"{verb} {count} directories, {_amount(goes.bytes)}" if count else "nothing to remove")
    if goes.gone:
        lines.append(f"{len(goes.gone)} more that nothing needs have no directory any more, though ML Metadata has them live")
    lines += ["", f"{len(kept)} artifacts stay:"]
    lines += [f"  {number:>6}  {why}" for why, number in Counter(kept.values()).most_common()]
    if rows and not given.apply:
        lines += ["", "with --apply they go"]
    return "\n".join(lines)


def _row(artifact: str, kind: str, size: int | str, path: str) -> str:
    return f"{artifact:>6}  {kind:<28}  {size if isinstance(size, str) else _amount(size):>10}  {path}"


def _shown(where: Places, artifact: Artifact) -> str:
    return directories.relative(where.root, artifact.uri)


def _amount(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
