"""From an ML Metadata store to a Graph: all of it, or what is up or down from some artifacts, in few calls of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from lineage.graph import COMPLETE, Artifact, Execution, Graph, Run, Use, Value

_INPUT, _OUTPUT = "input", "output"
_PAGE = 100
"""ML Metadata follows no more starting points than this in one call, and does not say that it left some out."""
_LAST = 253_402_300_799_000
"""The end of the year 9999, in ms."""
_IDS = 500
"""Ids in one call: a service refuses messages above 4 MB, and databases long lists."""


def everything(store: Any) -> Graph:
    """Returns all that the store knows."""
    executions = store.get_executions()
    events = in_chunks(store.get_events_by_execution_ids, [execution.id for execution in executions])
    return _graph(store, store.get_artifacts(), executions, events)


def upstream(store: Any, artifacts: Iterable[int]) -> Graph:
    """Returns these artifacts, what they were made from, and who made it; of who took it from the cache nothing."""
    return _walk(store, artifacts, _makers)


def downstream(store: Any, artifacts: Iterable[int]) -> Graph:
    """Returns these artifacts, what was made from them, and all executions that had any of it for an input."""
    return _walk(store, artifacts, _users)


def joined(*graphs: Graph) -> Graph:
    """Returns one graph of what several hold."""
    return Graph(
        {number: artifact for graph in graphs for number, artifact in graph.artifacts.items()},
        {number: execution for graph in graphs for number, execution in graph.executions.items()},
        tuple(dict.fromkeys(use for graph in graphs for use in graph.uses)),
        {name: run for graph in graphs for name, run in graph.runs.items()},
    )


def runs(store: Any) -> list[Run]:
    """Returns all runs, oldest first."""
    return [_run(context, "") for context in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda one: one.id)]


def pipelines(store: Any) -> list[str]:
    """Returns the names of all pipelines, sorted."""
    return sorted(context.name for context in store.get_contexts_by_type("pipeline"))


def of_type(store: Any, *types: str) -> list[Artifact]:
    """Returns the artifacts of these types, oldest first; a type that the store does not know has none."""
    found = [artifact for name in types for artifact in _artifacts_of_type(store, name)]
    return sorted(map(_artifact, found), key=lambda artifact: artifact.id)


def by_id(store: Any, ids: Iterable[int]) -> list[Artifact]:
    """Returns these artifacts; ids that the store does not know are left out."""
    return [_artifact(one) for one in in_chunks(store.get_artifacts_by_id, sorted(set(ids)))]


def at(store: Any, uri: str) -> list[Artifact]:
    """Returns the artifacts whose directory is this, oldest first."""
    return sorted(map(_artifact, store.get_artifacts_by_uri(uri)), key=lambda artifact: artifact.id)


def with_digest(store: Any, begins: str) -> list[Artifact]:
    """Returns the artifacts whose recorded digest begins with these hex digits, oldest first."""
    from ml_metadata.metadata_store import ListOptions

    query = f"custom_properties.digest.string_value LIKE '{begins}%'"
    return sorted(map(_artifact, store.get_artifacts(ListOptions(filter_query=query))), key=lambda artifact: artifact.id)


def of_runs(store: Any, names: Iterable[str]) -> Graph:
    """Returns what was executed in these runs, with all inputs and outputs; of a name that no run has nothing."""
    contexts = [store.get_context_by_type_and_name("pipeline_run", name) for name in dict.fromkeys(names)]
    found = [one for context in contexts if context is not None for one in store.get_executions_by_context(context.id)]
    return _beside(store, found)


def makers(store: Any, artifacts: Iterable[int]) -> Graph:
    """Returns the executions that made these artifacts, with all that they took in and put out; no step further."""
    return _beside(store, _makers(store, sorted(set(artifacts)))[0])


def users(store: Any, artifacts: Iterable[int], *keys: str) -> Graph:
    """Returns the executions that had any of these for an input, with all that they took in and put out; no step further.

    Args:
      keys: of the input, such as `model`; any if there is none.
    """
    events = in_chunks(store.get_events_by_artifact_ids, sorted(set(artifacts)))
    wanted = {event.execution_id for event in events if _kind(event) == "input" and (not keys or _use(event).key in keys)}
    return _beside(store, in_chunks(store.get_executions_by_id, sorted(wanted)))


def publishers(store: Any, artifacts: Iterable[int]) -> set[int]:
    """Returns all executions that have any of these for an output, in whichever state they are."""
    events = in_chunks(store.get_events_by_artifact_ids, sorted(set(artifacts)))
    return {event.execution_id for event in events if is_output(event)}


def _beside(store: Any, executions: Sequence[Any]) -> Graph:
    """These executions, and the artifacts next to them."""
    events = in_chunks(store.get_events_by_execution_ids, [one.id for one in executions])
    artifacts = in_chunks(store.get_artifacts_by_id, sorted({event.artifact_id for event in events}))
    return _graph(store, artifacts, executions, events)


def _artifacts_of_type(store: Any, name: str) -> Sequence[Any]:
    from ml_metadata import errors

    try:
        return store.get_artifacts_by_type(name)
    except errors.NotFoundError:
        return ()


def _walk(store: Any, start: Iterable[int], step: Callable[[Any, Sequence[int]], tuple[list[Any], str]]) -> Graph:
    """Step by step away from `start`; `step` gives the executions next to some artifacts, and on which side to go on."""
    ahead, reached = sorted(set(start)), set(start)
    executions: dict[int, Any] = {}
    events: list[Any] = []
    while ahead:
        beside, side = step(store, ahead)
        new = {one.id: one for one in beside if one.id not in executions}
        executions |= new
        fresh = in_chunks(store.get_events_by_execution_ids, list(new))
        events += fresh
        done = {number for number, one in new.items() if _state(one) == COMPLETE}
        beyond = {event.artifact_id for event in fresh if _kind(event) == side and event.execution_id in done}
        ahead = sorted(beyond - reached)
        reached.update(ahead)
    artifacts = sorted(reached | {event.artifact_id for event in events})
    return _graph(store, in_chunks(store.get_artifacts_by_id, artifacts), executions.values(), events)


def _makers(store: Any, artifacts: Sequence[int]) -> tuple[list[Any], str]:
    """The execution that made each: the first COMPLETE one of those that have it for an output. Their inputs are next."""
    published: dict[int, set[int]] = {}
    for event in in_chunks(store.get_events_by_artifact_ids, artifacts):
        if is_output(event):
            published.setdefault(event.artifact_id, set()).add(event.execution_id)
    firsts = _complete(store, {min(executions) for executions in published.values()})
    rest = [executions for executions in published.values() if min(executions) not in firsts]
    others = _complete(store, set().union(*rest))
    late = {min(executions & others.keys()) for executions in rest if executions & others.keys()}
    return [*firsts.values(), *(others[number] for number in late)], _INPUT


def _complete(store: Any, executions: Iterable[int]) -> dict[int, Any]:
    loaded = in_chunks(store.get_executions_by_id, sorted(executions))
    return {execution.id: execution for execution in loaded if _state(execution) == COMPLETE}


def _users(store: Any, artifacts: Sequence[int]) -> tuple[list[Any], str]:
    """All executions that have any of them for an input. Their outputs are next."""
    events = in_chunks(store.get_events_by_artifact_ids, artifacts)
    users = sorted({event.execution_id for event in events if _kind(event) == _INPUT})
    return in_chunks(store.get_executions_by_id, users), _OUTPUT


def _graph(store: Any, artifacts: Iterable[Any], executions: Iterable[Any], events: Iterable[Any]) -> Graph:
    executions = list(executions)
    filed = _filed(store, [execution.id for execution in executions])
    runs: dict[str, Run] = {}
    for contexts in filed.values():
        if "pipeline_run" in contexts and contexts["pipeline_run"].name not in runs:
            pipeline = contexts["pipeline"].name if "pipeline" in contexts else ""
            runs[contexts["pipeline_run"].name] = _run(contexts["pipeline_run"], pipeline)
    return Graph(
        {one.id: _artifact(one) for one in artifacts},
        {one.id: _execution(one, filed.get(one.id, {})) for one in executions},
        tuple(_use(event) for event in events if _kind(event)),
        runs,
    )


def _filed(store: Any, executions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Execution -> type of context -> context."""
    found = contexts_of(store, executions)
    return {number: {context.type: context for context in contexts} for number, contexts in found.items()}


