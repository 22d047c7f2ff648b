"""CSV: one header, comma separated, UTF-8, column types inferred over a whole split as TFX's CsvExampleGen does."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import apache_beam as beam
from tfx.components.example_gen.csv_example_gen import executor as tfx_csv
from tfx.types import standard_component_specs as specs
from tfx_bsl.coders import csv_decoder

from components.example_gens import files
from components.example_gens.examples import serialized
from components.example_gens.executor import SplitExecutor
from errors import DataError


class _CsvToRecords(beam.PTransform):
    """TFX's transform with a reader that can say which line of which file is wrong."""

    def __init__(self, exec_properties: dict, split_pattern: str):
        super().__init__()
        self._paths = list(files.require(exec_properties[specs.INPUT_BASE_KEY], split_pattern))

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Returns serialized tf.Examples."""
        columns = header(self._paths[0])
        rows = (
            pipeline
            | "Files" >> beam.Create(self._paths)
            | "Spread" >> beam.Reshuffle()
            | "ReadRows" >> beam.FlatMap(read_rows).with_output_types(list[csv_decoder.CSVCell])
        )
        types = rows | "InferTypes" >> beam.CombineGlobally(csv_decoder.ColumnTypeInferrer(columns, skip_blank_lines=True))
        # TFX's own conversion, so that features are what its users know; it is not public.
        to_example = tfx_csv._ParsedCsvToTfExample()
        return (
            rows | "ToExample" >> beam.ParDo(to_example, beam.pvalue.AsSingleton(types)) | "Serialize" >> beam.Map(serialized)
        )


class Executor(SplitExecutor):
    """Reads CSV files, plain or gzipped."""

    def GetInputSourceToExamplePTransform(self) -> type[beam.PTransform]:
        """Returns the transform from (exec_properties, pattern) to serialized tf.Examples."""
        return _CsvToRecords

    def check_files(self, paths: list[str]) -> None:
        """Raises DataError if headers differ or repeat a column, or a file has no row under its header."""
        first = header(paths[0])
        for path in paths:
            columns = header(path)
            if columns != first:
                raise DataError(
                    f"{path}: expected the header of {paths[0]} ({_shown(first)}), got {_shown(columns)}; make the headers"
                    " equal, or name the right files in data.splits"
                )
            if next(read_rows(path), None) is None:
                raise DataError(f"{path}: expected rows under the header, got none; add rows or remove the file")


def header(path: str) -> list[str]:
    """Returns the column names.

    Raises:
      DataError: the first line is blank, not CSV, not UTF-8, or names a column twice.
    """
    columns = next(_cells(path), (1, []))[1]
    if not columns:
        raise DataError(f"{path} line 1: expected a header with the column names, got a blank line; add a header")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path} line 1: expected different column names, got {twice[0]!r} twice; rename one")
    return columns


def read_rows(path: str) -> Iterator[list[bytes]]:
    """Yields the rows under the header, cells as UTF-8 bytes; blank lines are skipped.

    Raises:
      DataError: with the line number, a row that is not UTF-8, not CSV, or not as long as the header.
    """
    rows = _cells(path)
    width = len(next(rows, (1, []))[1])
    for line, cells in rows:
        if cells and len(cells) != width:
            raise DataError(
                f"{path} line {line}: expected {width} fields as in the header, got {len(cells)}; put fields that hold a comma"
                " in double quotes"
            )
        if cells:
            yield [cell.encode() for cell in cells]


def _cells(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (number of the last line read, cells), header included."""
    with files.opened(path) as file:
        reader = csv.reader((_decoded(path, number, line) for number, line in enumerate(file, 1)), strict=True)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise DataError(
                f"{path} line {reader.line_num}: expected CSV, got {error}; check the quotes and line ends there"
            ) from error
        except files.BROKEN_STREAM as error:
            raise DataError(f"{path}: expected a whole gzip file, got {error}; get the file again") from error


def _decoded(path: str, number: int, line: bytes) -> str:
    try:
        # Spreadsheets put a byte order mark in front of the first column's name.
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} line {number}: expected UTF-8, got byte 0x{line[error.start]:02x} at position {error.start};"
            " save the file as UTF-8"
        ) from error


def _shown(columns: list[str]) -> str:
    return ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
