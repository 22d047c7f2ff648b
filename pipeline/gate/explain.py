"""What a config's gate requires, in plain words, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from components.deploy_gate.requirements import Requirement, requirements
from modeling import check, contract
from pipeline import config as configuration
from pipeline.config import PipelineConfig
from pipeline.gate.judges import compares, judges
from pipeline.gate.lint import lint
from pipeline.gate_config import GateConfig
from pipeline.strict_yaml import parse_override, put, read

_MODELS = {"classes": "a classification model", "binary": "a binary classification model", "regression": "a regression model"}
_SET_BY = {
    "constant/": ("better_than_constant",),
    "evaluation/change/": ("change",),
    "first-deploy": ("first_deploy",),
    "serving/answers": ("serving", "tolerance"),
}
"""How the id of a requirement begins that there is by default -> the key inside `gate` that can say the same, or another."""


def explanation(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Returns `name`, `kind`, `judges`, `requirements` and `notes` of a config file as plain values.

    A requirement has `id`, `judge`, `what`, `required`, `forceable` (whether an approval can put a model live that does not
    meet it) and `default` (whether it would be there as it is if the config had no `gate`, and the config does not say it).

    Args:
      path: of the YAML file.
      overrides: of its keys, such as `gate.first_deploy=allow`.

    Raises:
      ConfigError: the config, the model module or the gate is wrong; what a run refuses in them before it begins.
    """
    config, written = configuration.load(path, overrides), _written(path, overrides)
    module = contract.load(config.model)
    check.check(module)
    settings = lint(config, module)
    nodes = judges(config)
    default = replace(config, gate=GateConfig()).gate.settings(settings["kind"], config.seed)
    by_default = requirements(default, nodes)
    return {
        "name": config.name,
        "kind": settings["kind"],
        "judges": nodes,
        "requirements": [
            _plain(each, each in by_default and not _says(written, each.id)) for each in requirements(settings, nodes)
        ],
        "notes": list(_notes(config, settings)),
    }


def _written(path: str | os.PathLike[str], overrides: Sequence[str]) -> dict[str, Any]:
    """The config's keys as they are given, before any default is filled in."""
    tree = read(path)
    for keys, value in map(parse_override, overrides):
        tree = put(tree, keys, value)
    return tree


def _says(written: Any, requirement: str) -> bool:
    """Whether a config gives the key that decides a requirement; null is as good as nothing."""
    keys = next((keys for begins, keys in _SET_BY.items() if requirement.startswith(begins)), None)
    if keys is None:
        return False
    for key in ("gate", *keys):
        written = (written or {}).get(key)
    return written is not None


def _plain(requirement: Requirement, default: bool) -> dict[str, Any]:
    shown = {key: getattr(requirement, key) for key in ("id", "judge", "what", "required", "forceable")}
    return {**shown, "default": default}


def _notes(config: PipelineConfig, settings: Mapping[str, Any]) -> Iterator[str]:
    """What depends on circumstances that only a run finds."""
    if settings["first_deploy"] == "refuse":
        yield "While nothing is served every model is refused: say gate.first_deploy: allow for the first one."
    if compares(settings):
        yield (
            "Comparisons with the served model are skipped while nothing is served, or if it is this very model with no other"
            " before it; if something else is served that cannot be compared with, the run stops."
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
    kind = explained["kind"]
    lines = [f"{explained['name']}: {_MODELS[kind]} (kind {kind}) goes live if it meets all of this"]
    for judge in dict.fromkeys(row["judge"] for row in rows):
        lines += ["", f"  {judge}", *(_line(row, width) for row in rows if row["judge"] == judge)]
    lines += ["", "  ! cannot be forced by an approval", *(f"  {note}" for note in explained["notes"])]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], width: int) -> str:
    mark = " " if row["forceable"] else "!"
    default = " (default)" if row["default"] and row["forceable"] else ""
    return f"  {mark} {row['what']:<{width}}  {row['required']}{default}"
