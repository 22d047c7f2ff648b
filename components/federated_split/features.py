"""Takes one scalar feature out of serialized tf.Examples, as text or as numbers, without parsing the rest in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder, ExampleToNumpyDict

INTEGER, TEXT, REAL = "integer", "text", "real"
MISSING, SEVERAL, FLOAT, NOT_UTF8, UNREADABLE = "missing", "several", "float", "not_utf8", "unreadable"
NOT_A_NUMBER, NOT_FINITE, TOO_LARGE = "not_a_number", "not_finite", "too_large"
# Up to here float64 holds every whole number.
_MAX_WHOLE = 2**53


def scalar_texts(records: Sequence[bytes], feature: str) -> tuple[pa.Array, Counter[str]]:
    """Returns the feature's values as text, and what kinds of values they were.

    Args:
      records: serialized tf.Examples.
      feature: name of a feature that should hold one integer or one UTF-8 string in each.

    Returns:
      A large_string array as long as `records`, null where there is no such value; and how many records are of each kind:
      INTEGER and TEXT are good, the others say why the value is null.
    """
    for kind, column_type in ((INTEGER, schema_pb2.INT), (TEXT, schema_pb2.BYTES)):
        texts = _as_text(_decode(records, feature, column_type))
        if texts is not None:
            return texts, Counter({kind: len(records)})
    # Something is amiss in at least one record: look at each alone, to count what.
    values, kinds = zip(*(_classify(record, feature) for record in records), strict=True)
    return pa.array(values, pa.large_string()), Counter(kinds)


def number_texts(records: Sequence[bytes], feature: str) -> tuple[pa.Array, Counter[str]]:
    """Returns the feature's values as texts that `numbers_of` turns back into numbers, and what kinds of values they were.

    Args:
      records: serialized tf.Examples.
      feature: name of a feature that should hold one integer, at most 2^53 from 0, or one finite float in each.

    Returns:
      A large_string array as long as `records`, of nulls only if any record has no such value; and how many records are of each
      kind: INTEGER and REAL are good, the others say what is wrong.
    """
    for kind, column_type in ((REAL, schema_pb2.FLOAT), (INTEGER, schema_pb2.INT)):
        column = _decode(records, feature, column_type)
        values = None if column is None else column.to_numpy(zero_copy_only=False)
        if values is not None and _are_exact(values).all():
            numbers = values.astype(">f8")
            ends = np.arange(0, 16 * len(records) + 1, 16, dtype=np.int64)
            digits = numbers.tobytes().hex().encode()
            texts = pa.LargeStringArray.from_buffers(len(records), pa.py_buffer(ends), pa.py_buffer(digits))
            return texts, Counter({kind: len(records)})
    return pa.nulls(len(records), pa.large_string()), Counter(_kind_of_number(record, feature) for record in records)


def scalar_text(record: bytes, feature: str) -> str | None:
    """Returns the text that `scalar_texts` gives for one record; None where it gives null."""
    return _classify(record, feature)[0]


def numbers_of(texts: pa.Array) -> np.ndarray:
    """Returns float64[n] of what `number_texts` made, without nulls."""
    return np.frombuffer(bytes.fromhex("".join(texts.to_pylist())), ">f8").astype(np.float64)


def _are_exact(values: np.ndarray) -> np.ndarray:
    """Returns bool[n], which of float32[n] are finite, or which of int64[n] float64 can hold."""
    if values.dtype == np.int64:
        return (values >= -_MAX_WHOLE) & (values <= _MAX_WHOLE)
    return np.isfinite(values)


def _as_text(column: pa.Array | None) -> pa.Array | None:
    try:
        return None if column is None else column.cast(pa.large_string())
    except pa.ArrowInvalid:  # Not UTF-8.
        return None


def _decode(records: Sequence[bytes], feature: str, column_type: int) -> pa.Array | None:
    """Returns the values when every record holds exactly one of this type, else None."""
    try:
        column = _decoder(feature, column_type).DecodeBatch(records).column(0)
    except RuntimeError:  # What the decoder raises for another type and for bytes that are no tf.Example.
        return None
    if column.null_count or not np.all(pc.list_value_length(column).to_numpy() == 1):
        return None
    return column.flatten()


def _decoder(feature: str, column_type: int) -> Any:
    """Returns a new decoder (8 microseconds): one that has failed keeps part of the batch it failed on."""
    schema = schema_pb2.Schema()
    schema.feature.add(name=feature, type=column_type)
    return ExamplesToRecordBatchDecoder(schema.SerializeToString())


def _classify(record: bytes, feature: str) -> tuple[str | None, str]:
    values, wrong = _scalar(record, feature)
    if values is None:
        return None, wrong
    if values.dtype == np.float32:
        return None, FLOAT
    if values.dtype == np.int64:
        return str(values[0]), INTEGER
    try:
        return values[0].decode("utf-8"), TEXT
    except UnicodeDecodeError:
        return None, NOT_UTF8


def _kind_of_number(record: bytes, feature: str) -> str:
    values, wrong = _scalar(record, feature)
    if values is None:
        return wrong
    if values.dtype == np.int64:
        return INTEGER if _are_exact(values)[0] else TOO_LARGE
    if values.dtype != np.float32:
        return NOT_A_NUMBER
    return REAL if _are_exact(values)[0] else NOT_FINITE


def _scalar(record: bytes, feature: str) -> tuple[np.ndarray | None, str]:
    """Returns the one value of a feature as an array, or None and what is wrong."""
    try:
        values = ExampleToNumpyDict(record).get(feature)
    except RuntimeError:
        return None, UNREADABLE
    if values is None or len(values) == 0:
        return None, MISSING
    return (values, "") if len(values) == 1 else (None, SEVERAL)
