"""TFRecord files of tf.Examples, plain or gzipped."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf
from apache_beam.io import tfrecordio
from google.protobuf.message import DecodeError
from tfx.types import standard_component_specs as specs

from components.example_gens import files
from components.example_gens.examples import serialized
from components.example_gens.executor import SplitExecutor
from errors import DataError


@beam.ptransform_fn
def _tfrecord_to_records(pipeline: beam.Pipeline, exec_properties: dict, split_pattern: str) -> beam.PCollection:
    paths = files.require(exec_properties[specs.INPUT_BASE_KEY], split_pattern)
    return (
        pipeline
        | "Files" >> beam.Create(list(paths))
        | "Spread" >> beam.Reshuffle()
        | "ReadRecords" >> beam.FlatMap(read_examples).with_output_types(bytes)
    )


class Executor(SplitExecutor):
    """Imports tf.Examples that somebody else has written."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Returns the transform from (exec_properties, pattern) to serialized tf.Examples."""
        return _tfrecord_to_records

    def check_files(self, paths: list[str]) -> None:
        """Raises DataError if a file's first record is not a tf.Example."""
        for path in paths:
            next(read_examples(path), None)


def read_examples(path: str) -> Iterator[bytes]:
    """Yields the records, each parsed and serialized again deterministically.

    Raises:
      DataError: the file is damaged or cut (a plain file that is cut between two records is not recognised), or a record is no
        tf.Example.
    """
    for number, record in enumerate(_read_records(path)):
        try:
            example = tf.train.Example.FromString(record)
        except DecodeError:
            raise DataError(_not_an_example(path, number, "other bytes")) from None
        if _has_foreign_fields(example):
            raise DataError(_not_an_example(path, number, "another protocol buffer"))
        if not example.features.feature:
            raise DataError(_not_an_example(path, number, "one without features"))
        yield serialized(example)


def _read_records(path: str) -> Iterator[bytes]:
    """Yields a file's records after checking their sums."""
    number = 0
    with files.opened(path) as file:
        try:
            # The function inside beam.io.ReadFromTFRecord, which unlike tf.data does not drop a cut header silently. Called
            # directly, because there the error loses the name of the file and a cut gzip stream passes.
            while (record := tfrecordio._TFRecordUtil.read_record(file)) is not None:
                yield record
                number += 1
        except (ValueError, *files.BROKEN_STREAM) as error:
            raise DataError(
                f"{path}: expected a whole TFRecord file, got damaged bytes or none after {number} records; get the file again"
            ) from error


def _has_foreign_fields(example: tf.train.Example) -> bool:
    """True if the bytes held fields that tf.Example does not have, as those of a SequenceExample do."""
    size = example.ByteSize()
    example.DiscardUnknownFields()
    return example.ByteSize() != size


def _not_an_example(path: str, number: int, got: str) -> str:
    return f"{path} record {number}: expected a tf.Example, got {got}; write tf.train.Example protos"
