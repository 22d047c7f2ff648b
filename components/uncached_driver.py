"""Keeps TFX's cache away from a node, and tells the node which others of this run failed.

A cache hit is about inputs and parameters. What a model server serves now, what a person approved since, and whether a push is
still in place are known elsewhere, so the nodes that depend on these are asked every time.
"""

from __future__ import annotations

import uuid
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2

from errors import IntegrityError

# Execution properties that the driver adds.
EXECUTION_TOKEN = "execution_token"  # string: fresh in every run
FAILED_NODES = "failed_nodes"  # string: ids of this run's nodes that failed, joined with ", "

_FAILED = (metadata_store_pb2.Execution.FAILED, metadata_store_pb2.Execution.CANCELED)


class UncachedDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Adds two execution properties.

    A value of its own for every execution, so that its cache key has never been seen.

    The nodes of this run that failed: TFX goes on after a node whose inputs could not be resolved, and whatever has it for an
    optional input runs without. A gate whose baseline could not be resolved would then bless without comparing.
    """

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        # Component classes accept only the older of the two base classes, the launcher calls only the newer.
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns the execution properties."""
        result = driver_output_pb2.DriverOutput()
        result.exec_properties[EXECUTION_TOKEN].string_value = uuid.uuid4().hex
        with self._mlmd_connection as connection:
            failed = failed_nodes(connection.store, _run_name(execution_info.pipeline_node))
        result.exec_properties[FAILED_NODES].string_value = ", ".join(failed)
        return result


def failed_nodes(store: mlmd.MetadataStore, run_name: str) -> list[str]:
    """Returns the ids of the nodes whose newest execution in a pipeline run failed or was cancelled, sorted.

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
    newest = {_node_id(store, execution): execution.last_known_state for execution in executions}
    return sorted(node for node, state in newest.items() if state in _FAILED)


def _run_name(node: Any) -> str:
    contexts = node.contexts.contexts
    return next(context.name.field_value.string_value for context in contexts if context.type.name == "pipeline_run")


def _node_id(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution) -> str:
    """TFX files an execution under a context of type `node`, named `{pipeline}.{node id}`."""
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    return names["node"].removeprefix(f"{names['pipeline']}.")
