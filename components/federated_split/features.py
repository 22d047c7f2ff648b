"""Takes one scalar feature out of serialized tf.Examples, as text, without parsing the rest in Python."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder, ExampleToNumpyDict

INTEGER, TEXT = "integer", "text"
MISSING, SEVERAL, FLOAT, NOT_UTF8, UNREADABLE = "missing", "several", "float", "not_utf8", "unreadable"


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
        texts = _decode(records, feature, column_type)
        if texts is not None:
            return texts, Counter({kind: len(records)})
    # Something is amiss in at least one record: look at each alone, to count what.
    values, kinds = zip(*(_classify(record, feature) for record in records), strict=True)
    return pa.array(values, pa.large_string()), Counter(kinds)


def _decode(records: Sequence[bytes], feature: str, column_type: int) -> pa.Array | None:
    """Returns the texts when every record holds exactly one good value of this type, else None."""
    try:
        column = _decoder(feature, column_type).DecodeBatch(records).column(0)
    except RuntimeError:  # What the decoder raises for another type and for bytes that are no tf.Example.
        return None
    if column.null_count or not np.all(pc.list_value_length(column).to_numpy() == 1):
        return None
    try:
        return column.flatten().cast(pa.large_string())
    except pa.ArrowInvalid:  # Not UTF-8.
        return None


@functools.lru_cache(maxsize=16)
def _decoder(feature: str, column_type: int) -> Any:
    schema = schema_pb2.Schema()
    schema.feature.add(name=feature, type=column_type)
    return ExamplesToRecordBatchDecoder(schema.SerializeToString())


def _classify(record: bytes, feature: str) -> tuple[str | None, str]:
    try:
        values = ExampleToNumpyDict(record).get(feature)
    except RuntimeError:
        return None, UNREADABLE
    if values is None or len(values) == 0:
        return None, MISSING
    if values.dtype == np.float32:
        return None, FLOAT
    if len(values) > 1:
        return None, SEVERAL
    if values.dtype == np.int64:
        return str(values[0]), INTEGER
    try:
        return values[0].decode("utf-8"), TEXT
    except UnicodeDecodeError:
        return None, NOT_UTF8
