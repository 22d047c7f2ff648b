"""Drivers that decide from content, not from file times, whether the input changed.

A driver must not fail on bad data: TFX has registered the execution before it asks, and one whose driver raises stays RUNNING
in ML Metadata for ever. So whatever is there gets a fingerprint, and the executor, whose failures are recorded, complains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from tfx.components.example_gen.driver import FileBasedDriver, QueryBasedDriver
from tfx.components.example_gen.input_processor import FileBasedInputProcessor, QueryBasedInputProcessor
from tfx.proto import example_gen_pb2, range_config_pb2

from components.example_gens import content, files, idx

Splits = Iterable[example_gen_pb2.Input.Split]


class _ContentInputProcessor(FileBasedInputProcessor):
    """Spans and versions as TFX resolves them; the fingerprint is our own."""

    def __init__(
        self,
        base: str,
        splits: Splits,
        range_config: range_config_pb2.RangeConfig | None,
        companions: Callable[[str], list[str]],
    ):
        super().__init__(base, splits, range_config)
        self._companions = companions

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """Returns the latest span and version, (0, None) for patterns without any.

        TFX reads every file's time on the way and fails on a link to nothing; patterns without a span need none of that.
        """
        if any("{" in split.pattern for split in self._splits):
            return super().resolve_span_and_version()
        return 0, None

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """Returns the sha256 over the content of all files that the splits' patterns mean, and their companions."""
        paths: set[str] = set()
        for split in self._splits:
            found = files.find(self._input_base_uri, self.get_pattern_for_span_version(split.pattern, span, version))
            paths.update(found)
            paths.update(companion for path in found for companion in self._companions(path))
        return content.fingerprint(self._input_base_uri, paths)


class ContentDriver(FileBasedDriver):
    """Resolves the input of a file-based ExampleGen and fingerprints its content."""

    def companions(self, path: str) -> list[str]:
        """Returns the files that are read along with `path`, although no pattern names them."""
        return []

    def get_input_processor(
        self,
        splits: Splits,
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> FileBasedInputProcessor:
        """Returns the processor that TFX asks for span, version and fingerprint."""
        return _ContentInputProcessor(input_base_uri or "", splits, range_config, self.companions)


class IdxDriver(ContentDriver):
    """The same, with the labels file beside each images file."""

    def companions(self, path: str) -> list[str]:
        """Returns the labels files of an images file, as far as they exist."""
        return idx.existing_labels(path)


class _DigitsInputProcessor(QueryBasedInputProcessor):
    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """Returns the sha256 of the bundled images and labels, which a new scikit-learn could change."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return hashlib.sha256(digits.images.tobytes() + digits.target.tobytes()).hexdigest()


class DigitsDriver(QueryBasedDriver):
    """Fingerprints scikit-learn's bundled digits."""

    def get_input_processor(
        self,
        splits: Splits,
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> QueryBasedInputProcessor:
        """Returns the processor that TFX asks for the fingerprint."""
        return _DigitsInputProcessor(splits, range_config)