def contexts_of(store: Any, executions: Sequence[int]) -> dict[int, list[Any]]:
    """Returns execution -> the ml_metadata Contexts that it is filed under."""
    from ml_metadata.proto import metadata_store_pb2

    filed: dict[int, list[Any]] = {number: [] for number in executions}
    for page in _pages(executions, _PAGE):
        options = metadata_store_pb2.LineageSubgraphQueryOptions(max_num_hops=0)
        options.starting_executions.filter_query = f"id IN ({', '.join(map(str, page))})"
        part = store.get_lineage_subgraph(options, ["contexts", "associations"])
        contexts = {context.id: context for context in part.contexts}
        for association in part.associations:
            if association.execution_id in filed:
                filed[association.execution_id].append(contexts[association.context_id])
    return filed


def _artifact(one: Any) -> Artifact:
    return Artifact(
        one.id,
        one.type,
        one.uri,
        type(one).State.Name(one.state).lower(),
        one.name,
        values(one),
        _time(one.create_time_since_epoch),
    )


def _execution(one: Any, contexts: dict[str, Any]) -> Execution:
    pipeline = contexts["pipeline"].name if "pipeline" in contexts else ""
    node = contexts["node"].name if "node" in contexts else ""
    return Execution(
        one.id,
        one.type,
        node.removeprefix(f"{pipeline}."),
        pipeline,
        contexts["pipeline_run"].name if "pipeline_run" in contexts else "",
        _state(one),
        values(one),
        _time(one.create_time_since_epoch),
        _time(one.last_update_time_since_epoch),
    )


