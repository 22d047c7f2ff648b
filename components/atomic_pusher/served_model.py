"""Which model is served now: the baseline that a new one must beat."""

from __future__ import annotations

import os

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common import resolver
from tfx.orchestration.portable.mlmd import event_lib, execution_lib
from tfx.types import artifact
from tfx.utils import path_utils

from components.atomic_pusher import spec
from errors import IntegrityError
from serving import layout

MODEL = "model"
PUSHED_MODEL = "pushed_model"

_Artifacts = dict[str, list[artifact.Artifact]]


class ServedModelStrategy(resolver.ResolverStrategy):
    """Resolves the Model whose bytes the serving directory serves, as that directory tells, not as the last run hoped.

        tfx.dsl.Resolver(
            strategy_class=ServedModelStrategy,
            config={"model_dir": "...", "candidate_node": "FederatedTrainer"},
            model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
            pushed_model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.PushedModel),
        ).with_id("ServedModel")

    If the served model is the very one that this run judges, the model served before it is resolved: a rerun with nothing new
    then has the inputs of the first run and is answered from the cache, and no model is ever compared with itself. The node
    must run after the candidate's, which `add_upstream_node` sees to.

    No baseline (both lists empty) is what comes out of an empty serving directory, of a served version that ML Metadata does
    not know, and of one whose Model is gone; all but the first with a warning in the log.

    TFX records an error in here as a FAILED node and goes on without a baseline; the Pusher's driver then sees to it that
    nothing is pushed.

    Args:
      model_dir: the directory that the Pusher pushes to.
      candidate_node: id of the node whose newest `Model` output is the model under test.
    """

    def __init__(self, model_dir: str, candidate_node: str) -> None:
        self._model_dir = model_dir
        self._candidate_node = candidate_node

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: _Artifacts) -> _Artifacts:
        """Returns one Model and the PushedModel that tells of it, or two empty lists.

        Raises:
          IntegrityError: the baseline's bytes are not the ones that were pushed.
        """
        models = {model.id: model for model in input_dict[MODEL]}
        pushes = [push for push in input_dict[PUSHED_MODEL] if push.get_int_custom_property(spec.PUSHED) == 1]
        pushes.sort(key=lambda push: push.id, reverse=True)
        baseline = self._baseline(pushes, models, candidate_id(store, models, self._candidate_node))
        if baseline is None:
            return {MODEL: [], PUSHED_MODEL: []}
        model = models[_model_id(baseline)]
        _check_bytes(model, baseline)
        logging.info("Baseline: model %d, pushed as version %s", model.id, baseline.get_string_custom_property(spec.VERSION))
        return {MODEL: [model], PUSHED_MODEL: [baseline]}

    def _baseline(
        self, pushes: list[artifact.Artifact], models: dict[int, artifact.Artifact], candidate: int | None
    ) -> artifact.Artifact | None:
        served = self._served(pushes)
        if served is None:
            return None
        if _model_id(served) != candidate:
            if _is_there(served, models):
                return served
            logging.warning("No baseline: model %d is served, but its artifact is gone", _model_id(served))
            return None
        earlier = (push for push in pushes if push.id < served.id and _model_id(push) != candidate)
        return next((push for push in earlier if _is_there(push, models)), None)

    def _served(self, pushes: list[artifact.Artifact]) -> artifact.Artifact | None:
        version = layout.live_version(self._model_dir)
        if version is None:
            if pushes:
                logging.warning("No baseline: %d pushes are recorded, but %s is empty", len(pushes), self._model_dir)
            return None
        path = os.path.join(self._model_dir, str(version))
        same_version = (push for push in pushes if push.get_string_custom_property(spec.VERSION) == str(version))
        served = next((push for push in same_version if layout.holds(path, _digest(push))), None)
        if served is None:
            logging.warning("No baseline: ML Metadata does not know version %d as it lies in %s", version, path)
        return served


def candidate_id(store: mlmd.MetadataStore, models: dict[int, artifact.Artifact], node_id: str) -> int | None:
    """Returns the id of the Model that the newest successful execution of a node put out, new or from the cache.

    Args:
      store: ML Metadata.
      models: the pipeline's Model artifacts, by id; another pipeline's node of the same name made none of them.
      node_id: the node's id.
    """
    outputs = {
        event.execution_id: event.artifact_id
        for event in store.get_events_by_artifact_ids(list(models))
        if event_lib.is_valid_output_event(event)
    }
    for execution in sorted(store.get_executions_by_id(list(outputs)), key=lambda e: e.id, reverse=True):
        if execution_lib.is_execution_successful(execution) and _is_of_node(store, execution, node_id):
            return outputs[execution.id]
    return None


def _is_of_node(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution, node_id: str) -> bool:
    """TFX files an execution under a context of type `node`, named `{pipeline}.{node id}`."""
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    return names.get("node") == f"{names.get('pipeline')}.{node_id}"


def _model_id(push: artifact.Artifact) -> int:
    return push.get_int_custom_property(spec.MODEL_ID)


def _is_there(push: artifact.Artifact, models: dict[int, artifact.Artifact]) -> bool:
    model = models.get(_model_id(push))
    return model is not None and os.path.isdir(path_utils.serving_model_path(model.uri))


def _digest(push: artifact.Artifact) -> str:
    return push.get_string_custom_property(spec.DIGEST)


def _check_bytes(model: artifact.Artifact, push: artifact.Artifact) -> None:
    path = path_utils.serving_model_path(model.uri)
    if not layout.holds(path, _digest(push)):
        raise IntegrityError(
            f"baseline model {model.id} at {path} was altered after its push: expected digest {_digest(push)}, got another; "
            "restore it from the serving directory."
        )
