from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

IMAGES, LABELS = "t-images-idx3-ubyte", "t-labels-idx1-ubyte"
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 4, 5), np.uint8)


def _idx(values: np.ndarray, kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape) + values.tobytes()


IMAGE_BYTES, LABEL_BYTES = _idx(PIXELS), _idx(np.arange(60, dtype=np.uint8))


def _write(
    folder: Path, images: bytes = IMAGE_BYTES, labels: bytes = LABEL_BYTES, images_name=IMAGES, labels_name=LABELS
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / images_name).write_bytes(images)
    (folder / labels_name).write_bytes(labels)
    return folder


def _decoded(rows: list[dict]) -> dict[int, np.ndarray]:
    return {row["label"][0]: tf.io.decode_png(row["image"][0]).numpy()[..., 0] for row in rows}


def test_plain_and_gzipped_files_give_the_same_bytes(tmp_path, generate, records):
    plain = generate("idx", _write(tmp_path / "plain"))
    zipped = _write(tmp_path / "zipped", gzip.compress(IMAGE_BYTES), gzip.compress(LABEL_BYTES), f"{IMAGES}.gz", f"{LABELS}.gz")
    for split in ("train", "eval"):
        assert records(plain, split) == records(generate("idx", zipped), split)


@pytest.mark.parametrize(
    ("images_name", "labels_name"),
    [(IMAGES, f"{LABELS}.gz"), (f"{IMAGES}.gz", LABELS), ("t-images.idx3-ubyte", "t-labels.idx1-ubyte")],
)
def test_images_keep_pixels_and_labels_however_the_pair_is_named(tmp_path, generate, rows, images_name, labels_name):
    folder = _write(tmp_path / "data", images_name=images_name, labels_name=labels_name)
    found = _decoded(rows(generate("idx", folder)))
    assert sorted(found) == list(range(60))
    assert all(np.array_equal(found[label], PIXELS[label]) for label in found)


def test_files_read_in_several_ranges_lose_and_repeat_nothing(tmp_path, generate, rows, monkeypatch):
    monkeypatch.setattr("components.example_gens.idx_executor._RANGE", 7)
    found = rows(generate("idx", _write(tmp_path / "data", gzip.compress(IMAGE_BYTES))))
    assert len(found) == 60
    assert all(np.array_equal(pixels, PIXELS[label]) for label, pixels in _decoded(found).items())


@pytest.mark.slow
def test_mnist_test_images_decode_to_the_pixels_of_the_file(test_data, tmp_path, generate, rows):
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(test_data / "mnist" / name, tmp_path)
    found = rows(generate("idx", tmp_path))
    labels = np.array([row["label"][0] for row in found])
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    content = gzip.decompress((tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    truth = {content[784 * i : 784 * (i + 1)] for i in range(10_000)}
    assert {tf.io.decode_png(row["image"][0]).numpy().tobytes() for row in found[:500]} <= truth


def test_given_splits_name_images_and_find_their_labels(tmp_path, generate, rows):
    _write(tmp_path, images_name="train-images-idx3-ubyte", labels_name="train-labels-idx1-ubyte")
    _write(tmp_path, _idx(PIXELS[:3]), _idx(np.array([7, 8, 9], np.uint8)))
    examples = generate("idx", tmp_path, {"train": "train-images-idx3-ubyte*", "eval": "t-images-idx3-ubyte*"})
    assert sorted(_decoded(rows(examples, "eval"))) == [7, 8, 9]
    assert examples.get_int_custom_property("num_examples_train") == 60


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGE_BYTES[:-1], LABEL_BYTES, f"{IMAGES}: expected 1200 bytes after the header for shape [60, 4, 5], got 1199"),
        (IMAGE_BYTES + b"x", LABEL_BYTES, f"{IMAGES}: expected 1200 bytes after the header for shape [60, 4, 5], got 1201"),
        (IMAGE_BYTES[:9], LABEL_BYTES, f"{IMAGES}: expected an IDX header of 16 bytes, got a file of 9"),
        (gzip.compress(IMAGE_BYTES, mtime=0)[:-20], LABEL_BYTES, f"{IMAGES}: expected a whole gzip file"),
        (gzip.compress(IMAGE_BYTES, mtime=0)[:6], LABEL_BYTES, f"{IMAGES}: expected a whole gzip file"),
        (b"\x89PNG" * 8, LABEL_BYTES, f"{IMAGES}: expected IDX magic 0x00000803, got 0x89504e47"),
        (LABEL_BYTES, IMAGE_BYTES, f"{IMAGES}: expected IDX magic 0x00000803, got 0x00000801"),
        (_idx(PIXELS, 0x0D), LABEL_BYTES, f"{IMAGES}: expected IDX values of type uint8, got float32"),
        (IMAGE_BYTES, _idx(np.zeros(59, np.uint8)), f"{LABELS}: expected 60 labels, as many as images, got 59"),
        (IMAGE_BYTES, IMAGE_BYTES, f"{LABELS}: expected IDX magic 0x00000801, got 0x00000803"),
        (IMAGE_BYTES, LABEL_BYTES[:-4], f"{LABELS}: expected 60 bytes after the header for shape [60], got 56"),
        (IMAGE_BYTES, _idx(np.zeros(60, np.int16), 0x0B), f"{LABELS}: expected IDX values of type uint8, got int16"),
    ],
)
def test_bad_file_is_one_line(tmp_path, refused, images, labels, message):
    assert message in refused("idx", _write(tmp_path / "data", images, labels))


def test_missing_labels_are_named(tmp_path, refused):
    (tmp_path / IMAGES).write_bytes(IMAGE_BYTES)
    assert f"{IMAGES}: expected a labels file beside it" in refused("idx", tmp_path)


def test_images_that_are_there_plain_and_gzipped_are_refused(tmp_path, refused):
    _write(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(IMAGE_BYTES))
    assert f"{IMAGES}: expected it plain or gzipped, got both" in refused("idx", tmp_path)


def test_labels_given_as_images_are_refused(tmp_path, refused):
    _write(tmp_path)
    message = refused("idx", tmp_path, {"train": IMAGES, "eval": LABELS})
    assert f"{LABELS}: expected a name with 'images-idx3'" in message


def test_missing_files_are_one_line(tmp_path, refused):
    assert "expected files that match '*images?idx3-ubyte*', got an empty folder" in refused("idx", tmp_path)
