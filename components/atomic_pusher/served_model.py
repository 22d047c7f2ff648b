"""Which model is served now: the baseline that a new one must beat."""

from __future__ import annotations

import os
import shlex

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common import resolver
from tfx.orchestration.portable.mlmd import event_lib, execution_lib
from tfx.types import artifact
from tfx.utils import path_utils

from components.atomic_pusher import spec
from errors import IntegrityError
from lineage.digests import tree_digest
from serving import layout

MODEL = "model"
PUSHED_MODEL = "pushed_model"

_Artifacts = dict[str, list[artifact.Artifact]]
_Models = dict[int, artifact.Artifact]
_Baseline = tuple[artifact.Artifact, list[artifact.Artifact]]  # a Model, and the PushedModel that tells of it


class ServedModelStrategy(resolver.ResolverStrategy):
    """Resolves the Model whose bytes the serving directory serves, as that directory tells, not as the last run hoped.

        tfx.dsl.Resolver(
            strategy_class=ServedModelStrategy,
            config={"model_dir": "...", "candidate_node": "FederatedTrainer", "comparison_required": True},
            model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
            pushed_model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.PushedModel),
        ).with_id("ServedModel")

    If the served model is the very one that this run judges, the model served before it is resolved: a rerun with nothing new
    then has the inputs of the first run and is answered from the cache, and no model is ever compared with itself. The node
    must run after the candidate's, which `add_upstream_node` sees to.

    No baseline (both lists empty) is what comes out of a serving directory from which nothing was ever served, and of a
    candidate that is served already with none before it left. Another served model that cannot be resolved, or one that should
    be served and is gone from the disk, is an error where a comparison is required: the Evaluator drops its bounds on changes
    when it gets no baseline, so the model would pass unchecked. Elsewhere it is a warning in the log and no baseline.

    TFX records an error in here as a FAILED node and may go on without a baseline; the Pusher's driver then sees to it that
    nothing is pushed.

    Args:
      model_dir: the directory that the Pusher pushes to.
      candidate_node: id of the node whose newest `Model` output is the model under test.
      comparison_required: whether the gate bounds the change from the served model.
    """

    def __init__(self, model_dir: str, candidate_node: str, comparison_required: bool) -> None:
        self._model_dir = model_dir
        self._candidate_node = candidate_node
        self._comparison_required = comparison_required

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: _Artifacts) -> _Artifacts:
        """Returns one Model and the PushedModel that tells of it, or two empty lists.

        A Model that is served though no PushedModel tells of it comes alone: its Pusher put it there and then failed, as it
        does when a model server does not come to answer with it.

        Raises:
          IntegrityError: a comparison is required, and the served model is another one than the candidate, and unknown, gone
            or altered.
        """
        models = {model.id: model for model in input_dict[MODEL]}
        pushes = [push for push in input_dict[PUSHED_MODEL] if push.get_int_custom_property(spec.PUSHED) == 1]
        pushes.sort(key=lambda push: push.id, reverse=True)
        baseline = self._baseline(pushes, models, candidate_id(store, models, self._candidate_node))
        if baseline is None:
            return {MODEL: [], PUSHED_MODEL: []}
        model, pushed = baseline
        logging.info(
            "Baseline: model %d, pushed as version %s", model.id, ", ".join(str(_version(push)) for push in pushed) or "?"
        )
        return {MODEL: [model], PUSHED_MODEL: pushed}

    def _baseline(self, pushes: list[artifact.Artifact], models: _Models, candidate: int | None) -> _Baseline | None:
        version = self._live_version(pushes)
        if version is None:
            return self._without_a_live_one(pushes, models, candidate)
        path = os.path.join(self._model_dir, str(version))
        of_version = [push for push in pushes if _version(push) == version]
        served = next((push for push in of_version if layout.holds(path, _digest(push))), None)
        if served is not None and _model_id(served) == candidate:
            return _predecessor([push for push in pushes if push.id < served.id], models, candidate)
        obstacle = _obstacle(path, served, models, known=bool(of_version))
        if served is not None and obstacle is None:
            return models[_model_id(served)], [served]
        if candidate is not None and _has_bytes_of(path, models[candidate]):
            return _predecessor(pushes, models, candidate)
        newest_first = sorted(models.values(), key=lambda model: model.id, reverse=True)
        if not of_version and (unrecorded := next((model for model in newest_first if _has_bytes_of(path, model)), None)):
            return unrecorded, []
        if obstacle is not None:
            self._go_without(version, *obstacle)
        return None

    def _without_a_live_one(self, pushes: list[artifact.Artifact], models: _Models, candidate: int | None) -> _Baseline | None:
        """Nothing was ever served; or what should be is gone from the disk, and a server may well have it in memory still."""
        lost = layout.lost_version(self._model_dir)
        if lost is None:
            if pushes:
                logging.warning("No baseline: %d pushes are recorded, but nothing is served: %s", len(pushes), self._model_dir)
            return None
        version, digest = lost
        if candidate is not None and digest and _model_digest(models[candidate]) == digest:
            return _predecessor(pushes, models, candidate)
        path = os.path.join(self._model_dir, str(version))
        remedy = f"restore {path}, or serve an earlier version with `python -m serving rollback`"
        self._go_without(version, "its directory is gone", remedy)
        return None

    def _live_version(self, pushes: list[artifact.Artifact]) -> int | None:
        """What is served of what is complete, or was when it was pushed: a version without its `saved_model.pb` is damaged."""
        pushed = (version for version in map(_version, pushes) if os.path.isdir(os.path.join(self._model_dir, str(version))))
        return layout.highest_served(self._model_dir, {*layout.versions(self._model_dir), *pushed})

    def _go_without(self, version: int, reason: str, remedy: str) -> None:
        if not self._comparison_required:
            logging.warning("No baseline: version %d in %s is served, but %s", version, self._model_dir, reason)
            return
        raise IntegrityError(
            f"version {version} in {self._model_dir} is served, but the new model cannot be compared with it: {reason}; "
            f"{remedy}, or accept one model without comparison: --set gate.change={{}}, and no such bound on slices or clients."
        )


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


