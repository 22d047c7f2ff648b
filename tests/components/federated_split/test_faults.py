"""Damaged input, a full disk, and data that is larger than memory, met by the real executor."""

import os
import random
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
import pytest

from components import FederatedExamples
from components.federated_split import division
from components.federated_split.blocks import Clients
from components.federated_split.parameters import check_parameters
from components.federated_split.records import read_records
from errors import DataError, FedtfxError, IntegrityError
from lineage.digests import tree_digest

ROOT = Path(__file__).parents[3]
IID = {"strategy": "iid", "clients": 10, "label": "label"}


@pytest.fixture
def examples(make_example, write_examples):
    """Published examples in a plain TFRecord file, where a cut between two records leaves no trace."""
    written = write_examples([make_example(label=number % 3, x=number) for number in range(200)], files=0)
    path = Path(written.uri, "Split-train", "data_tfrecord-00000-of-00001")
    path.parent.mkdir(parents=True)
    with tf_writer(path) as writer:
        for number in range(200):
            writer.write(make_example(label=number % 3, x=number))
    written.set_string_custom_property("digest", tree_digest(written.uri))
    return written


def tf_writer(path: Path):
    import tensorflow as tf

    return tf.io.TFRecordWriter(str(path))


def the_file(examples) -> Path:
    (path,) = Path(examples.uri, "Split-train").iterdir()
    return path


def record_start(data: bytes, number: int) -> int:
    at = 0
    for _ in range(number):
        at += 16 + struct.unpack_from("<Q", data, at)[0]
    return at


def test_published_examples_are_divided(examples, divide) -> None:
    Clients.open(divide(examples, **IID).uri).verify()


@pytest.mark.parametrize(
    ("beyond", "error", "message"),
    [
        (0, IntegrityError, "expected the published examples in .*/examples, found other files; run ExampleGen again"),
        (5, DataError, "data_tfrecord-00000-of-00001, found a cut or damaged one"),
        (20, DataError, "data_tfrecord-00000-of-00001, found a cut or damaged one"),
    ],
    ids=["on a boundary", "in a header", "in a payload"],
)
def test_a_truncated_file_is_refused_wherever_it_is_cut(beyond, error, message, examples, divide, tmp_path) -> None:
    path = the_file(examples)
    data = path.read_bytes()
    path.write_bytes(data[: record_start(data, 150) + beyond])
    with pytest.raises(error, match=message) as raised:
        divide(examples, **IID)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "federated").iterdir()) == []


def test_one_flipped_bit_is_refused_and_the_file_named(examples, divide, tmp_path) -> None:
    path = the_file(examples)
    data = bytearray(path.read_bytes())
    data[record_start(data, 99) + 15] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"whole TFRecords in {path}, found a cut or damaged one"):
        divide(examples, **IID)
    assert list((tmp_path / "federated").iterdir()) == []


def test_a_file_more_than_was_published_is_refused(examples, divide) -> None:
    shutil.copy(the_file(examples), the_file(examples).with_name("data_tfrecord-00001-of-00002"))
    with pytest.raises(IntegrityError, match="found other files"):
        divide(examples, **IID)


def test_a_missing_file_is_refused_and_named(tmp_path) -> None:
    files = [str(tmp_path / "gone.gz")]
    request = division.Request("iid", check_parameters("iid", {"clients": 1}), 1)
    with pytest.raises(DataError, match=r"expected TFRecords in .*gone\.gz, found no such file; put it back") as raised:
        division.divide(files, str(tmp_path / "out"), request, beam.Pipeline)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=r"gone\.gz, found no such file"):
        list(read_records(files[0]))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# With one input file, what the first pass spills of it is too large; with many, what the second pass spills.
@pytest.mark.parametrize("files", [1, 40])
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(
    files, make_example, write_examples, divide, tmp_path
) -> None:
    noise = random.Random(1)
    given = write_examples([make_example(label=0, x=noise.randbytes(5000)) for _ in range(400)], files=files)
    with largest_file(1_000_000), pytest.raises(FedtfxError, match=r"found the disk full \(File too large\)") as raised:
        divide(given, strategy="iid", clients=4)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "federated").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, or a skipped test where it may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs to be root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (600, r"found the disk full \(No space left on device\)"),
        (250, "expected about 3 MiB free on the disk of .*, found 1 MiB"),
    ],
    ids=["while reading", "before writing"],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(count, message, make_example, write_examples, divide, small_disk) -> None:
    noise = random.Random(1)
    given = write_examples([make_example(label=0, x=noise.randbytes(5000)) for _ in range(count)], files=4)
    with pytest.raises(FedtfxError, match=message) as raised:
        divide(given, strategy="iid", clients=4, out="disk/federated")
    assert "\n" not in str(raised.value)
    assert list((small_disk / "federated").iterdir()) == []


MEMORY = """
import resource, sys
import apache_beam as beam
from components.federated_split import division
from components.federated_split.parameters import check_parameters

parameters = check_parameters("by_key", {"key": "user", "holdout": 0.1})
division.divide([sys.argv[1]], sys.argv[2], division.Request("by_key", parameters, 1), beam.Pipeline)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_size_of_a_client(make_example, tmp_path) -> None:
    peaks = []
    for megabytes in (50, 500):
        path = tmp_path / f"{megabytes}"
        with tf_writer(path) as writer:
            for _ in range(megabytes * 10):
                writer.write(make_example(user=b"the only one", x=os.urandom(100_000)))
        command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path / f"out-{megabytes}")]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
        found = FederatedExamples.open(str(tmp_path / f"out-{megabytes}"))
        assert len(found) == 1
    assert peaks[1] < peaks[0] + 100, peaks
