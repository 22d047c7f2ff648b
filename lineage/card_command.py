"""`python -m lineage card`: the card of any model, as its run made it, or made anew from ML Metadata and what is left."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from components.run_report import facts as facts_of
from components.run_report import writing
from components.run_report.sources import Sources
from errors import ConfigError, IntegrityError
from lineage import places, reading
from lineage.digests import tree_digest
from lineage.graph import DELETED, RUN_REPORT, Artifact
from lineage.jsonable import jsonable
from lineage.questions import naming, origin
from lineage.questions.facts import Judgement
from lineage.questions.options import Parser, as_text
from lineage.questions.origin import Origin
from lineage.questions.tables import when


def card(arguments: Sequence[str]) -> int:
    """Writes a model's card into a file or a folder."""
    parser = Parser(
        "card",
        "Writes the card of a model: one page that opens without a server. It is the one that was made by the run that pushed\n"
        "the model, or else last decided about it; its digest is checked first. Where there is none, it is made from ML\n"
        "Metadata and the artifacts that are left. If other runs judged the same model otherwise, that is said beside it.",
        [
            ("digits", "the card of the live version, as digits-model-card.html"),
            ("digits/1700000000 --out card/", "the page, the same as Markdown, and the facts for machines"),
            ("run:20260101-120000.000000 --out refused.html", "of what this run made, though it was refused"),
        ],
    )
    parser.add_argument("model", metavar="MODEL", help=naming.HELP)
    parser.add_argument(
        "--out", default="", metavar="PATH", help="a file that ends in .html, or a folder (NAME-model-card.html)"
    )
    parser.add_argument("--anew", action="store_true", help="make it from ML Metadata, though the run made one")
    given = parser.parse_args(arguments)
    if given.json and given.out:
        raise ConfigError("expected --json, which prints the facts, or --out, got both; a folder as --out gets facts.json too.")
    target = _target(given.out)
    where = places.places_of(given)
    with where.opened() as store:
        named = naming.resolve(given.model, store, where)
        if named.model is None:
            raise ConfigError(f"{given.model}: expected a model that ML Metadata knows, got bytes that nobody here pushed.")
        told = origin.of(named, store)
        run = _run_of(named, told)
        report = None if given.anew else _recorded(store, named.model, run)
        made = _made(store, named, told, run) if report is None else {}
    if given.json:
        print("".join(f"{line}\n" for line in _otherwise(told)), end="", file=sys.stderr)
        text = Path(report.uri, writing.FACTS_FILE).read_text(encoding="utf-8") if report else as_text(made["facts"])
        print(text.strip())
        return 0
    target = target or Path(f"{_file_name(named)}-model-card.html")
    print(f"model card   {_written(target, report, made)}{'' if report else ' (made from ML Metadata)'}")
    print("".join(f"{line}\n" for line in _otherwise(told)), end="")
    return 0


def _target(out: str) -> Path | None:
    """A folder may have a dot in its name; an ending of letters is one of a file, and only pages are written."""
    target = Path(out) if out else None
    if target is not None and target.suffix != ".html" and target.suffix[1:].isalpha() and not target.is_dir():
        raise ConfigError(f"--out: expected a file that ends in .html, or a folder, got {out}; name another.")
    return target


def _otherwise(told: Origin) -> Iterator[str]:
    """What other runs decided about the same model, if it is something else, newest first."""
    decided = told.decided_in_a_word
    for one in reversed(told.other_decisions):
        if one.decision and one.decision != decided:
            yield f"judged {'again' if one.later else 'before'}  {_judged(one)}; its card: python -m lineage card run:{one.run}"


def _judged(one: Judgement) -> str:
    failed = f", failed {', '.join(one.failed_checks)}" if one.failed_checks else ""
    return f"{one.decision} by run {one.run or 'unknown'}, {when(one.created)} UTC{failed}"


def _file_name(named: naming.Named) -> str:
    name = named.version.name.partition("/")[0] if named.version else named.name
    return "".join(character if character.isalnum() else "-" for character in name)


def _recorded(store: Any, model: Artifact, run: str) -> Artifact | None:
    """A run's report on a model, once its bytes are sure; None if there is none any more."""
    reports = [one for one in reading.of_type(store, RUN_REPORT) if one.model_id == model.id]
    makers = reading.makers(store, [one.id for one in reports])
    reports = [one for one in reports if (maker := makers.producer(one.id)) and maker.run == run]
    there = [one for one in reports if one.state != DELETED and Path(one.uri).is_dir()]
    if not there:
        return None
    newest = there[-1]
    try:
        digest = tree_digest(newest.uri)
    except (OSError, ValueError) as error:
        digest = " ".join(str(error).split())
    if digest != newest.digest:
        raise IntegrityError(
            f"expected the report {newest.id} at {newest.uri} as published (digest {newest.digest[:12]}), got other files;"
            " make it from ML Metadata with --anew."
        )
    return newest


def _made(store: Any, named: naming.Named, told: Origin, run: str) -> dict[str, Any]:
    """Facts and pictures of a run from what is left, and what later runs decided about its model."""
    model = named.model
    assert model is not None
    graph = reading.of_runs(store, [run])
    ours = [artifact.id for artifact in Sources.of_run(graph, run, None).artifacts.values()]
    graph = reading.joined(graph, reading.makers(store, ours))
    sources = Sources.of_run(graph, run, _words(store, graph, run))
    if sources.model.id != model.id:
        raise ConfigError(
            f"{named.text}: expected a model that was under test, got model {model.id}, which run {run} only compared with; see"
            f" `python -m lineage card id:{sources.model.id}`."
        )
    found = facts_of.collect(sources, None, datetime.now(timezone.utc))
    if facts_of.NOT_AVAILABLE not in found["model"]:
        found["model"]["judged_again"] = jsonable([one for one in told.other_decisions if one.later])
    return {"facts": found, "pictures": writing.pictures(sources)}


def _run_of(named: naming.Named, told: Origin) -> str:
    """The run that was named, or by whose push the model is live, or that last decided about it, or else that made it."""
    asked = named.run.name if named.run else ""
    pushed, decided = told.push, told.decision
    run = asked or (pushed.record.run if pushed else "") or (decided.record.run if decided else "")
    run = run or (told.model.run if told.model else "")
    if not run:
        raise ConfigError(
            f"{named.name}: expected a model that a run made, got one of which ML Metadata does not tell the run."
        )
    return run


def _words(store: Any, graph: Any, run: str) -> dict[str, Any] | None:
    """What the config said, which RunReport was told; None of a run without it."""
    told = next((one.properties.get("card") for one in graph.of_run(run) if one.node == "RunReport"), None)
    try:
        words = json.loads(str(told)) if told is not None else None
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, dict) else None


def _written(target: Path, report: Artifact | None, made: dict[str, Any]) -> Path:
    """Writes the page to a file, or all three files into a folder; returns where the page is."""
    single = target.suffix == ".html"
    try:
        (target.parent if single else target).mkdir(parents=True, exist_ok=True)
        if report is not None and single:
            shutil.copyfile(Path(report.uri, writing.HTML_FILE), target)
        elif report is not None:
            for name in (writing.HTML_FILE, writing.MARKDOWN_FILE, writing.FACTS_FILE):
                shutil.copyfile(Path(report.uri, name), target / name)
        elif single:
            target.write_text(writing.html(made["facts"], made["pictures"]), encoding="utf-8")
        else:
            writing.write(str(target), made["facts"], made["pictures"])
    except OSError as error:
        raise ConfigError(f"--out: expected a place that can be written, got {target} ({error.strerror}).") from error
    return target if single else target / writing.HTML_FILE
