from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tensorflow as tf

from components.serving_check.sampling import choose
from errors import DataError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes gzipped files of records and returns their names."""

    def files(*contents: Sequence[bytes]) -> list[str]:
        paths = [str(tmp_path / f"data-{number}.gz") for number in range(len(contents))]
        for path, records in zip(paths, contents, strict=True):
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for record in records:
                    writer.write(record)
        return paths

    return files


RECORDS = [f"record {number}".encode() for number in range(50)]


def test_the_same_seed_chooses_the_same_examples_wherever_they_lie(write: Callable[..., list[str]]) -> None:
    chosen = choose(write(RECORDS), 5, seed=1)
    assert len(set(chosen)) == 5
    assert chosen == choose(write(RECORDS[30:], RECORDS[:30][::-1]), 5, seed=1)


def test_another_seed_chooses_others(write: Callable[..., list[str]]) -> None:
    paths = write(RECORDS)
    assert choose(paths, 5, seed=1) != choose(paths, 5, seed=2)


def test_too_few_examples_are_all_chosen(write: Callable[..., list[str]]) -> None:
    assert sorted(choose(write(RECORDS[:3], []), 5, seed=1)) == RECORDS[:3]


def test_no_more_is_read_than_is_needed(write: Callable[..., list[str]], tmp_path: Path) -> None:
    (first,) = write(RECORDS)
    (tmp_path / "z.gz").write_bytes(b"damaged")
    assert len(choose([first, str(tmp_path / "z.gz")], 1, seed=1)) == 1
    with pytest.raises(DataError, match="damaged"):
        choose([first, str(tmp_path / "z.gz")], 5, seed=1)
