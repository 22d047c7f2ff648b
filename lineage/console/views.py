"""What the page asks of a snapshot: parameters of a query in, what JSON can hold out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException

from lineage.console import drawing, files
from lineage.console.drawing import Wish, kind_of, says
from lineage.console.snapshot import Snapshot
from lineage.graph import CACHED, MODEL, Artifact, Execution
from lineage.jsonable import jsonable
from lineage.questions.facts import is_there

_MOST_USES = 200


def run(snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Any]:
    """A run (`name`): its facts, and its executions with what each took in and put out."""
    graph, name = snapshot.graph, asked.get("name", "")
    found = graph.runs.get(name)
    if found is None:
        raise HTTPException(404, f"expected a run that ML Metadata knows, got {name[:80]!r}")
    executions = graph.of_run(name)
    return {
        **jsonable(found),
        "executions": [_execution(snapshot, one, sides=True) for one in executions],
        "reports": [
            with_files(snapshot, one) for one in {one.id: one for one in graph.outputs_of_run(name)}.values() if files.of(one)
        ],
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
        "created": jsonable(one.created),
        "properties": jsonable(dict(sorted(one.properties.items()))),
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
            raise HTTPException(404, f"expected a run that ML Metadata knows, got {asked['run'][:80]!r}")
        found = drawing.of_run(known, asked["run"], snapshot.live, reports=asked.get("reports") == "1")
        return {"title": f"Run {asked['run']}", **found}
    one = snapshot_artifact(snapshot, {"id": asked.get("artifact", "")})
    wish = Wish(
        up=_steps(asked, "up"),
        down=_steps(asked, "down"),
        cached=asked.get("cached") == "1",
        failed=asked.get("failed", "1") == "1",
        others=asked.get("others") == "1",
        again=asked.get("again") == "1",
        reports=asked.get("reports") == "1",
    )
    return {"title": f"{one.short_type} {one.id}", **drawing.around(known, [one.id], wish, snapshot.live)}


def has_run(snapshot: Snapshot, asked: Mapping[str, str]) -> bool:
    """Whether ML Metadata knows a run (`name`)."""
    return asked["name"] in snapshot.graph.runs


def has_artifact(snapshot: Snapshot, asked: Mapping[str, str]) -> bool:
    """Whether ML Metadata knows an artifact (`id`)."""
    return _known(snapshot, asked["id"]) is not None


def has_model(snapshot: Snapshot, asked: Mapping[str, str]) -> bool:
    """Whether ML Metadata knows an artifact (`id`) that is a model, or tells of one."""
    found = _known(snapshot, asked["id"])
    return found is not None and (found.type == MODEL or snapshot.graph.model_of(found.id) is not None)


def snapshot_artifact(snapshot: Snapshot, asked: Mapping[str, str]) -> Artifact:
    """Returns the artifact that a query's `id` names.

    Raises:
      HTTPException: 404, there is none.
    """
    number = asked.get("id", "")
    found = _known(snapshot, number)
    if found is None:
        raise HTTPException(404, f"expected the id of an artifact that ML Metadata knows, got {number[:40]!r}")
    return found


def _known(snapshot: Snapshot, number: str) -> Artifact | None:
    written = number.isascii() and number.isdecimal() and len(number) < 19
    return snapshot.graph.artifacts.get(int(number)) if written else None


def _once(artifacts: Iterable[Artifact]) -> Iterable[Artifact]:
    return {one.id: one for one in artifacts}.values()


def _steps(asked: Mapping[str, str], name: str) -> int | None:
    given = asked.get(name, "all")
    if given == "all":
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 5):
        raise HTTPException(400, f"{name}: expected a number of steps or all, got {given[:40]!r}")
    return int(given)


def _artifact(snapshot: Snapshot, one: Artifact) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": one.short_type,
        "kind": kind_of(one),
        "state": one.state,
        "says": says(one),
        "live": snapshot.live.get(one.id, ""),
    }


def with_files(snapshot: Snapshot, one: Artifact) -> dict[str, Any]:
    """Returns an artifact with the names of what a browser may have of it, and the run that made it."""
    maker = snapshot.graph.producer(one.id)
    return {"id": one.id, "type": one.short_type, "run": maker.run if maker else "", "files": files.of(one)}


def _execution(snapshot: Snapshot, one: Execution, *, sides: bool = False) -> dict[str, Any]:
    found = {
        "id": one.id,
        "type": one.type,
        "node": one.label,
        "pipeline": one.pipeline,
        "run": one.run,
        "state": one.state,
        "created": jsonable(one.created),
        "seconds": round(one.seconds, 1),
    }
    if sides:
        found["inputs"] = _side(snapshot, snapshot.graph.inputs(one.id))
        found["outputs"] = _side(snapshot, snapshot.graph.outputs(one.id))
        found["properties"] = jsonable(dict(sorted(one.properties.items())))
    return found


def _side(snapshot: Snapshot, side: Mapping[str, list[Artifact]]) -> dict[str, list[dict[str, Any]]]:
    return {key: [_artifact(snapshot, one) for one in artifacts] for key, artifacts in side.items()}
