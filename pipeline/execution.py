"""Runs a DAG on this machine, node by node, and believes ML Metadata rather than the absence of an exception."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from errors import ConfigError, FedtfxError
from lineage import locking
from lineage.retention import settling
from pipeline import published
from pipeline.environment import Environment
from pipeline.run_log import RunLog
from pipeline.strict_yaml import guess

COMPLETE, CACHED, FAILED, CANCELED = "complete", "cached", "failed", "canceled"


@dataclass(frozen=True)
class NodeResult:
    """How a node of a run ended: `state` is one of complete, cached, failed, canceled; `execution_id` is ML Metadata's."""

    id: str
    state: str
    seconds: float
    execution_id: int | None


class Watcher(Protocol):
    """Is told what happens while it happens."""

    def started(self, node_id: str) -> None:
        """A node begins."""

    def ended(self, result: NodeResult) -> None:
        """A node ended, in whichever state."""


class NodeFailed(FedtfxError):
    """A node did not complete. `cause` is what it raised; a node that TFX failed by itself has what TFX noted as `recorded`."""

    def __init__(self, node_id: str, cause: BaseException | None, recorded: str = "") -> None:
        super().__init__(f"{node_id} failed" if cause else f"{node_id} did not complete")
        self.node_id = node_id
        self.cause = cause
        self.recorded = recorded


def run(
    dag: Any,
    environment: Environment,
    run_id: str,
    watcher: Watcher,
    *,
    facts: Mapping[str, str | int],
    again_from: str | None = None,
) -> list[NodeResult]:
    """Runs every node of `dag` in topological order.

    Args:
      dag: what dag.create_pipeline returned.
      environment: where.
      run_id: name of the run in ML Metadata.
      watcher: told of every node.
      facts: recorded as custom properties of the run's context.
      again_from: this node and all that depends on it are executed again, whatever the cache holds.

    Returns:
      A result per node, in the order they ran.

    Raises:
      ConfigError: there is no node `again_from`; nothing has been run.
      IntegrityError, FedtfxError: the log of runs was altered, or cannot be written; if so from the start, nothing was run.
      NodeFailed: a node raised, or ended without having completed, or what it took from the cache is not what was published.
        No further node is run.
    """
    ir = _compile(dag, run_id)
    if again_from:
        _ignore_cache(ir, again_from)
    connection = environment.metadata_connection()
    log = RunLog.of(environment, dag.pipeline_info.pipeline_name, run_id)
    log.started(facts)
    _record_run(ir, connection, facts)
    return [_run_node(ir, node.pipeline_node, connection, log, watcher) for node in ir.nodes]


def _compile(dag: Any, run_id: str) -> Any:
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration.portable import runtime_parameter_utils

    ir = compiler.Compiler().compile(dag)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return ir


def _ignore_cache(ir: Any, first: str) -> None:
    known = [node.pipeline_node.node_info.id for node in ir.nodes]
    if first not in known:
        raise ConfigError(f"--from: no node {first!r}{guess(first, known) or ';'} known: {', '.join(known)}")
    again = {first}
    for node in (node.pipeline_node for node in ir.nodes):  # in topological order
        if node.node_info.id in again or again.intersection(node.upstream_nodes):
            again.add(node.node_info.id)
            node.execution_options.caching_options.enable_cache = False


def _record_run(ir: Any, connection: Any, facts: Mapping[str, str | int]) -> None:
    from tfx.orchestration import metadata
    from tfx.orchestration.portable.mlmd import context_lib

    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    with metadata.Metadata(connection) as handle:
        contexts = context_lib.prepare_contexts(handle, ir.nodes[0].pipeline_node.contexts)
        run = next(context for context in contexts if context.name == run_id)
        for key, value in facts.items():
            field = "int_value" if isinstance(value, int) else "string_value"
            setattr(run.custom_properties[key], field, value)
        handle.store.put_contexts([run])


def _run_node(ir: Any, node: Any, connection: Any, log: RunLog, watcher: Watcher) -> NodeResult:
    node_id = node.node_info.id
    watcher.started(node_id)
    started = time.monotonic()
    cause: BaseException | None = None
    try:
        _launch(ir, node, connection)
    except Exception as error:  # whatever a component raises; reported with the node's name, kept as the cause
        cause = error
    state, execution_id, recorded = _state(connection, log, node_id)
    if cause is None and state == CACHED and execution_id is not None:
        cause = published.alteration(connection, node_id, execution_id)
    succeeded = cause is None and state in (COMPLETE, CACHED)
    result = NodeResult(node_id, state if succeeded else FAILED, time.monotonic() - started, execution_id)
    watcher.ended(result)
    if not succeeded:
        raise NodeFailed(node_id, cause, recorded) from cause
    return result


def _launch(ir: Any, node: Any, connection: Any) -> None:
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher

    deployment = runner_utils.extract_local_deployment_config(ir)
    launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node.node_info.id),
    ).launch()


def _state(connection: Any, log: RunLog, node_id: str) -> tuple[str, int | None, str]:
    """State, id and recorded error of a node's newest execution in this run, from ML Metadata; `canceled` if there is none.

    The log of runs is told of it.
    """
    from ml_metadata.proto import metadata_store_pb2
    from tfx.orchestration import metadata
    from tfx.orchestration.portable.mlmd import execution_lib

    with metadata.Metadata(connection) as handle:
        found = executions_of_run(handle.store, log.run).get(node_id)
        if found is None:
            return CANCELED, None, ""
        log.node(handle.store, node_id, found.id)
    noted = execution_lib.get_execution_result(found, ignore_parse_errors=True)
    state = metadata_store_pb2.Execution.State.Name(found.last_known_state).lower()
    return state, found.id, noted.result_message if noted else ""


def executions_of_run(store: Any, run_id: str) -> dict[str, Any]:
    """Returns node id -> its newest execution in the run `run_id`."""
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    if run is None:
        return {}
    executions = sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id)
    return {node_of(store, execution): execution for execution in executions}


def node_of(store: Any, execution: Any) -> str:
    """The id of the node an execution belongs to: its `node` context is named `{pipeline}.{node id}`."""
    nodes = [context.name for context in store.get_contexts_by_execution(execution.id) if context.type == "node"]
    return nodes[0].split(".", 1)[1] if nodes else ""


@contextlib.contextmanager
def exclusive(environment: Environment) -> Iterator[None]:
    """Holds the root for one run at a time; the kernel lets go of the lock when the holder dies, however it dies.

    What a gc that was killed left is completed or taken back first: TFX's cache does not look whether a directory is there.

    Raises:
      ConfigError: the root cannot be made or written to.
      BusyError: another run holds it, or what removes artifacts.
      IntegrityError, FedtfxError: what a gc left cannot be completed, see `settling.settle`.
    """
    root = environment.root
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(root, exist_ok=True)
            stack.enter_context(locking.exclusive(root))
            settling.settle(root, environment.metadata_path)
        except OSError as error:
            raise ConfigError(f"--pipeline-root: cannot write to {root} ({error.strerror}); give another folder.") from None
        yield
