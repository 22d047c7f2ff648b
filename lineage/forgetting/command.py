"""`python -m lineage forget`: says what holds a client's data, and leaves the client out from the next run on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import ConfigError, FedtfxError
from lineage import audit_log, clients, forgotten, places, reading
from lineage.clients import Division
from lineage.command_line import Parser
from lineage.forgetting import wording
from lineage.forgetting.report import Report, report
from lineage.graph import Graph
from lineage.places import Places
from lineage.retention import served

_HELP = """\
Says which splits and models hold a client's data, which of these are served, and what must be trained again; then puts the
client on the pipeline's list, so that ExampleGen and FederatedSplit leave it out of every run that begins from now on. Trained
weights, served versions, old artifacts, your source data and backups are not changed: docs/how-to/forget-a-client.md.

CLIENT is its id, as the feature says that divides the examples (`split.key`). It is stored nowhere: list and log have a keyed
hash. A command line can be read by others while it runs, and is kept in the shell's history: prefer --client-file, or - for
stdin.

Examples:
  python -m lineage forget --client-file id.txt --dry-run
  printf %s ID | python -m lineage forget -
  python -m lineage forget --list
"""


@dataclass(frozen=True)
class Outcome:
    """A report, the client's keyed hash (empty if a dry run finds no key), and since when it was on the list, or nothing."""

    report: Report
    client: str
    since: str


def forget(arguments: Sequence[str]) -> int:
    """Reports on a client, and puts it on the list unless it is a dry run."""
    given = _parsed(arguments)
    where = places.places_of(given)
    if given.list:
        return _list(where, given.json)
    client = _client(given)
    with where.opened() as opened:
        graph = reading.everything(opened)
    versions = served.versions(where.serving_root, graph)
    reports = [report(where.root, graph, versions, client, own) for own in _natural(graph, given.pipeline)]
    try:
        outcomes = _outcomes(where, reports, client, given)
    except OSError as error:
        raise FedtfxError(
            f"forget: {error.strerror} ({error.filename}); give this user access to the pipeline root."
        ) from error
    if given.json:
        print(json.dumps([wording.as_json(one.report, one.client, one.since, given.dry_run) for one in outcomes], indent=2))
    else:
        print("\n\n".join(wording.as_text(one.report, one.client, one.since, given.dry_run) for one in outcomes))
    return 0


def _outcomes(where: Places, reports: Sequence[Report], client: str, given: argparse.Namespace) -> list[Outcome]:
    """What was done, per pipeline that the client is of, or was."""
    known = {one.pipeline: _since(where.root, one.pipeline, client) for one in reports}
    chosen = [one for one in reports if one.holding.held or known[one.pipeline]]
    if given.pipeline or len(reports) == 1:
        chosen = [
            one for one in reports if one.holding.held or one.holding.possible or known[one.pipeline] or given.even_if_unknown
        ]
    if not chosen:
        raise ConfigError(_nobody(reports, given))
    if not given.dry_run:
        forgotten.make_key(where.root)
        for one in chosen:
            _write(where, one, client)
    return [Outcome(one, _hash(where.root, one.pipeline, client), known[one.pipeline]) for one in chosen]


def _write(where: Places, found: Report, client: str) -> None:
    """The list first; whoever was killed before the log was written writes it the next time."""
    hashed = _hash(where.root, found.pipeline, client)
    for feature in found.features:
        forgotten.add(where.root, found.pipeline, hashed, feature)
    told = (entry.facts for entry in audit_log.read(where.audit_log) if entry.event == forgotten.EVENT)
    if not any((facts["pipeline"], facts["client"]) == (found.pipeline, hashed) for facts in told):
        audit_log.append(
            where.audit_log,
            forgotten.EVENT,
            pipeline=found.pipeline,
            client=hashed,
            splits=[*found.holding.held, *found.holding.possible],
            models=[model.artifact.id for model in found.models],
            live=[f"{version.model}/{version.number}" for version in found.live],
        )


