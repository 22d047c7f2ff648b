"""Keeps TFX's cache away from the Pusher, and tells the Pusher what became of the run's other nodes."""

from __future__ import annotations

import json
import uuid
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable import data_types
from tfx.orchestration.portable.mlmd import event_lib
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import standard_artifacts

from components.atomic_pusher import spec
from errors import IntegrityError

_FAILED = (metadata_store_pb2.Execution.FAILED, metadata_store_pb2.Execution.CANCELED)


class Driver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Adds three execution properties; `spec.py` has their names.

    A value of its own for every execution, so that its cache key has never been seen: a cache hit is about inputs and
    parameters, but whether the model is in the serving directory is known to that directory alone.

    The nodes of this run that failed: TFX goes on after a node whose inputs could not be resolved, and whatever has it for an
    optional input runs without. A gate whose baseline could not be resolved would then bless without comparing.

    Where this run's evaluations are: TFX's cache looks no further than at a folder's existence, and what a model is pushed for
    must be readable afterwards.
    """

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        # Component classes accept only the older of the two base classes, the launcher calls only the newer.
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns the three execution properties."""
        result = driver_output_pb2.DriverOutput()
        result.exec_properties[spec.PUSH_ID].string_value = uuid.uuid4().hex
        with self._mlmd_connection as connection:
            newest = newest_executions(connection.store, _run_name(execution_info.pipeline_node))
            evaluations = _evaluations(connection.store, newest)
        failed = sorted(node for node, execution in newest.items() if execution.last_known_state in _FAILED)
        result.exec_properties[spec.FAILED_NODES].string_value = ", ".join(failed)
        result.exec_properties[spec.EVALUATIONS].string_value = json.dumps(evaluations, sort_keys=True)
        return result


def newest_executions(store: mlmd.MetadataStore, run_name: str) -> dict[str, metadata_store_pb2.Execution]:
    """Returns node id -> its newest execution in a pipeline run.

    Args:
      store: ML Metadata.
      run_name: the name of the run's context of type `pipeline_run`.

    Raises:
      IntegrityError: there is no such run.
    """
    run = store.get_context_by_type_and_name("pipeline_run", run_name)
    if run is None:
        raise IntegrityError(f"ML Metadata knows no pipeline run {run_name!r}, though it is under way; run again.")
    executions = sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id)
    return {_node_id(store, execution): execution for execution in executions}


def _evaluations(store: mlmd.MetadataStore, newest: dict[str, metadata_store_pb2.Execution]) -> dict[str, str]:
    """Node id -> uri of the ModelEvaluation it put out, whether it ran or was answered from the cache."""
    nodes = {execution.id: node for node, execution in newest.items()}
    outputs = [event for event in store.get_events_by_execution_ids(list(nodes)) if event_lib.is_valid_output_event(event)]
    found = {output.id: output for output in store.get_artifacts_by_id([event.artifact_id for event in outputs])}
    uris = [(nodes[event.execution_id], found[event.artifact_id]) for event in outputs]
    return {node: output.uri for node, output in uris if output.type == standard_artifacts.ModelEvaluation.TYPE_NAME}


def _run_name(node: Any) -> str:
    contexts = node.contexts.contexts
    return next(context.name.field_value.string_value for context in contexts if context.type.name == "pipeline_run")


def _node_id(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution) -> str:
    """TFX files an execution under a context of type `node`, named `{pipeline}.{node id}`."""
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    return names["node"].removeprefix(f"{names['pipeline']}.")
