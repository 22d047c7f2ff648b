"""One version of a model: its graph in a TensorFlow session of its own, as in the real server.

A session is quicker than the functions that `tf.saved_model.load` gives (one call into C++, during which other threads of
Python run), takes every SavedModel of TensorFlow 1 and 2, and gives its memory back when it is closed.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serving.layout import SAVED_MODEL
from serving.server.signature import Signature, TensorSpec
from serving.server.status import CODE_NAMES, ApiError, invalid
from serving.server.versions import check_files

DEFAULT_TAGS = ("serve",)
_HEADINGS = ("Graph execution error", "Detected at node", "<stack traces", "in user code", "[[{{node")
_BEFORE_REASON = re.compile(r"\(\d+\) [A-Z_]+: |\{\{function_node [^}]*\}\}\}? ")
_MAX_CALLABLES = 64  # per version; a request that wants yet another choice of outputs is given its part of all
# Operations of a graph, with its functions', up to which one thread runs it sooner than several that hand work to each other.
_SMALL_GRAPH = 1000
_CALLERS_THREAD = -1  # of RunOptions.inter_op_thread_pool


@dataclass(frozen=True)
class SessionOptions:
    """How sessions run: threads within and between operations (0: TensorFlow chooses), and the share of a GPU's memory."""

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0


@dataclass(frozen=True, eq=False)
class Servable:
    """A version that can answer, from any thread, until it is closed.

    Attributes:
      version: its number.
      signatures: by name.
      signature_defs: name -> tensorflow.SignatureDef as the file has them, for metadata.
      path: the version's directory.
    """

    version: int
    signatures: Mapping[str, Signature]
    signature_defs: Mapping[str, Any]
    path: Path
    _session: Any
    _run_options: Any
    _closed: threading.Event = field(default_factory=threading.Event)
    _callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[Any]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
          inputs: exactly the signature's inputs; numpy arrays (strings: of bytes objects).
          only: the outputs wanted; all if empty.

        Raises:
          ApiError: INVALID_ARGUMENT for inputs that the signature does not take, else the code of TensorFlow's error.
        """
        check(signature, inputs)
        return self.run(signature, inputs, only)

    def run(self, signature: Signature, inputs: Mapping[str, Any], only: Collection[str] = ()) -> dict[str, np.ndarray]:
        """`predict` of inputs that have passed `check`."""
        names = tuple(name for name in signature.outputs if name in only) if only else tuple(signature.outputs)
        try:
            call, given = self._callable(signature, names)
            values = call(*[inputs[name] for name in signature.inputs])
        except Exception as error:
            raise self._refusal(error) from None
        outputs = dict(zip(given, values, strict=True))
        return {name: _to_numpy(outputs[name]) for name in names}

    def close(self) -> None:
        """Frees the version's memory; what is still asked of it fails."""
        self._closed.set()
        self._callables.clear()
        self._session.close()

    def _refusal(self, error: Exception) -> Exception:
        """What the client is told of an error of TensorFlow's; other errors as they are."""
        import tensorflow as tf

        if self._closed.is_set():
            return ApiError("UNAVAILABLE", f"version {self.version} is no longer served")
        if isinstance(error, tf.errors.OpError):
            return ApiError(CODE_NAMES.get(error.error_code, "UNKNOWN"), self._telling(error.message))
        return invalid(self._telling(str(error))) if isinstance(error, (TypeError, ValueError)) else error

    def _callable(self, signature: Signature, names: tuple[str, ...]) -> tuple[Callable[..., list[Any]], tuple[str, ...]]:
        """What runs a signature, and the outputs that it gives."""
        found = self._callables.get((signature.name, names))
        if found is not None:
            return found, names
        with self._lock:
            if len(self._callables) >= _MAX_CALLABLES:
                names = tuple(signature.outputs)
            if (signature.name, names) not in self._callables:
                self._callables[signature.name, names] = self._make_callable(signature, names)
            return self._callables[signature.name, names], names

    def _make_callable(self, signature: Signature, names: Sequence[str]) -> Callable[..., list[Any]]:
        from tensorflow.core.protobuf import config_pb2

        definition = self.signature_defs[signature.name]
        options = config_pb2.CallableOptions(
            feed=[definition.inputs[name].name for name in signature.inputs],
            fetch=[definition.outputs[name].name for name in names],
            run_options=self._run_options,
        )
        # `make_callable`, the public way, does as much work in Python for each call as a small model needs.
        return self._session._make_callable_from_options(options)

    def _telling(self, text: str) -> str:
        return _telling_line(text).replace(str(self.path), "the version's directory")