def _hash(root: str, pipeline: str, client: str) -> str:
    if not Path(root, forgotten.FOLDER, "key").exists():
        return ""
    return forgotten.keyed_hash(forgotten.read_key(root), pipeline, client)


def _since(root: str, pipeline: str, client: str) -> str:
    told = forgotten.entries(root, pipeline)
    hashed = _hash(root, pipeline, client) if told else ""
    return next((entry.time for entry in told if entry.facts["client"] == hashed), "")


def _natural(graph: Graph, pipeline: str | None) -> list[list[Division]]:
    """The divisions whose clients a feature names, by pipeline."""
    known = sorted({run.pipeline for run in graph.runs.values()})
    if pipeline is not None and pipeline not in known:
        raise ConfigError(f"--pipeline: expected one of {', '.join(known) or 'none'}, got {pipeline!r}.")
    found = clients.divisions(graph, pipeline)
    by_pipeline: dict[str, list[Division]] = {}
    for one in found:
        if one.feature is not None:
            by_pipeline.setdefault(one.pipeline, []).append(one)
    if not by_pipeline:
        strategies = ", ".join(sorted({one.strategy for one in found})) or "none"
        raise ConfigError(
            "expected a split whose clients a feature names (by_key, grouped_by_key), got only invented clients, whose ids name"
            f" nobody (strategies: {strategies}); set split.key, or name another --pipeline."
        )
    return [by_pipeline[name] for name in sorted(by_pipeline)]


def _nobody(reports: Sequence[Report], given: argparse.Namespace) -> str:
    gone = sum(len(one.holding.unknown) for one in reports)
    rest = f" ({gone} more are gone, and cannot tell)" if gone else ""
    remedy = "--even-if-unknown leaves it out all the same"
    if len(reports) > 1 and not given.pipeline:
        remedy = f"name one of {', '.join(one.pipeline for one in reports)} by --pipeline, and {remedy}"
    return f"expected a client that a split holds, got one that none of those that are still there does{rest}; {remedy}."


def _list(where: Places, as_json: bool) -> int:
    told = {name: [entry.time for entry in forgotten.entries(where.root, name)] for name in forgotten.pipelines(where.root)}
    if as_json:
        print(json.dumps({name: {"forgotten": len(times), "times": times} for name, times in told.items()}, indent=2))
        return 0
    print("\n".join(wording.listed(name, times) for name, times in told.items()) or "nobody was forgotten")
    return 0


def _client(given: argparse.Namespace) -> str:
    if (given.client is None) == (given.client_file is None):
        raise ConfigError("expected a client's id, or --client-file, and not both; - reads it from stdin.")
    if given.client is not None and given.client != "-":
        # Lock files tell the command line of who holds them.
        sys.orig_argv[:] = ["..." if given.client in word else word for word in sys.orig_argv]
        return _checked(str(given.client))
    source = given.client_file or "-"
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--client-file: expected a text file, got {error}; give one that holds the id alone.") from None
    return _checked(text.removesuffix("\n").removesuffix("\r"))


def _checked(client: str) -> str:
    if not client or "\n" in client or "\0" in client or client.startswith(clients.HASH):
        raise ConfigError("expected the id of one client, got none, several lines, or a keyed hash.")
    return client


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m lineage forget", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("client", nargs="?", metavar="CLIENT", help="its id; - reads it from stdin")
    parser.add_argument("--client-file", metavar="F", help="a file that holds the id alone; - is stdin")
    parser.add_argument("--pipeline", metavar="NAME", help="whose client it is; by default of all that hold it")
    parser.add_argument("--dry-run", action="store_true", help="only report")
    parser.add_argument("--even-if-unknown", action="store_true", help="put it on the list though no split holds it")
    parser.add_argument("--list", action="store_true", help="how many were forgotten, and when")
    parser.add_argument("--json", action="store_true", help="for machines")
    places.add_options(parser)
    return parser.parse_args(arguments)
