"""What the page asks of a snapshot: parameters of a query in, what JSON can hold out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException

from lineage.console import drawing, files
from lineage.console.drawing import Wish, kind_of, says, short
from lineage.console.snapshot import Snapshot
from lineage.graph import CACHED, Artifact, Execution
from lineage.questions.facts import is_there
from lineage.questions.plain import plain

_MOST_USES = 200


def run(snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Any]:
    """A run (`name`): its facts, and its executions with what each took in and put out."""
    graph, name = snapshot.graph, asked.get("name", "")
    found = graph.runs.get(name)
    if found is None:
        raise HTTPException(404, f"expected a run that ML Metadata knows, got {name!r}")
    executions = graph.of_run(name)
    return {
        **plain(found),
        "executions": [_execution(snapshot, one, sides=True) for one in executions],
        "reports": [with_files(one) for one in _put_out(snapshot, executions) if files.of(one)],
    }


def artifact(snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Any]:
    """An artifact (`id`): its properties, who made it from what, and who used it for what."""
    graph, one = snapshot.graph, snapshot_artifact(snapshot, asked)
    maker, users = graph.producer(one.id), graph.users(one.id)
    cached = [execution for execution in graph.publications(one.id) if execution.state == CACHED]
    return {
        **_artifact(snapshot, one),
        "full_type": one.type,
        "uri": one.uri,
        "there": is_there(one.uri),
        "digest": one.digest,
        "created": plain(one.created),
        "properties": plain(dict(sorted(one.properties.items()))),
        "files": files.of(one),
        "maker": _execution(snapshot, maker, sides=True) if maker else None,
        "cached": [_execution(snapshot, execution) for execution in cached[:_MOST_USES]],
        "cached_in_all": len(cached),
        "users": [_execution(snapshot, execution, sides=True) for execution in users[:_MOST_USES]],
        "users_in_all": len(users),
    }


def graph(snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Any]:
    """Nodes and edges of a run (`run`), or around an artifact (`artifact`) as far as `up` and `down` say."""
    known = snapshot.graph
    if asked.get("run"):
        if asked["run"] not in known.runs:
            raise HTTPException(404, f"expected a run that ML Metadata knows, got {asked['run']!r}")
        return {"title": f"Run {asked['run']}", **drawing.of_run(known, asked["run"], snapshot.live)}
    one = snapshot_artifact(snapshot, {"id": asked.get("artifact", "")})
    wish = Wish(
        up=_steps(asked, "up"),
        down=_steps(asked, "down"),
        cached=asked.get("cached") == "1",
        failed=asked.get("failed", "1") == "1",
        others=asked.get("others") == "1",
    )
    return {"title": f"{short(one.type)} {one.id}", **drawing.around(known, [one.id], wish, snapshot.live)}


def snapshot_artifact(snapshot: Snapshot, asked: Mapping[str, str]) -> Artifact:
    """Returns the artifact that a query's `id` names.

    Raises:
      HTTPException: 404, there is none.
    """
    number = asked.get("id", "")
    found = snapshot.graph.artifacts.get(int(number)) if number.isascii() and number.isdecimal() and len(number) < 19 else None
    if found is None:
        raise HTTPException(404, f"expected the id of an artifact that ML Metadata knows, got {number[:40]!r}")
    return found


def _steps(asked: Mapping[str, str], name: str) -> int | None:
    given = asked.get(name, "all")
    if given == "all":
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 5):
        raise HTTPException(400, f"{name}: expected a number of steps or all, got {given[:40]!r}")
    return int(given)


def _put_out(snapshot: Snapshot, executions: list[Execution]) -> list[Artifact]:
    found = [one for execution in executions for side in snapshot.graph.outputs(execution.id).values() for one in side]
    return list({one.id: one for one in found}.values())


def _artifact(snapshot: Snapshot, one: Artifact) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": short(one.type),
        "kind": kind_of(one),
        "state": one.state,
        "says": says(one),
        "live": snapshot.live.get(one.id, ""),
    }


def with_files(one: Artifact) -> dict[str, Any]:
    """Returns an artifact with the names of what a browser may have of it."""
    return {"id": one.id, "type": short(one.type), "files": files.of(one)}


def _execution(snapshot: Snapshot, one: Execution, *, sides: bool = False) -> dict[str, Any]:
    found = {
        "id": one.id,
        "type": one.type,
        "node": one.node or short(one.type),
        "pipeline": one.pipeline,
        "run": one.run,
        "state": one.state,
        "created": plain(one.created),
        "seconds": round((one.updated - one.created).total_seconds(), 1),
    }
    if sides:
        found["inputs"] = _side(snapshot, snapshot.graph.inputs(one.id))
        found["outputs"] = _side(snapshot, snapshot.graph.outputs(one.id))
        found["properties"] = plain(dict(sorted(one.properties.items())))
    return found


def _side(snapshot: Snapshot, side: Mapping[str, list[Artifact]]) -> dict[str, list[dict[str, Any]]]:
    return {key: [_artifact(snapshot, one) for one in artifacts] for key, artifacts in side.items()}
