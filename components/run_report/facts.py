"""All facts of a report, as plain values: what facts.json holds and both pages show. Nothing is guessed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from components.run_report import artifacts, code, curves, data, decision, measured, training
from components.run_report.sources import Missing, Sources
from lineage.jsonable import jsonable

logger = logging.getLogger(__name__)

FORMAT = 1
NOT_AVAILABLE = "not_available"
_SECTIONS: dict[str, Callable[[Sources], Mapping[str, Any]]] = {
    "about": decision.about,
    "model": decision.model,
    "decision": decision.decision,
    "serving": decision.serving,
    "training": training.training,
    "curves": curves.curves,
    "privacy": training.privacy,
    "data": data.data,
    "split": data.split,
    "clients": measured.clients,
    "lineage": artifacts.lineage,
    "artifacts": artifacts.digests,
    "code": code.code,
}


def collect(sources: Sources, evaluations: measured.Reader | None, made_at: datetime) -> dict[str, Any]:
    """Returns the facts, JSON-able: a mapping per section, `{"not_available": why}` for one that there is nothing to say about.

    Args:
      sources: what to report on.
      evaluations: reads TensorFlow Model Analysis' results, for which it must be loaded; None: they are not read.
      made_at: when.
    """
    sections: dict[str, Callable[[Sources], Mapping[str, Any]]] = {
        **_SECTIONS,
        "metrics": lambda given: measured.metrics(given, evaluations),
        "slices": lambda given: measured.slices(given, evaluations),
    }
    found = {name: _section(name, section, sources) for name, section in sections.items()}
    return dict(jsonable({"format": FORMAT, "made_at": made_at.isoformat(timespec="seconds"), **found}))


def missing(facts: Mapping[str, Any]) -> dict[str, str]:
    """Returns section -> why it is not available."""
    sections = {name: section for name, section in facts.items() if isinstance(section, Mapping)}
    return {name: str(section[NOT_AVAILABLE]) for name, section in sections.items() if NOT_AVAILABLE in section}


def _section(name: str, section: Callable[[Sources], Mapping[str, Any]], sources: Sources) -> Mapping[str, Any]:
    try:
        return section(sources)
    except Missing as reason:
        return {NOT_AVAILABLE: str(reason)}
    except Exception as error:  # records of another version, damaged files: a report tells what is left
        logger.warning("the report's part %r cannot be made", name, exc_info=error)
        return {NOT_AVAILABLE: f"what was recorded cannot be read ({type(error).__name__})"}
