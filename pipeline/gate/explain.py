"""What a config's gate requires, in plain words, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from components.deploy_gate.requirements import Requirement, requirements
from modeling import contract
from pipeline.config import PipelineConfig
from pipeline.gate.judges import compares, judges
from pipeline.gate.lint import lint_quickly
from pipeline.gate_config import GateConfig


def explanation(config: PipelineConfig) -> dict[str, Any]:
    """Returns `name`, `kind`, `judges`, `requirements` and `notes` as plain values; needs TensorFlow, but not TFMA.

    A requirement has `id`, `judge`, `what`, `required`, `forceable` (whether an approval can put a model live that does not
    meet it) and `default` (whether it would be there as it is if the config had no `gate`).

    Raises:
      ConfigError: the model module or the gate is wrong.
    """
    settings = lint_quickly(config, contract.load(config.model))
    nodes = judges(config)
    default = replace(config, gate=GateConfig()).gate.settings(settings["kind"], config.seed)
    by_default = requirements(default, nodes)
    return {
        "name": config.name,
        "kind": settings["kind"],
        "judges": nodes,
        "requirements": [_plain(each, each in by_default) for each in requirements(settings, nodes)],
        "notes": list(_notes(config, settings)),
    }


def _plain(requirement: Requirement, default: bool) -> dict[str, Any]:
    shown = {key: getattr(requirement, key) for key in ("id", "judge", "what", "required", "forceable")}
    return {**shown, "default": default}


def _notes(config: PipelineConfig, settings: Mapping[str, Any]) -> Iterator[str]:
    """What depends on circumstances that only a run finds."""
    if settings["first_deploy"] == "refuse":
        yield "While nothing is served every model is refused: say gate.first_deploy: allow for the first one."
    if compares(settings):
        yield (
            "Comparisons with the served model are skipped while nothing is served, or if it is this very model; they fail if"
            " something else is served that could not be evaluated."
        )
    if settings["slices"]:
        yield "A slice with too few examples is skipped; a feature none of whose values occurs fails."
    if settings["clients"] is not None:
        least = settings["clients"]["min_clients"]
        yield f"With fewer than {least} evaluation clients nothing about single ones is shown, nor required of them."
    if config.gate.approvals is not None:
        yield "An approval can force a model live that fails a check not marked with !, or hold one that passes."


def as_text(explained: Mapping[str, Any]) -> str:
    """Returns an explanation for a person: a table per judge, then notes."""
    rows = explained["requirements"]
    width = max(len(row["what"]) for row in rows)
    lines = [f"{explained['name']}: a model of the kind {explained['kind']} goes live if it meets all of this"]
    for judge in dict.fromkeys(row["judge"] for row in rows):
        lines += ["", f"  {judge}", *(_line(row, width) for row in rows if row["judge"] == judge)]
    lines += ["", "  ! cannot be forced by an approval", *(f"  {note}" for note in explained["notes"])]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], width: int) -> str:
    mark = " " if row["forceable"] else "!"
    default = " (default)" if row["default"] and row["forceable"] else ""
    return f"  {mark} {row['what']:<{width}}  {row['required']}{default}"
