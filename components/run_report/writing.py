"""Puts a report into a directory: the facts first, then a page of each kind, none of which the others wait for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from components.deploy_gate import picture
from components.run_report import page
from components.run_report.sources import Missing, Sources

logger = logging.getLogger(__name__)

HTML_FILE, MARKDOWN_FILE, FACTS_FILE = "model_card.html", "model_card.md", "facts.json"
_PICTURES = {"split": ("federated_examples", "partition.svg"), "clients": ("client_metrics", "clients.svg")}


def pictures(sources: Sources) -> dict[str, str | None]:
    """Returns the pictures that other nodes drew, as far as they may stand in a page."""
    return {name: _picture(sources, role, file) for name, (role, file) in _PICTURES.items()}


def _picture(sources: Sources, role: str, file: str) -> str | None:
    try:
        return picture.safe(sources.file(role, file))
    except Missing:
        return None


def write(uri: str, facts: Mapping[str, Any], drawn: Mapping[str, str | None]) -> None:
    """Writes facts.json, model_card.html and model_card.md into `uri`; a page that cannot be made says so."""
    folder = Path(uri)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(facts, indent=2, allow_nan=False)
    (folder / FACTS_FILE).write_text(f"{text}\n", encoding="utf-8")
    (folder / HTML_FILE).write_text(html(facts, drawn), encoding="utf-8", errors="replace")
    (folder / MARKDOWN_FILE).write_text(
        _rendered(MARKDOWN_FILE, page.as_markdown, facts, drawn), encoding="utf-8", errors="replace"
    )


def html(facts: Mapping[str, Any], drawn: Mapping[str, str | None]) -> str:
    """Returns the page; if it cannot be made, one that says so."""
    return _rendered(HTML_FILE, page.as_html, facts, drawn)


def _rendered(name: str, render: Callable[[page.Page], str], facts: Mapping[str, Any], drawn: Mapping[str, str | None]) -> str:
    try:
        return render(page.page(facts, drawn))
    except Exception as error:  # facts of a kind that nobody thought of; they are in facts.json
        logger.error("%s cannot be made", name, exc_info=error)
        return _failure(f"{type(error).__name__}: {error}")


def write_failure(uri: str, why: str) -> None:
    """Writes pages that say only why there is no report, so that the directory is what its readers expect."""
    folder = Path(uri)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (HTML_FILE, MARKDOWN_FILE):
        if not (folder / name).exists():
            (folder / name).write_text(_failure(why), encoding="utf-8")
    if not (folder / FACTS_FILE).exists():
        (folder / FACTS_FILE).write_text(f"{json.dumps({'not_available': why})}\n", encoding="utf-8")


def _failure(why: str) -> str:
    """HTML that Markdown takes as it is."""
    head = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>No model card</title>'
    return f"{head}<p>Not available: {escape(why)}</p>\n"
