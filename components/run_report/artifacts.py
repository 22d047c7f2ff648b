"""Every artifact with its digest, and the graph of what made what."""

from __future__ import annotations

from typing import Any

from components.run_report.sources import Missing, Sources
from lineage.graph import Artifact, Execution


def digests(sources: Sources) -> dict[str, Any]:
    """All artifacts of the run, in the order in which they were made."""
    nodes = {role: sources.graph.producer(artifact.id) for role, artifact in sources.artifacts.items()}
    rows = [_digest(role, artifact, nodes[role]) for role, artifact in sources.artifacts.items()]
    return {"rows": sorted(rows, key=lambda row: row["id"])}


def _digest(role: str, artifact: Artifact, maker: Execution | None) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "role": role,
        "type": artifact.type,
        "node": maker.node if maker else None,
        "digest": artifact.own_digest or None,
        "uri": artifact.uri,
    }


def lineage(sources: Sources) -> dict[str, Any]:
    """Nodes with what they made and what they took; a node's inputs are ids of artifacts that other nodes made."""
    if not sources.makers:
        raise Missing("ML Metadata was not read")
    ours = {artifact.id for artifact in sources.artifacts.values()}
    return {"nodes": [_node(sources, maker, ours) for maker in sources.makers]}


def _node(sources: Sources, maker: Execution, ours: set[int]) -> dict[str, Any]:
    made = [
        (key, artifact) for key, found in sources.graph.outputs(maker.id).items() for artifact in found if artifact.id in ours
    ]
    taken = {artifact.id for found in sources.graph.inputs(maker.id).values() for artifact in found}
    return {
        "node": maker.node,
        "execution": maker.id,
        "run": maker.run,
        "cached": maker.run != sources.run,
        "seconds": maker.seconds,
        "inputs": sorted(taken & ours),
        "outputs": [
            {"id": artifact.id, "key": key, "type": artifact.type, "digest": artifact.own_digest or None}
            for key, artifact in made
        ],
    }
