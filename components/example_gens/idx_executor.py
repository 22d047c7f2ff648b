"""IDX files as MNIST has them. The pattern names the images files; each labels file is found beside its images."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
from tfx.types import standard_component_specs as specs

from components.example_gens import files, idx
from components.example_gens.examples import image_example
from components.example_gens.executor import SplitExecutor
from components.example_gens.png import encode_grey
from errors import DataError

# Images that one worker reads in a go. A gzipped file has to be unzipped from its start for each range, so not too few.
_RANGE = 10_000


@beam.ptransform_fn
def _idx_to_records(pipeline: beam.Pipeline, exec_properties: dict, split_pattern: str) -> beam.PCollection:
    paths = files.require(exec_properties[specs.INPUT_BASE_KEY], split_pattern)
    return (
        pipeline
        | "Files" >> beam.Create(list(paths))
        | "Ranges" >> beam.FlatMap(ranges).with_output_types(tuple[str, int, int])
        | "Spread" >> beam.Reshuffle()
        | "Encode" >> beam.FlatMapTuple(read_records).with_output_types(bytes)
    )


class Executor(SplitExecutor):
    """Reads IDX images and labels, plain or gzipped."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Returns the transform from (exec_properties, pattern) to serialized tf.Examples."""
        return _idx_to_records

    def check_files(self, paths: list[str]) -> None:
        """Raises DataError if a pair of files is not whole and well-formed, or is there both plain and gzipped."""
        for path in paths:
            if f"{path}.gz" in paths:
                raise DataError(f"{path}: expected it plain or gzipped, got both, so every image twice; remove one")
            idx.check_pair(path)


def ranges(path: str) -> Iterator[tuple[str, int, int]]:
    """Yields (path, start, count) that together cover an images file."""
    total = idx.count_images(path)
    for start in range(0, total, _RANGE):
        yield path, start, min(_RANGE, total - start)


def read_records(path: str, start: int, count: int) -> Iterator[bytes]:
    """Yields a serialized tf.Example for each image of a range: `image`, a PNG, and `label`."""
    for pixels, label in idx.read_range(path, start, count):
        yield image_example(encode_grey(pixels), label)