def _run(context: Any, pipeline: str) -> Run:
    return Run(context.id, context.name, pipeline, values(context), _time(context.create_time_since_epoch))


def _use(event: Any) -> Use:
    keys = [step.key for step in event.path.steps if step.WhichOneof("value") == "key"]
    places = [step.index for step in event.path.steps if step.WhichOneof("value") == "index"]
    time = _time(event.milliseconds_since_epoch)
    return Use(event.execution_id, event.artifact_id, "".join(keys[:1]), sum(places[:1]), is_output(event), time)


def _kind(event: Any) -> str:
    """`input`, `output`, or nothing for what is neither: a Resolver's finds are events of a kind of their own."""
    name = type(event).Type.Name(event.type).lower().removeprefix("declared_")
    return name if name in (_INPUT, _OUTPUT) else ""


def is_output(event: Any) -> bool:
    """Whether an ml_metadata Event says that the execution made the artifact."""
    return _kind(event) == _OUTPUT


def _state(execution: Any) -> str:
    return str(type(execution).State.Name(execution.last_known_state).lower())


def values(one: Any) -> dict[str, Value]:
    """Returns properties and custom properties of an ML Metadata artifact, execution or context as plain values."""
    from google.protobuf import json_format

    found: dict[str, Value] = {}
    for properties in (one.properties, one.custom_properties):
        for name, value in properties.items():
            kind = value.WhichOneof("value")
            if kind in ("int_value", "double_value", "string_value", "bool_value"):
                found[name] = getattr(value, kind)
            elif kind == "struct_value":  # such as stock ExampleValidator's word on each split
                found[name] = json_format.MessageToJson(value.struct_value, indent=None, sort_keys=True)
            elif kind is not None:  # a proto, which nobody writes so far
                found[name] = str(getattr(value, kind))
    return found


def _time(milliseconds: int) -> datetime:
    milliseconds = min(max(milliseconds, 0), _LAST)  # edited by hand it may be any
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def in_chunks(ask: Callable[[Sequence[int]], Iterable[Any]], ids: Sequence[int]) -> list[Any]:
    """Returns all that a method of the store answers to ids, asked some at a time."""
    return [one for page in _pages(ids, _IDS) for one in ask(page)]


def _pages(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
