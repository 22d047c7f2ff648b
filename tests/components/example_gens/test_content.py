"""Files found and read without Beam are those that ExampleGen finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.example_gens import content, files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "data [1]"
    for name in ("a.csv", "b.csv", ".hidden.csv", "c.txt", "sub/a.csv", ".dot/a.csv", "sub/deep/a.csv", "dir.csv/x"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    (base / "link.csv").symlink_to("a.csv")
    (base / "broken.csv").symlink_to("nowhere.csv")
    return base


@pytest.mark.parametrize(
    "pattern", ["*.csv", "a.csv", "?.csv", "[ab].csv", "*/*.csv", "s*/a.csv", "*", "nothing", "sub/deep/*"]
)
def test_patterns_mean_the_same_files(folder: Path, pattern: str) -> None:
    assert content.local_files(str(folder), pattern) == sorted(files.find(str(folder), pattern))


@pytest.mark.parametrize("name", ["a.csv", "*.csv", "sub", "nowhere"])
def test_base_may_name_the_files_itself(folder: Path, name: str) -> None:
    base = str(folder / name)
    assert content.local_files(base, "*.txt") == sorted(files.find(base, "*.txt"))


def test_labels_of_images_are_named_with_and_without_gz() -> None:
    assert content.labels_beside("d/train-images-idx3-ubyte") == ["d/train-labels-idx1-ubyte", "d/train-labels-idx1-ubyte.gz"]
    assert content.labels_beside("d/pictures") == []