def _predecessor(pushes: list[artifact.Artifact], models: _Models, candidate: int) -> _Baseline | None:
    """The newest push of another model that is still there as it was pushed."""
    same = _model_digest(models[candidate])
    others = (push for push in pushes if _model_id(push) != candidate and _digest(push) != same)
    found = next((push for push in others if _damage(push, models) is None), None)
    if found is None:
        logging.warning("No baseline: the served model is the one under test, and no model served before it is left")
        return None
    return models[_model_id(found)], [found]


def _obstacle(path: str, served: artifact.Artifact | None, models: _Models, known: bool) -> tuple[str, str] | None:
    """Why the model served from `path` cannot be compared with, and what to do about it; None if it can be."""
    if served is None and known:
        return "its files were altered after the push", f"restore {path}"
    if served is None or _model_id(served) not in models:
        return "this ML Metadata does not know it", "give the --pipeline-root that it was pushed from"
    damage = _damage(served, models)
    if damage is None:
        return None
    export = _export(models[_model_id(served)])
    target = shlex.quote(export)
    clear = f"rm -r {target} && " if os.path.isdir(export) else ""
    return damage, f"restore it with `{clear}mkdir -p {target} && cp -r {shlex.quote(path)}/. {target}`"


def _damage(push: artifact.Artifact, models: _Models) -> str | None:
    """What has become of a pushed Model in the pipeline's root; None if it has the bytes that were pushed."""
    model = models.get(_model_id(push))
    if model is None or not os.path.isdir(_export(model)):
        return f"the folder of its model {model.uri if model else _model_id(push)} is gone"
    return None if layout.holds(_export(model), _digest(push)) else f"its model in {_export(model)} was altered after the push"


def _has_bytes_of(path: str, model: artifact.Artifact) -> bool:
    digest = _model_digest(model)
    return digest is not None and layout.holds(path, digest)


def _model_digest(model: artifact.Artifact) -> str | None:
    try:
        return tree_digest(_export(model))
    except (FileNotFoundError, ValueError):  # gone, or with a symbolic link in it
        return None


def _export(model: artifact.Artifact) -> str:
    return path_utils.serving_model_path(model.uri)


def _model_id(push: artifact.Artifact) -> int:
    return push.get_int_custom_property(spec.MODEL_ID)


def _version(push: artifact.Artifact) -> int:
    return int(push.get_string_custom_property(spec.VERSION))


def _digest(push: artifact.Artifact) -> str:
    return push.get_string_custom_property(spec.DIGEST)
