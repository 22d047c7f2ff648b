"""What the model is, what became of it, and why: the card's words, the push, the gate's decision, what serving it takes."""

from __future__ import annotations

from typing import Any

from components.run_report.sources import Missing, Sources

SAID = {
    "intended_use": "Intended use",
    "out_of_scope": "Out of scope",
    "limitations": "Limitations",
    "ethical_considerations": "Ethical considerations",
    "owners": "Owners",
    "license": "License",
    "contact": "Contact",
}
"""What a config may say beside title and description, and under which heading it stands."""
_WORST_FIRST = ("failed", "skipped", "passed")


def about(sources: Sources) -> dict[str, Any]:
    """What the config says of the model, in its own words."""
    if sources.card is None:
        raise Missing("the run did not record what its config says of the model")
    if not sources.card:
        raise Missing("the config has no section model_card")
    given = {key: _items(sources.card.get(key)) for key in SAID}
    words = {key: sources.card.get(key) for key in ("title", "description")}
    return {**words, **given}


def _items(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(item) for item in value]


def model(sources: Sources) -> dict[str, Any]:
    """Which model this is, and whether and where it is served."""
    found, pushed = sources.model, sources.artifacts.get("pushed_model")
    said = pushed.properties if pushed else {}
    there = bool(said.get("pushed"))
    return {
        "id": found.id,
        "name": sources.name,
        "node": "FederatedTrainer" if sources.federated else "Trainer",
        "kind": _kind(sources),
        "digest": found.digest,
        "created": found.created.isoformat(timespec="seconds"),
        "run": sources.run,
        "pushed": there,
        "version": str(said["pushed_version"]) if there else None,
        "path": str(said["pushed_destination"]) if there else None,
        "served_digest": str(said["digest"]) if there else None,
        "live": bool(said.get("live", 1)) if there else False,
        "held_at": str(said.get("held_at", "")) or None,
        "already_served": bool(said.get("already_served", 0)),
        "not_pushed_because": str(said.get("reason", "")) or None,
        "judged_again": [],  # nobody can have, when the run itself makes the card
    }


def _kind(sources: Sources) -> str:
    if not sources.federated:
        return "centralised"
    inputs = sources.graph.inputs(made.id) if (made := sources.graph.producer(sources.model.id)) else {}
    return "federated, begun from the centralised model" if "base_model" in inputs else "federated"


def decision(sources: Sources) -> dict[str, Any]:
    """The gate's decision as it was recorded, the checks that failed first, what held of any model last."""
    found = sources.json("decision", "decision.json")
    checks = sorted(found["checks"], key=lambda check: (check["verdict"] == "passed" and not check["forceable"], _rank(check)))
    keys = ("blessed", "passed", "decided_at", "served", "override", "approvals")
    counts = {verdict: sum(check["verdict"] == verdict for check in checks) for verdict in _WORST_FIRST}
    return {**{key: found[key] for key in keys}, "checks": checks, "counts": counts}


def _rank(check: dict[str, Any]) -> tuple[int, bool]:
    return _WORST_FIRST.index(check["verdict"]), check["forceable"]


def serving(sources: Sources) -> dict[str, Any]:
    """What loading the model and asking it took, in a model server of its own."""
    report = sources.json("serving_report", "serving_report.json")
    server = report.get("server") or {}
    return {
        "loadable": report["loadable"],
        "size_bytes": report["size_bytes"],
        "weights": report["weights"]["values"] if report.get("weights") else None,
        "load_seconds": server.get("load_seconds"),
        "memory_bytes": server.get("memory_bytes"),
        "latency_ms": server.get("latency_ms"),
        "max_difference": server.get("max_difference"),
        "problem": server.get("problem"),
    }