def check(signature: Signature, inputs: Mapping[str, Any]) -> None:
    """Holds the inputs' shapes to the signature's.

    Raises:
      ApiError: INVALID_ARGUMENT.
    """
    for name, spec in signature.inputs.items():
        shape = inputs[name].shape
        if not spec.takes(shape):
            raise invalid(f"input {name} has shape {list(shape)}; the signature takes {spec.shape_text()}")


def load(
    path: str | os.PathLike[str], version: int, tags: Sequence[str] = DEFAULT_TAGS, options: SessionOptions | None = None
) -> Servable:
    """Loads the graph of a SavedModel that has these tags, and all its signatures.

    Raises:
      ApiError: it cannot be loaded.
    """
    place = Path(path)
    check_files(place)
    definitions = _signature_defs(place, set(tags))
    signatures = {name: _signature(name, definitions[name]) for name in sorted(definitions) if _callable_one(definitions[name])}
    if not signatures:
        raise ApiError("FAILED_PRECONDITION", "the SavedModel has no signature to call; export it with signatures")
    options = options or SessionOptions()
    session = _session(os.fspath(path), tags, options)
    return Servable(version, signatures, definitions, place, session, _run_options(session, options))


def _session(path: str, tags: Sequence[str], options: SessionOptions) -> Any:
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)  # the loader's word on each file that it reads
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph, config=_config(options))
    try:
        tf.compat.v1.saved_model.load(session, list(tags), path)
        graph.finalize()
        return session
    except tf.errors.OpError as error:
        code, text = CODE_NAMES.get(error.error_code, "UNKNOWN"), error.message
    except Exception as error:  # what a damaged file makes TensorFlow raise has no common class
        code, text = "INTERNAL", f"{type(error).__name__}: {error}"
    session.close()
    # A client who asks for the status need not learn where the server keeps its models.
    raise ApiError(code, _telling_line(text).replace(path, "the version's directory"))


def _config(options: SessionOptions) -> Any:
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=options.intra_op_threads, inter_op_parallelism_threads=options.inter_op_threads
    )
    config.gpu_options.per_process_gpu_memory_fraction = options.gpu_memory_fraction
    return config


def _run_options(session: Any, options: SessionOptions) -> Any:
    """Lets a small graph run in the thread that asks for it, unless the user has said how many threads there are to be.

    Handing each operation to a thread costs more than most operations of such a graph; large ones still divide their own work.
    """
    from tensorflow.core.protobuf import config_pb2

    graph = session.graph.as_graph_def()
    operations = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    inline = operations <= _SMALL_GRAPH and not options.inter_op_threads
    return config_pb2.RunOptions(inter_op_thread_pool=_CALLERS_THREAD if inline else 0)


def _signature_defs(path: Path, tags: set[str]) -> dict[str, Any]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    except DecodeError:
        raise ApiError("DATA_LOSS", f"cannot parse {SAVED_MODEL}: it is not a SavedModel or was cut off") from None
    except OSError as error:
        raise ApiError("NOT_FOUND", f"cannot read {SAVED_MODEL}: {error.strerror}") from None
    for graph in saved.meta_graphs:
        if set(graph.meta_info_def.tags) == tags:
            # Copies: those of the message would keep all of the graph in memory.
            return {name: _copy(definition) for name, definition in graph.signature_def.items()}
    raise ApiError("NOT_FOUND", f"{SAVED_MODEL} has no graph with the tag `{','.join(sorted(tags))}`")


def _copy(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def _callable_one(definition: Any) -> bool:
    """Whether it is a signature of a request: not TensorFlow's own (`__saved_model_init_op`), and of plain tensors."""
    infos = [*definition.inputs.values(), *definition.outputs.values()]
    return bool(definition.outputs) and all(info.name and info.dtype for info in infos)


def _signature(name: str, definition: Any) -> Signature:
    import tensorflow as tf

    defaults = {key: tf.make_ndarray(proto) for key, proto in definition.defaults.items() if key in definition.inputs}
    return Signature(name, _specs(definition.inputs), _specs(definition.outputs), defaults)


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    from tensorflow.core.framework import types_pb2

    def spec(info: Any) -> TensorSpec:
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(None if axis.size < 0 else axis.size for axis in shape.dim)
        return TensorSpec(types_pb2.DataType.Name(info.dtype), sizes)

    return {name: spec(tensors[name]) for name in sorted(tensors)}


def _to_numpy(value: Any) -> np.ndarray:
    """An array; strings as bytes objects, also a scalar one, for which a session gives the bare object."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _telling_line(text: str) -> str:
    """What is wrong in one line, without the headings that TensorFlow puts before it and the nodes it lists after it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_HEADINGS) and "root error(s) found" not in line]
    line = next(iter(telling or lines), "TensorFlow gave no reason")
    while match := _BEFORE_REASON.match(line):
        line = line[match.end() :]
    return line
