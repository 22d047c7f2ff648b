"""scikit-learn's bundled 1,797 handwritten digits: real data with nothing to download."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np

from components.example_gens.examples import image_example
from components.example_gens.executor import SplitExecutor
from components.example_gens.plan import Plan
from components.example_gens.png import encode_grey


@beam.ptransform_fn
def _digits_to_records(pipeline: beam.Pipeline, exec_properties: dict, split_pattern: str) -> beam.PCollection:
    return pipeline | "Start" >> beam.Create([None]) | "ReadDigits" >> beam.FlatMap(read_digits).with_output_types(bytes)


class Executor(SplitExecutor):
    """Reads the digits that come with scikit-learn."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Returns the transform from (exec_properties, pattern) to serialized tf.Examples; both are ignored."""
        return _digits_to_records

    def check_input(self, plan: Plan) -> int:
        """Returns 0: there are no files to check."""
        return 0

    def check_files(self, paths: list[str]) -> None:
        """Nothing to check."""


def read_digits(_: None = None) -> Iterator[bytes]:
    """Yields a serialized tf.Example for each digit: `image`, an 8x8 PNG, and `label`."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for image, label in zip(digits.images, digits.target, strict=True):
        yield image_example(encode_grey(scaled(image)), int(label))


def scaled(image: np.ndarray) -> np.ndarray:
    """Returns a digit's 17 grey levels (0..16, float) as uint8 0..255, rounded half up: (255 v + 8) // 16."""
    return ((image.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
