"""A report on a forgotten client, for machines and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lineage.forgetting.report import Report, Trained


def as_json(found: Report, client: str, since: str, dry_run: bool) -> dict[str, Any]:
    """Returns a report as JSON has it.

    Args:
      found: what is known.
      client: its keyed hash, empty without a key.
      since: when it was put on the list before, or empty.
      dry_run: whether it is not put there now.
    """
    return {
        "pipeline": found.pipeline,
        "client": client or None,
        "forgotten_before": since or None,
        "left_out_from_now_on": bool(since) or not dry_run,
        "splits": list(found.holding.held),
        "splits_of_groups": list(found.holding.possible),
        "splits_that_are_gone": list(found.holding.unknown),
        "data_on_disk": [{"id": one.id, "type": one.type, "path": one.uri} for one in found.data],
        "models": [_model(one) for one in found.models],
        "in_service": [f"{version.model}/{version.number}" for version in found.live],
        "train_again": bool(found.models),
    }


def _model(one: Trained) -> dict[str, Any]:
    return {
        "id": one.artifact.id,
        "node": one.node,
        "run": one.run,
        "path": one.artifact.uri,
        "on_disk": one.there,
        "versions": [
            {"version": f"{served.model}/{served.number}", "state": served.state, "path": served.path} for served in one.served
        ],
    }


def as_text(found: Report, client: str, since: str, dry_run: bool) -> str:
    """Returns a report in lines; arguments as of `as_json`."""
    lines = [
        f"pipeline {found.pipeline}, client {client[:12] or 'without a keyed hash yet'}",
        *_splits(found),
        *_models(found),
        "",
    ]
    if since:
        lines.append(f"It was forgotten at {since} already, and is left out of every run that began after that.")
    elif dry_run:
        lines.append("A dry run: it is not left out of anything yet.")
    else:
        lines.append("From now on it is left out: of the examples and of the split of every run that begins after this.")
    return "\n".join([*lines, *_to_do(found)])


def listed(pipeline: str, times: Sequence[str]) -> str:
    """Returns how many of a pipeline were forgotten, and when, in lines."""
    return "\n".join([f"{pipeline}: {len(times)} forgotten", *(f"  {time}" for time in times)])


def _splits(found: Report) -> list[str]:
    told = [
        (found.holding.held, "hold it"),
        (found.holding.possible, "are of groups, and may hold it: an index does not tell who is in a group"),
        (found.holding.unknown, "have no directory any more, and may have held it"),
    ]
    return [f"  splits {_ids(ids)} {what}" for ids, what in told if ids] or ["  no split that is still there holds it"]


def _models(found: Report) -> list[str]:
    lines = []
    for one in found.models:
        served = ", ".join(f"{version.model}/{version.number} {version.state}" for version in one.served)
        where = served or ("not served, its directory is there" if one.there else "not served, its directory is gone")
        lines.append(f"  model {one.artifact.id} by {one.node} in run {one.run}: {where}")
    return lines or ["  no model was trained on its data"]


def _to_do(found: Report) -> list[str]:
    if not found.models:
        return []
    lines = ["Models that were trained on its data keep what they learned until they are replaced:"]
    if found.live:
        names = ", ".join(f"{version.model}/{version.number}" for version in found.live)
        lines.append(f"  run pipeline {found.pipeline} again: it trains on the others from the beginning")
        lines.append(f"  until its version is live, {names} answers requests")
    else:
        lines.append("  none of them is in service")
    if any(one.served for one in found.models):
        lines.append("  then `python -m serving prune --keep 1 --server HOST:PORT` (or --no_wait) removes the old versions")
    lines.append("  then `python -m lineage gc --keep-runs 1 --apply` removes the old examples, splits and models")
    return lines


def _ids(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids))
