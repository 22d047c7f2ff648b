"""What a run that died left behind: executions that say RUNNING for ever, and outputs that were never published."""

from __future__ import annotations

import glob
import logging
import os
import shutil
from typing import Any

from pipeline.environment import Environment
from pipeline.run_log import RunLog

logger = logging.getLogger(__name__)


def clean(environment: Environment, pipeline_name: str, reason: str) -> list[str]:
    """Marks executions of a pipeline that are still RUNNING as CANCELED and removes their unpublished outputs.

    Call it only while holding `execution.exclusive`: then whoever started them is dead.

    Args:
      environment: where the runs were.
      pipeline_name: only this pipeline's executions are looked at.
      reason: stored with each as the custom property `canceled_because`.

    Returns:
      The ids of the nodes whose executions were canceled.

    Raises:
      IntegrityError, FedtfxError: the log of runs was altered, or cannot be written; nothing is marked then.
    """
    if not os.path.exists(environment.metadata_path):
        return []
    from tfx.orchestration import metadata

    with metadata.Metadata(environment.metadata_connection()) as handle:
        dead = _running(handle.store, pipeline_name)
        _write_down(handle.store, environment.root, pipeline_name, dead, reason)
        return [_cancel(handle.store, environment, pipeline_name, one) for one in dead]


def _running(store: Any, pipeline_name: str) -> list[Any]:
    from ml_metadata.proto import metadata_store_pb2

    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    if pipeline is None:
        return []
    alive = (metadata_store_pb2.Execution.NEW, metadata_store_pb2.Execution.RUNNING)
    return [execution for execution in store.get_executions_by_context(pipeline.id) if execution.last_known_state in alive]


def _write_down(store: Any, root: str, pipeline_name: str, dead: list[Any], reason: str) -> None:
    """Marks the executions, and tells the log of runs before ML Metadata: whoever dies in between is asked again."""
    from ml_metadata.proto import metadata_store_pb2

    runs: dict[str, dict[int, Any]] = {}
    for execution in dead:
        execution.last_known_state = metadata_store_pb2.Execution.CANCELED
        execution.custom_properties["canceled_because"].string_value = reason
        names = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
        events = store.get_events_by_execution_ids([execution.id])
        runs.setdefault(names.get("pipeline_run", ""), {})[execution.id] = (execution, events)
    for run, executions in runs.items():
        RunLog(root, pipeline_name, run).canceled(executions, reason)


def _cancel(store: Any, environment: Environment, pipeline_name: str, execution: Any) -> str:
    from pipeline.execution import node_of

    store.put_executions([execution])
    node_id = node_of(store, execution)
    if not node_id:  # none of TFX's launcher, which alone makes these folders
        return "an unknown node"
    for folder in _outputs(environment.pipeline_root(pipeline_name), node_id, execution.id):
        shutil.rmtree(folder, ignore_errors=True)
    reason = execution.custom_properties["canceled_because"].string_value
    logger.info("execution %d of %s was %s; marked as canceled", execution.id, node_id, reason)
    return node_id


def _outputs(pipeline_root: str, node_id: str, execution_id: int) -> list[str]:
    """TFX's layout: `{node}/{output}/{execution}`, and `{node}/.system/{purpose}/{execution}` for what it keeps for itself."""
    node = glob.escape(os.path.join(pipeline_root, node_id))
    return glob.glob(os.path.join(node, "*", str(execution_id))) + glob.glob(
        os.path.join(node, ".system", "*", str(execution_id))
    )
