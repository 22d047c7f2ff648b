"""Parquet files: one example per row, one feature per column.

Not TFX's parquet executor, for two reasons: it stores 0, 0.0, False and "" as missing (so label 0 disappears), and it cannot
take bytes that are not UTF-8, such as images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from tfx.types import standard_component_specs as specs

from components.example_gens import files
from components.example_gens.examples import serialized
from components.example_gens.executor import SplitExecutor
from errors import DataError

_ROWS_AT_A_TIME = 1024


@beam.ptransform_fn
def _parquet_to_records(pipeline: beam.Pipeline, exec_properties: dict, split_pattern: str) -> beam.PCollection:
    paths = files.require(exec_properties[specs.INPUT_BASE_KEY], split_pattern)
    return (
        pipeline
        | "Files" >> beam.Create(list(paths))
        | "RowGroups" >> beam.FlatMap(row_groups).with_output_types(tuple[str, int])
        | "Spread" >> beam.Reshuffle()
        | "ReadRows" >> beam.FlatMapTuple(read_row_group).with_output_types(bytes)
    )


class Executor(SplitExecutor):
    """Reads Parquet files; all must have the same columns."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Returns the transform from (exec_properties, pattern) to serialized tf.Examples."""
        return _parquet_to_records

    def check_files(self, paths: list[str]) -> None:
        """Raises DataError if a file is not Parquet, has another schema, or a column that no feature can hold."""
        first = _schema(paths[0])
        for path in paths:
            schema = _schema(path)
            if not schema.equals(first):
                raise DataError(
                    f"{path}: expected the columns of {paths[0]} ({_shown(first)}), got {_shown(schema)}; write both alike"
                )
        for field in first:
            if not _fits(field.type):
                raise DataError(
                    f"{paths[0]} column {field.name!r}: expected integers, floats, booleans, text, bytes or lists of them, got"
                    f" {field.type}; cast or drop the column"
                )


def row_groups(path: str) -> list[tuple[str, int]]:
    """Returns (path, index) of a file's row groups."""
    with FileSystems.open(path) as file:
        return [(path, index) for index in range(pq.ParquetFile(file).num_row_groups)]


def read_row_group(path: str, index: int) -> Iterator[bytes]:
    """Yields a serialized tf.Example for each row of a row group.

    Raises:
      DataError: the row group's bytes are damaged, or a value does not fit a feature.
    """
    with FileSystems.open(path) as file:
        try:
            for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_A_TIME, row_groups=[index]):
                for row in batch.to_pylist():
                    yield row_to_example(row)
        except (pa.ArrowException, OSError) as error:
            raise DataError(_damaged(path, error)) from error
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path} row group {index}: expected values that fit a feature, got {error}; clean the row"
            ) from error


def row_to_example(row: dict[str, Any]) -> bytes:
    """Returns a serialized tf.Example; None and empty lists become features without a value."""
    features = {name: _feature(value) for name, value in row.items()}
    return serialized(tf.train.Example(features=tf.train.Features(feature=features)))


def _feature(value: Any) -> tf.train.Feature:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    texts = [text.encode() if isinstance(text, str) else text for text in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def _fits(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        return not pa.types.is_nested(kind.value_type) and _fits(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return is_text or is_bytes or is_number or pa.types.is_null(kind)


def _schema(path: str) -> pa.Schema:
    try:
        with FileSystems.open(path) as file:
            return pq.ParquetFile(file).schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError) as error:
        raise DataError(_damaged(path, error)) from error


def _damaged(path: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{path}: expected a whole Parquet file, got {reason}; get the file again"


def _shown(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
