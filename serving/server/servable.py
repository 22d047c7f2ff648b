"""One version of a model, loaded with TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.layout import SAVED_MODEL
from serving.server.signature import Signature, TensorSpec
from serving.server.status import CODE_NAMES, ApiError, invalid

_TAGS = {"serve"}


@dataclass(frozen=True)
class Servable:
    """A version that can answer.

    Attributes:
      version: its number.
      signatures: by name.
      signature_defs: name -> tensorflow.SignatureDef as the file has them, for metadata.
      functions: signature name -> TensorFlow's concrete function. They live as long as `model`.
      model: what tf.saved_model.load returned.
    """

    version: int
    signatures: Mapping[str, Signature]
    signature_defs: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Mapping[str, Any]]]
    model: Any

    def signature(self, name: str, *, code: str = "INVALID_ARGUMENT") -> Signature:
        """Returns a signature.

        Raises:
          ApiError: `code`, which the front ends choose differently, if there is none of this name.
        """
        if name not in self.signatures:
            raise ApiError(code, f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def predict(self, signature: Signature, inputs: Mapping[str, Any], only: Collection[str] = ()) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
          signature: one of this servable's.
          inputs: exactly the signature's inputs; numpy arrays (strings: of bytes objects) or tensors.
          only: the outputs wanted; all if empty.

        Raises:
          ApiError: INVALID_ARGUMENT for inputs that the signature does not take, else the code of TensorFlow's error.
        """
        import tensorflow as tf

        _check_shapes(signature, inputs)
        try:
            tensors = {
                name: tf.constant(inputs[name], tf.as_dtype(_dtype_number(spec.dtype)))
                for name, spec in signature.inputs.items()
            }
            outputs = self.functions[signature.name](**tensors)
            return {name: _to_numpy(outputs[name]) for name in signature.outputs if not only or name in only}
        except tf.errors.OpError as error:
            raise ApiError(CODE_NAMES.get(error.error_code, "UNKNOWN"), _telling_line(error.message)) from None
        except (TypeError, ValueError) as error:
            raise invalid(_telling_line(str(error))) from None


def load(path: str | os.PathLike[str], version: int) -> Servable:
    """Loads a SavedModel's `serve` graph and all its signatures.

    Raises:
      ApiError: it cannot be loaded.
    """
    definitions = _signature_defs(Path(path))
    model = _load(os.fspath(path))
    functions = dict(model.signatures)
    signatures = {name: _signature(name, definitions[name]) for name in sorted(functions) if name in definitions}
    if not signatures:
        raise ApiError("FAILED_PRECONDITION", "the SavedModel has no signature to call; export it with signatures")
    return Servable(version, signatures, definitions, functions, model)


def _load(path: str) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(path, tags=_TAGS)
    except tf.errors.OpError as error:
        code, text = CODE_NAMES.get(error.error_code, "UNKNOWN"), error.message
    except Exception as error:  # what a damaged file makes TensorFlow raise has no common class
        code, text = "INTERNAL", f"{type(error).__name__}: {error}"
    # A client who asks for the status need not learn where the server keeps its models.
    raise ApiError(code, _telling_line(text).replace(path, "the version's directory"))


def _signature_defs(path: Path) -> dict[str, Any]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    except DecodeError:
        raise ApiError("DATA_LOSS", f"cannot parse {SAVED_MODEL}: it is not a SavedModel or was cut off") from None
    except OSError as error:
        raise ApiError("NOT_FOUND", f"cannot read {SAVED_MODEL}: {error.strerror}") from None
    for graph in saved.meta_graphs:
        if set(graph.meta_info_def.tags) == _TAGS:
            return dict(graph.signature_def)
    raise ApiError("NOT_FOUND", f"{SAVED_MODEL} has no graph with the tag `serve`")


def _signature(name: str, definition: Any) -> Signature:
    return Signature(name, _specs(definition.inputs), _specs(definition.outputs))


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    from tensorflow.core.framework import types_pb2

    def spec(info: Any) -> TensorSpec:
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(None if axis.size < 0 else axis.size for axis in shape.dim)
        return TensorSpec(types_pb2.DataType.Name(info.dtype), sizes)

    return {name: spec(tensors[name]) for name in sorted(tensors)}


def _dtype_number(name: str) -> int:
    from tensorflow.core.framework import types_pb2

    return int(types_pb2.DataType.Value(name))


def _check_shapes(signature: Signature, inputs: Mapping[str, Any]) -> None:
    for name, spec in signature.inputs.items():
        shape = tuple(inputs[name].shape)
        if not spec.takes(shape):
            raise invalid(f"input {name} has shape {list(shape)}; the signature takes {spec.shape_text()}")


def _to_numpy(tensor: Any) -> np.ndarray:
    """An array; strings as bytes objects, also a scalar one, for which numpy() gives the bare object."""
    value = tensor.numpy()
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _telling_line(text: str) -> str:
    """What is wrong in one line, without the headings that TensorFlow puts before it and the nodes it lists after it."""
    headings = ("Graph execution error", "Detected at node", "<stack traces", "in user code", "[[{{node")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(headings) and "root error(s) found" not in line]
    line = next(iter(telling or lines), "TensorFlow gave no reason")
    return line.split("}} ", 1)[-1] if line.startswith("{{function_node") else line
