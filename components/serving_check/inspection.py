"""Whether a model may be loaded at all, without loading it: its files, its operations, its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from components.serving_check import allow_list, files, graphs, lambdas, weights
from modeling.export import EXAMPLES_SIGNATURE
from serving.layout import SAVED_MODEL

TAG = "serve"
SIGNATURES = ("serving_default", EXAMPLES_SIGNATURE)
NO_WEIGHTS = {"arrays": 0, "values": 0, "non_finite": 0}
# Names come from the model, so they are cut and counted before anybody is shown them.
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w>.]{0,99}")
_MAX_NAMES = 50


@dataclass
class Findings:
    """What was found; the fields are those of serving_report.json."""

    problems: list[str] = field(default_factory=list)
    refused_ops: list[str] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=lambda: dict(NO_WEIGHTS))

    @property
    def loadable(self) -> bool:
        return not self.problems and not self.refused_ops and self.weights["non_finite"] == 0


def inspect(directory: Path, allowed_ops: Iterable[str]) -> Findings:
    """Looks a SavedModel over; `allowed_ops` are allowed beside those of allowed_ops.txt."""
    found = Findings(files.problems(directory))
    if found.problems:
        return found
    _inspect_graphs(directory, allow_list.read().extended(allowed_ops), found)
    _inspect_weights(directory, found)
    return found


def _inspect_graphs(directory: Path, allowed: allow_list.AllowList, found: Findings) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved_model = saved_model_pb2.SavedModel.FromString((directory / SAVED_MODEL).read_bytes())
    except DecodeError:
        found.problems.append(f"{SAVED_MODEL} cannot be parsed")
        return
    refused = {op for meta_graph in saved_model.meta_graphs for op in graphs.refused_ops(meta_graph, allowed)}
    refused |= _lambda(directory, saved_model, found) - allowed.anywhere
    found.refused_ops = sorted({_shown(op) for op in refused})[:_MAX_NAMES]
    found.problems += _missing(saved_model)
    for meta_graph in saved_model.meta_graphs:
        found.problems += _foreign_assets(directory, meta_graph)


def _lambda(directory: Path, saved_model: Any, found: Findings) -> set[str]:
    """{"Lambda"} if Keras' descriptions hold bytecode; in older files they are in the object graph."""
    from google.protobuf.message import DecodeError
    from keras.protobuf import saved_metadata_pb2

    path = directory / files.KERAS_METADATA
    try:
        metadata = saved_metadata_pb2.SavedMetadata.FromString(path.read_bytes() if path.is_file() else b"")
        texts = [node.metadata for node in metadata.nodes]
        texts += [node.user_object.metadata for graph in saved_model.meta_graphs for node in graph.object_graph_def.nodes]
        return {lambdas.LAMBDA} if lambdas.holds_lambda(texts) else set()
    except (DecodeError, ValueError):
        found.problems.append(f"{files.KERAS_METADATA} cannot be parsed")
        return set()


def _missing(saved_model: Any) -> list[str]:
    served = [graph for graph in saved_model.meta_graphs if TAG in graph.meta_info_def.tags]
    if not served:
        return [f"{SAVED_MODEL} holds no graph with the tag {TAG!r}"]
    return [f"there is no signature {name!r}" for name in SIGNATURES if name not in served[0].signature_def]


def _foreign_assets(directory: Path, meta_graph: Any) -> list[str]:
    """Assets are read by name, which must not lead out of the model."""
    names = [PurePosixPath(asset.filename) for asset in meta_graph.asset_file_def]
    outside = any(name.is_absolute() or ".." in name.parts for name in names)
    if outside or not all((directory / "assets" / name).is_file() for name in names):
        return ["an asset that the graph names is not one of the model's files"]
    return []


def _inspect_weights(directory: Path, found: Findings) -> None:
    try:
        found.weights = weights.count(directory)
    except FileNotFoundError:
        found.problems.append(f"there are no variables: {weights.CHECKPOINT}.index is missing")
    except Exception as error:  # TensorFlow's readers raise many kinds; their texts name paths of this machine
        found.problems.append(f"the variables cannot be read ({type(error).__name__})")


def _shown(op: str) -> str:
    return op if _PLAIN_NAME.fullmatch(op) else "an operation with an unprintable name"
