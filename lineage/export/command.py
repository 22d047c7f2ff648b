"""`python -m lineage export`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from errors import ConfigError
from lineage import places, reading
from lineage.command_line import Parser
from lineage.export import gathering, mermaid
from lineage.export.formats import FORMATS
from lineage.export.scope import Scope
from lineage.graph import Graph
from lineage.questions import naming

_EXAMPLES = """\
examples:
  python -m lineage export digits --format mermaid
  python -m lineage export digits/1700000000 --format prov --output digits.prov.json
  python -m lineage export run:20240131-120000.000000 --format dot | dot -Tsvg -o run.svg
  python -m lineage export --all --format openlineage --output events.ndjson
"""


def export(arguments: Sequence[str]) -> int:
    """Writes the graph of a model, of a run, or all of it, and returns the exit code."""
    given = _parser().parse_args(arguments)
    if (given.model is None) != given.all:
        got = "both" if given.all else "neither"
        raise ConfigError(f"expected a MODEL, run:NAME or --all, got {got}; see `python -m lineage export --help`.")
    where = places.places_of(given)
    with where.opened() as store:
        text = FORMATS[given.format](_scope(given.model, store, where))
    if given.format == "mermaid" and mermaid.too_large(text):
        print(
            f"note: Mermaid draws no more than {mermaid.MOST_EDGES} edges and {mermaid.MOST_CHARACTERS} characters by default,"
            " and this is more; name one model or run, or use --format dot.",
            file=sys.stderr,
        )
    if given.output is None:
        sys.stdout.write(text)
    else:
        _write(given.output, text)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m lineage export",
        description="Writes where models came from in a format that other programs read: of a MODEL what it was made from,"
        " what judged it and its pushes; of run:NAME what was executed in the run. Names, settings, numbers and digests leave"
        " the store, and no client's id.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help=naming.HELP)
    parser.add_argument("--all", action="store_true", help="all that ML Metadata knows")
    parser.add_argument("--format", choices=FORMATS, default="json", help="(%(default)s)")
    parser.add_argument("--output", metavar="FILE", help="where to write it (standard output)")
    places.add_options(parser)
    return parser


def _scope(model: str | None, store: Any, where: places.Places) -> Scope:
    return gathering.scope(store, _graph(model, store, where), where)


def _graph(model: str | None, store: Any, where: places.Places) -> Graph:
    if model is None:
        return reading.everything(store)
    if model.startswith("run:"):
        return reading.of_runs(store, [naming.run_named(store, model.removeprefix("run:"), model).name])
    named = naming.resolve(model, store, where)
    if named.model is None:
        raise ConfigError(f"{model}: expected a model of this store, got a version that nobody pushed from it; use --all.")
    return gathering.of_model(store, named.model.id)


def _write(output: str, text: str) -> None:
    """Whole or not at all: what reads it never sees half of it."""
    folder, name = os.path.split(os.path.abspath(output))
    beside = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=f".{name}-", delete=False) as file:
            beside = file.name
            file.write(text)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, output)
    except OSError as error:
        if beside is not None:
            with contextlib.suppress(OSError):
                os.unlink(beside)
        raise ConfigError(
            f"--output: expected a file that can be written, got {error.strerror}: {output}; name another."
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
