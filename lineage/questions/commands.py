"""`python -m lineage list`, `show`, `impact` and `diff`: what each asks, and how it is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from errors import ConfigError
from lineage import places
from lineage.questions import decisions, naming, runs, story, wording
from lineage.questions.options import Parser, amount, as_text
from lineage.questions.tables import printable, width


def list_(arguments: Sequence[str]) -> int:
    """Lists runs and models."""
    from lineage.questions import listing

    parser = Parser(
        "list",
        "Lists models and runs, newest first: state, metrics, decision, what is served.",
        [
            ("", "models and runs, the newest 20 of each"),
            ("--models --live", "what answers requests now"),
            ("--runs --state failed --limit 0 --json", "all runs that failed, for machines"),
        ],
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--runs", action="store_true", help="runs only")
    only.add_argument("--models", action="store_true", help="models only")
    parser.add_argument("--pipeline", default="", metavar="P", help="only this pipeline's")
    verdicts = (decisions.BLESSED, decisions.REFUSED, decisions.FORCED, decisions.HELD)
    parser.add_argument(
        "--state", default="", choices=(*runs.STATES, *verdicts), help="of a run, or decision on a model", metavar="S"
    )
    parser.add_argument("--live", action="store_true", help="only what is live")
    parser.add_argument("--limit", type=amount, default=20, metavar="N", help="of each at most N, 0 for all (%(default)s)")
    given = parser.parse_args(arguments)
    where = places.places_of(given)
    _note_missing(where)
    asked = {"pipeline": given.pipeline, "state": given.state, "limit": given.limit, "live": given.live}
    with where.opened() as store:
        listing.check_pipeline(store, where, given.pipeline)
        models = None if given.runs or given.state in runs.STATES else listing.model_lines(store, where, **asked)
        lines = None if given.models else listing.run_lines(store, where, **asked)
    if given.json:
        found = {"models": models, "runs": lines}
        print(as_text({name: [line.as_json() for line in some] for name, some in found.items() if some is not None}))
    else:
        print("\n".join(wording.listed(models, lines, width(), given.limit)))
    return 0


def show(arguments: Sequence[str]) -> int:
    """Tells where a model came from."""
    from lineage.questions import origin

    parser = Parser(
        "show",
        "Tells where a model came from: what is served, who pushed it and why it might, how it was evaluated and trained, on\n"
        "which data, with which code. The bytes of a served version are read and held against what was pushed.",
        [
            ("digits", "the live version of the model `digits`"),
            ("serving/models/digits/1700000000", "the version in this folder"),
            ("run:20260101-120000.000000 --digests", "what this run made, with the digest of everything on the way"),
            ("id:11 --json", "the Model with this id in ML Metadata, for machines"),
        ],
    )
    parser.add_argument("model", metavar="MODEL", help=naming.HELP)
    parser.add_argument("--digests", action="store_true", help="list the digest of every artifact on the way")
    given = parser.parse_args(arguments)
    where = places.places_of(given)
    _note_missing(where)
    with where.opened() as store:
        found = origin.of_text(given.model, store, where)
    print(as_text(found.as_json()) if given.json else "\n".join(map(printable, story.lines(found, width(), given.digests))))
    return 0


def impact(arguments: Sequence[str]) -> int:
    """Names every model that came from some data or a client."""
    from lineage.questions.impact import of_client, of_text

    parser = Parser(
        "impact",
        "Names every model that came from some data, an artifact or a client, how it came from it, and which are live now.\n"
        "A client is looked up in the indexes of the splits, and told to nobody.",
        [
            ("data/reviews/part-03.csv", "models trained on what was read from this file, or from anything in a folder"),
            ("id:1", "what came of this artifact; its folder, a file in it, or 8 digits of its digest do as well"),
            ("digits/1700000000", "models that went out from this one by a warm start"),
            ("--client-file client.txt", "models that hold the data of the client whose id is in this file"),
        ],
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("of", nargs="?", metavar="PATH|ARTIFACT|MODEL", help="what to ask about")
    asked.add_argument("--client", metavar="ID", help="a client; other users of this machine can see the arguments of commands")
    asked.add_argument("--client-file", metavar="F", help="file whose first line is the client's id; - for standard input")
    parser.add_argument("--pipeline", metavar="P", help="of a client: only in this pipeline's splits")
    given = parser.parse_args(arguments)
    client = given.client if given.client_file is None else _first_line(given.client_file)
    if client == "" or (client is None and given.pipeline is not None):
        expected = "the id of a client" if client == "" else "--pipeline together with a client"
        raise ConfigError(
            f"impact: expected {expected}, got {'nothing' if client == '' else 'none'}; see `{parser.prog} --help`."
        )
    where = places.places_of(given)
    _note_missing(where)
    with where.opened() as store:
        found = of_text(given.of, store, where) if client is None else of_client(client, store, where, given.pipeline)
    print(as_text(found.as_json()) if given.json else "\n".join(map(printable, wording.impact(found, width()))))
    return 0


def diff(arguments: Sequence[str]) -> int:
    """Tells in what two runs or models differ."""
    from lineage.questions import differing

    parser = Parser(
        "diff",
        "Tells in what two models or runs differ: parameters, code, data, environment, metrics, decision.",
        [
            ("digits/1700000000 digits", "an earlier version and the live one"),
            ("run:20260101-120000.000000 run:20260102-120000.000000", "two runs, whatever became of them"),
            ("id:11 id:31 --all", "all facts of two models, those that are the same too"),
        ],
    )
    parser.add_argument("a", metavar="A", help=naming.HELP)
    parser.add_argument("b", metavar="B", help="the same")
    parser.add_argument("--all", action="store_true", help="what is the same too")
    given = parser.parse_args(arguments)
    where = places.places_of(given)
    with where.opened() as store:
        found = differing.of_texts(given.a, given.b, store, where)
    shown = found if given.all else found.only_different()
    print(as_text(shown.as_json()) if given.json else "\n".join(map(printable, wording.differences(shown, width()))))
    return 0


def _note_missing(where: places.Places) -> None:
    """A wrong option would look like nothing being served; that nothing ever was is no mistake."""
    if not os.path.isdir(where.serving_root):
        print(f"note: no folder {where.serving_root}: nothing is known of what is served; see --serving-root", file=sys.stderr)


def _first_line(file: str) -> str:
    try:
        with open(0 if file == "-" else file, encoding="utf-8", closefd=file != "-") as content:
            return content.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise ConfigError(f"--client-file: expected a file that can be read, got {file}: {why}; name another.") from None
