"""Pushes a model if its blessing is really its own, and records what was done."""

from __future__ import annotations

import json
import os
from typing import Any

from absl import logging
from tfx.components.evaluator import constants as evaluator_constants
from tfx.components.pusher import executor as stock_executor
from tfx.components.util import model_utils
from tfx.proto import pusher_pb2
from tfx.types import artifact, artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import json_utils, proto_utils

from components import properties
from components.atomic_pusher import attesting, binding, spec, waiting
from components.deploy_gate.case import digest_of
from components.digested import RECORD_DIGEST
from components.uncached_driver import FAILED_NODES
from errors import IntegrityError, PushError
from lineage.digests import tree_digest
from serving import layout, statements

_Artifacts = dict[str, list[artifact.Artifact]]


class _Outdated(Exception):
    """The decision was right when it was made and does not count any more."""


class Executor(stock_executor.Executor):
    """Publishes the model's serving export through `serving.layout`, or records why not.

    The PushedModel artifact's custom properties are in `spec.py`. Its directory holds the same facts, not a copy of the model:

        {uri}/pushed.json
    """

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> None:
        """Pushes `input_dict['model']` to the push destination's directory, or leaves that directory untouched.

        Raises:
          PushError: no model, no blessing or no destination is wired, a node of this run failed, the directory cannot be
            written, or a model server does not come to answer with the version, which stays in the directory.
          ConfigError: the key for the statement about the model cannot be used.
          BusyError: another push or release holds the directory for too long.
          IntegrityError: the model or the blessing is not what was published, the blessing is for another model, or has no
            decision behind it that says the same.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        if failed := exec_properties.get(FAILED_NODES):
            raise PushError(f"nothing is pushed after a failure in the same run: expected none, got {failed}; see the log.")
        model, blessing = _required(input_dict, keys.MODEL_KEY), _required(input_dict, keys.MODEL_BLESSING_KEY)
        destination = _destination(exec_properties)
        _check_digest(model, _model_node(exec_properties))
        _check_digest(blessing, spec.MADE_BY[keys.MODEL_BLESSING_KEY])
        if reason := _refusal(model, blessing, input_dict.get(keys.INFRA_BLESSING_KEY)):
            facts = _refused(reason)
        else:
            export = self.GetModelPath({keys.MODEL_KEY: [model]})
            # Before the decision is held against the model: bytes that change after this are found by one of the two.
            digest = digest_of(export)
            decision, config = binding.bound(blessing, model), _custom_config(exec_properties)
            stated = attesting.state(
                input_dict, decision, config, model_name=os.path.basename(os.path.abspath(destination)), run=self._run_name()
            )
            facts = {**_publish(decision, model, export, digest, destination, stated), **decision.facts()}
            if facts.get(spec.LIVE):
                waiting.wait(config, destination, int(facts[spec.VERSION]))
        _record(artifact_utils.get_single_instance(output_dict[keys.PUSHED_MODEL_KEY]), {spec.MODEL_ID: model.id, **facts})

    def _run_name(self) -> str:
        return str((self._context and self._context.pipeline_run_id) or "")


def _publish(
    decision: binding.Bound,
    model: artifact.Artifact,
    export: str,
    digest: str | None,
    destination: str,
    stated: statements.State,
) -> dict[str, Any]:
    """Copies what was decided on and nothing else, and only over what it was decided beside."""

    def agreed() -> None:
        if outdated := binding.refusal(decision, model, digest, destination):
            raise _Outdated(outdated)

    try:
        return _pushed(
            layout.publish(
                export, destination, expected_digest=digest or "", agreed=agreed, stated=stated, said=logging.warning
            )
        )
    except _Outdated as outdated:
        return _refused(str(outdated))


def _required(input_dict: _Artifacts, key: str) -> artifact.Artifact:
    if not input_dict.get(key):
        raise PushError(f"Pusher has no {key}: expected exactly one, got none; nothing is pushed without it, so wire it.")
    return artifact_utils.get_single_instance(input_dict[key])


def _destination(exec_properties: dict[str, Any]) -> str:
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(exec_properties.get(keys.PUSH_DESTINATION_KEY) or "{}", destination)
    if not destination.filesystem.base_directory:
        raise PushError("Pusher has no push_destination.filesystem.base_directory; name the model's serving directory.")
    return destination.filesystem.base_directory


def _custom_config(exec_properties: dict[str, Any]) -> dict[str, Any]:
    return json_utils.loads(exec_properties.get(keys.CUSTOM_CONFIG_KEY) or "null") or {}


def _model_node(exec_properties: dict[str, Any]) -> str:
    return str(_custom_config(exec_properties).get(spec.MODEL_NODE, spec.MADE_BY[keys.MODEL_KEY]))


def _check_digest(checked: artifact.Artifact, node_id: str) -> None:
    expected = checked.get_string_custom_property(spec.DIGEST)
    if expected and not layout.holds(checked.uri, expected):
        raise IntegrityError(
            f"{checked.type_name} {checked.id} at {checked.uri} was altered after it was published: "
            f"expected digest {expected}, got another; run again with --from {node_id}."
        )


def _again(key: str) -> str:
    return f"run again with --from {spec.MADE_BY[key]}."


def _refusal(model: artifact.Artifact, blessing: artifact.Artifact, infra: list[artifact.Artifact] | None) -> str:
    """Returns why this model must not be pushed, or an empty string if it may."""
    _check_blessing_file(blessing)
    if not blessing.has_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY):
        return f"blessing {blessing.id} holds no decision; a gate without any threshold blesses nothing"
    if not model_utils.is_model_blessed(blessing):
        return f"model {model.id} was not blessed (blessing {blessing.id})"
    _check_blessing_is_for(model, blessing)
    if infra and not model_utils.is_infra_validated(artifact_utils.get_single_instance(infra)):
        return f"model {model.id} did not pass the check in a model server (blessing {infra[0].id})"
    return ""


def _check_blessing_file(blessing: artifact.Artifact) -> None:
    """A decision is written down twice, in ML Metadata and as a file: whoever edits or removes one of them is found out."""
    decided = blessing.has_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    blessed = model_utils.is_model_blessed(blessing)
    expected = {evaluator_constants.BLESSED_FILE_NAME: decided and blessed}
    expected[evaluator_constants.NOT_BLESSED_FILE_NAME] = decided and not blessed
    if any(os.path.exists(os.path.join(blessing.uri, name)) != there for name, there in expected.items()):
        raise IntegrityError(
            f"blessing {blessing.id} says {f'blessed={int(blessed)}' if decided else 'nothing'} in ML Metadata, but "
            f"{blessing.uri} holds {sorted(os.listdir(blessing.uri)) if os.path.isdir(blessing.uri) else 'nothing'}; "
            f"{_again(keys.MODEL_BLESSING_KEY)}"
        )


def _check_blessing_is_for(model: artifact.Artifact, blessing: artifact.Artifact) -> None:
    blessed_id = blessing.get_int_custom_property(evaluator_constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY)
    blessed_uri = blessing.get_string_custom_property(evaluator_constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY)
    if blessed_id != model.id or blessed_uri != model.uri:
        raise IntegrityError(
            f"blessing {blessing.id} is for model {blessed_id} at {blessed_uri or 'no uri'}, "
            f"but the model to push is {model.id} at {model.uri}; {_again(keys.MODEL_BLESSING_KEY)}"
        )


def _refused(reason: str) -> dict[str, Any]:
    logging.warning("Not pushed: %s", reason)
    return {spec.PUSHED: 0, spec.REASON: reason}


def _pushed(published: layout.Published) -> dict[str, Any]:
    logging.info("Version %d at %s, digest %s, copied: %s, live: %s; log: %s", *list(vars(published).values())[:6])
    held = {} if published.live in (published.version, None) else {spec.HELD_AT: str(published.live)}
    return {
        spec.PUSHED: 1,
        spec.LIVE: int(published.live == published.version),
        **held,
        spec.DESTINATION: published.path,
        spec.VERSION: str(published.version),
        spec.DIGEST: published.digest,
        spec.ALREADY_SERVED: int(not published.pushed),
        spec.AUDIT_DIGEST: published.audit_digest,
        **attesting.recorded(published.statement),
    }


def _record(pushed_model: artifact.Artifact, facts: dict[str, Any]) -> None:
    properties.put(pushed_model, facts)
    os.makedirs(pushed_model.uri, exist_ok=True)
    with open(os.path.join(pushed_model.uri, spec.RECORD_FILE), "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=2, sort_keys=True)
    pushed_model.set_string_custom_property(RECORD_DIGEST, tree_digest(pushed_model.uri))
