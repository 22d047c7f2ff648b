"""The digest of what a node publishes, by which anybody can tell later whether it is still that."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor

from lineage.digests import tree_digest

DIGEST = "digest"  # string: hex sha256 tree digest of the directory, when it was published
RECORD_DIGEST = "record_digest"  # the same, of an artifact whose `digest` is that of what it tells of: a PushedModel

_Artifacts = dict[str, list[types.Artifact]]


class Digested(base_executor.BaseExecutor):
    """Goes before a stock executor among the bases, and puts a digest on every output that has none yet."""

    def Do(self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]) -> Any:
        """Does what the executor does, then sets `digest` on what came of it."""
        done = super().Do(input_dict, output_dict, exec_properties)  # the stock executor is next in line
        record(output_dict, done)
        return done


def record(outputs: _Artifacts, done: Any = None) -> None:
    """Sets the custom property `digest` of every artifact that has none; the last thing that an executor does.

    A directory in which nothing was written is published empty, and that is what its digest says.

    Args:
      outputs: the executor's `output_dict`.
      done: what its `Do` returns: None, or an ExecutorOutput, which TFX then publishes instead of `outputs`.
    """
    for artifact in (artifact for artifacts in outputs.values() for artifact in artifacts):
        if not artifact.get_string_custom_property(DIGEST):
            os.makedirs(artifact.uri, exist_ok=True)
            artifact.set_string_custom_property(DIGEST, tree_digest(artifact.uri))
    for key, told in done.output_artifacts.items() if done else ():
        for artifact, published in zip(outputs[key], told.artifacts, strict=True):
            published.custom_properties[DIGEST].string_value = artifact.get_string_custom_property(DIGEST)


def recorded(artifact: types.Artifact) -> str:
    """Returns the digest that an artifact's own directory was published with; empty if none was recorded."""
    return str(artifact.get_string_custom_property(RECORD_DIGEST) or _own_digest(artifact))


def _own_digest(artifact: types.Artifact) -> str:
    told_of_another = artifact.type_name == "PushedModel"  # of the version in the serving directory
    return "" if told_of_another else artifact.get_string_custom_property(DIGEST)
