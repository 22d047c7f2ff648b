"""How requests are joined: TensorFlow Serving's BatchingParameters, from a text proto."""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from errors import ConfigError
from serving.server.flags import Flags
from serving.server.servable import Servable
from serving.server.status import ApiError

# The proto's fields in order of their numbers, and the wrapper that holds a value which may be left out.
_FIELDS = {
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
    "allowed_batch_sizes": "",
    "pad_variable_length_inputs": "",
    "enable_large_batch_splitting": "BoolValue",
    "max_execution_batch_size": "Int64Value",
}
PER_MODEL_FILE = "batching_params.pbtxt"
_PLAIN_VALUE = re.compile(rf"\b({'|'.join(name for name, wrapper in _FIELDS.items() if wrapper)})\s*:\s*([^\s{{<#]+)")
_MAX_ROWS = 2**31 - 1  # of a request that nothing else limits


@dataclass(frozen=True)
class Parameters:
    """What a batching parameters file says; the defaults are TensorFlow Serving's.

    Attributes:
      max_batch_size: rows that one request may have, and a batch unless `enable_large_batch_splitting`.
      batch_timeout_micros: that a batch waits for more requests although a thread is free; after batches of many requests it
        waits a few milliseconds for as many in any case.
      max_enqueued_batches: of one signature, that wait; beyond them requests are refused.
      num_batch_threads: batches that run at once; of one signature a second that is not full only if the first takes its time.
      allowed_batch_sizes: a batch is padded to the next of these, if there are any.
      pad_variable_length_inputs: join requests of different inner sizes, filled up with zeros.
      enable_large_batch_splitting: run a request of more than `max_execution_batch_size` rows in parts.
      max_execution_batch_size: rows that are run at once; 0 is `max_batch_size`.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = len(os.sched_getaffinity(0))
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    @property
    def execution_limit(self) -> int:
        """Rows that are run at once."""
        return self.max_execution_batch_size or self.max_batch_size

    def padded_size(self, size: int) -> int:
        """The smallest allowed batch size for `size` rows."""
        place = bisect.bisect_left(self.allowed_batch_sizes, size)
        return self.allowed_batch_sizes[place] if place < len(self.allowed_batch_sizes) else size


WITHOUT_FILE = Parameters(
    max_batch_size=_MAX_ROWS,
    enable_large_batch_splitting=True,
    max_execution_batch_size=Parameters.max_batch_size,
)


def read(text: str) -> Parameters:
    """Parses a text proto, of which each plain value is wrapped: `max_batch_size { value: 32 }`.

    Raises:
      ValueError: it cannot be parsed, or its values do not go together; the message is one line.
    """
    from google.protobuf import text_format

    try:
        proto = text_format.Parse(text, _class()())
    except text_format.ParseError as error:
        if plain := _PLAIN_VALUE.search(text):
            told = f"cannot parse `{plain[0]}`; write {plain[1]} {{ value: {plain[2]} }}"
            raise ValueError(told) from None
        raise ValueError(f"cannot parse it as BatchingParameters: {str(error).rstrip('.')}") from None
    values: dict[str, Any] = {
        field.name: getattr(proto, field.name).value
        for field, _ in proto.ListFields()
        if field.message_type is not None and field.name in Parameters.__dataclass_fields__
    }
    parameters = Parameters(
        **values,
        allowed_batch_sizes=tuple(proto.allowed_batch_sizes),
        pad_variable_length_inputs=proto.pad_variable_length_inputs,
    )
    _check(parameters)
    return parameters


@cache
def _class() -> Any:
    """TensorFlow Serving's servables/tensorflow/session_bundle_config.proto, of which tensorflow-serving-api has no class."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, wrapper) in enumerate(_FIELDS.items(), start=1):
        field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
        if wrapper:
            field.type, field.type_name = kinds.TYPE_MESSAGE, f".google.protobuf.{wrapper}"
    message.field[5].type, message.field[5].label = kinds.TYPE_INT64, kinds.LABEL_REPEATED
    message.field[6].type = kinds.TYPE_BOOL
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.MessageFactory(pool).GetPrototype(found)


def chooser(flags: Flags) -> tuple[int, Callable[[Servable], Parameters | None]]:
    """The number of threads that run batches, and what tells a version's parameters, by the flags.

    Without a file no request is too large: those of more rows than TensorFlow Serving's default are run in parts.
    With --enable_per_model_batching_parameters only the number of threads is of the common file.

    Raises:
      ConfigError: the common file cannot be read.
    """
    common = _from_file(flags.batching_parameters_file) if flags.batching_parameters_file else WITHOUT_FILE
    if flags.enable_per_model_batching_parameters:
        return common.num_batch_threads, _PerModel()
    return common.num_batch_threads, lambda _: common


def _from_file(file: Path) -> Parameters:
    flag = "--batching_parameters_file"
    try:
        return read(file.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = f"expected a text proto BatchingParameters; mend the path or leave {flag} out"
        raise ConfigError(f"cannot read {file} ({flag}): {error.strerror or error}; {remedy}.") from None
    except ValueError as error:
        raise ConfigError(f"{file} ({flag}): {error}.") from None


class _PerModel:
    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Servable, Parameters | None] = WeakKeyDictionary()

    def __call__(self, servable: Servable) -> Parameters | None:
        if servable not in self._known:
            self._known[servable] = of_version(servable.path)
        return self._known[servable]


def of_version(path: Path) -> Parameters | None:
    """What a version's own file says; None if it has none, so that its requests are not joined.

    Raises:
      ApiError: the file is wrong; such a version must not go live.
    """
    try:
        return read((path / PER_MODEL_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ApiError("INVALID_ARGUMENT", f"{PER_MODEL_FILE}: {error}") from None


def _check(parameters: Parameters) -> None:
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(parameters, name) < 1:
            raise ValueError(f"{name} is {getattr(parameters, name)}; expected at least 1")
    if parameters.batch_timeout_micros < 0:
        raise ValueError(f"batch_timeout_micros is {parameters.batch_timeout_micros}; expected at least 0")
    if parameters.max_execution_batch_size and not parameters.enable_large_batch_splitting:
        raise ValueError("max_execution_batch_size needs enable_large_batch_splitting { value: true }")
    if not 0 <= parameters.max_execution_batch_size <= parameters.max_batch_size:
        raise ValueError(f"max_execution_batch_size must be from 1 to max_batch_size ({parameters.max_batch_size})")
    sizes = parameters.allowed_batch_sizes
    if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] != parameters.execution_limit):
        limit = "max_execution_batch_size" if parameters.max_execution_batch_size else "max_batch_size"
        raise ValueError(f"allowed_batch_sizes {list(sizes)} must rise and end with {limit} ({parameters.execution_limit})")
