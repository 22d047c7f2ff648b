"""`python -m lineage card`: the card of any model, as its run made it, or made anew from ML Metadata and what is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from components.run_report import facts as facts_of
from components.run_report import writing
from components.run_report.sources import Sources
from errors import ConfigError, IntegrityError
from lineage import places, reading
from lineage.digests import tree_digest
from lineage.graph import DELETED, Artifact
from lineage.questions import naming
from lineage.questions.options import Parser, as_text

_REPORT, _DECISION = "components.RunReport", "components.GateDecision"


def card(arguments: Sequence[str]) -> int:
    """Writes a model's card into a file or a folder."""
    parser = Parser(
        "card",
        "Writes the card of a model: one page that opens without a server. It is the one that the model's run made, whose\n"
        "digest is checked first; where there is none, it is made from ML Metadata and the artifacts that are left.",
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
    where = places.places_of(given)
    with where.opened() as store:
        named = naming.resolve(given.model, store, where)
        if named.model is None:
            raise ConfigError(f"{given.model}: expected a model that ML Metadata knows, got bytes that nobody here pushed.")
        report = None if given.anew else _recorded(store, named.model, named.run.name if named.run else "")
        made = _made(store, named) if report is None else {}
    if given.json:
        text = Path(report.uri, writing.FACTS_FILE).read_text(encoding="utf-8") if report else as_text(made["facts"])
        print(text.strip())
        return 0
    target = Path(given.out or f"{_file_name(named)}-model-card.html")
    print(f"model card   {_written(target, report, made)}{'' if report else ' (made from ML Metadata)'}")
    return 0


def _file_name(named: naming.Named) -> str:
    name = named.version.name.partition("/")[0] if named.version else named.name
    return "".join(character if character.isalnum() else "-" for character in name)


def _recorded(store: Any, model: Artifact, run: str) -> Artifact | None:
    """The newest report on a model (of a run, if one was named), once its bytes are sure; None if there is none any more."""
    reports = [one for one in reading.of_type(store, _REPORT) if one.properties.get("model_id") == model.id]
    if run and reports:
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


def _made(store: Any, named: naming.Named) -> dict[str, Any]:
    """Facts and pictures from what is left."""
    model = named.model
    assert model is not None
    run = named.run.name if named.run else _run_of(store, model)
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
    return {"facts": found, "pictures": writing.pictures(sources)}


def _run_of(store: Any, model: Artifact) -> str:
    """The run that last decided about a model, or else the one that made it."""
    decided = [one for one in reading.of_type(store, _DECISION) if one.properties.get("model_id") == model.id]
    about = decided[-1] if decided else model
    maker = reading.makers(store, [about.id]).producer(about.id)
    if maker is None or not maker.run:
        raise ConfigError(
            f"id:{model.id}: expected a model that a run made, got one of which ML Metadata does not tell the run."
        )
    return maker.run


def _words(store: Any, graph: Any, run: str) -> dict[str, Any] | None:
    """What the config said, which RunReport was told; None of a run without it."""
    told = next((one.properties.get("card") for one in graph.of_run(run) if one.node == "RunReport"), None)
    try:
        words = json.loads(str(told)) if told is not None else None
    except ValueError:
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
