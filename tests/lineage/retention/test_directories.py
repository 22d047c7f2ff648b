"""Only the directory that TFX gave an execution's output is ever removed, whatever ML Metadata was made to say."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from lineage.graph import COMPLETE, Artifact, Execution, Graph, Use
from lineage.retention import directories
from lineage.retention.collecting import what_goes

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
OWN = "p/node/out/7"


def taken(root: Path, uri: str) -> list[str]:
    """The directories that would go if nothing needed the one output of execution 7, which has this uri."""
    artifact = Artifact(1, "Model", uri, "live", "", {}, NOW)
    execution = Execution(7, "node", "node", "p", "run-1", COMPLETE, {}, NOW, NOW)
    graph = Graph({1: artifact}, {7: execution}, (Use(7, 1, "out", 0, True, NOW),), {})
    kept: dict[int, str] = {}
    goes = what_goes(str(root), [artifact], graph, kept)
    assert (1 in kept) == (not goes.artifacts)
    return [one.uri for one in goes.artifacts]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with directories of the right shape, of others and of its own, and one outside beside it."""
    made = tmp_path / "root"
    for path in (OWN, "p/node/out/8", "p/other/out/7", "q/node/out/7", "serving/models/digits/7", ".federated_trainer/a/b/7"):
        (made / path).mkdir(parents=True)
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / OWN).mkdir(parents=True)
    return made


def test_its_own_directory_goes_however_it_is_spelled(root: Path) -> None:
    for uri in (f"{root}/{OWN}", f"{root}/{OWN}/", f"{root}//p/./node/out/7"):
        assert taken(root, uri) == [uri]


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "p/node/out/8",
        "p/other/out/7",
        "q/node/out/7",
        "serving/models/digits/7",
        ".federated_trainer/a/b/7",
        "p",
        "p/node/out",
    ],
)
def test_no_other_directory_of_the_root_goes(root: Path, uri: str) -> None:
    assert taken(root, f"{root}/{uri}") == []


def test_nothing_outside_of_the_root_goes(root: Path, monkeypatch) -> None:
    outside = root.parent / "outside"
    monkeypatch.chdir(root)
    for uri in (str(outside / OWN), str(root.parent), "/", OWN, f"./{OWN}", f"file://{root}/{OWN}", f"{root}/../outside/{OWN}"):
        assert taken(root, uri) == []


def test_two_dots_behind_a_link_lead_nowhere(root: Path) -> None:
    """By its letters it is the execution's own directory, for the kernel one outside."""
    (root / "link").symlink_to(root.parent / "outside" / "deep")
    uri = f"{root}/link/../{OWN}"
    assert Path(uri).samefile(root.parent / "outside" / OWN)
    assert taken(root, uri) == []


def test_directory_that_is_a_link_or_behind_one_stays(root: Path) -> None:
    own = root / OWN
    own.rmdir()
    own.symlink_to(root.parent / "outside" / OWN)
    assert taken(root, str(own)) == []
    own.parent.rename(root / "out")
    own.parent.symlink_to(root.parent / "outside" / "p" / "node" / "out")
    assert taken(root, str(own)) == []


def test_root_that_is_reached_through_a_link_is_that_root(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert taken(link, f"{root}/{OWN}") == [f"{root}/{OWN}"]
    assert taken(link, f"{link}/{OWN}") == [f"{link}/{OWN}"]


def test_only_numbered_directories_that_gc_hid_are_taken_for_hidden(root: Path) -> None:
    hidden = directories.hide(root / OWN, "0123456789abcdef")
    (root / "p" / "node" / "out" / ".gc-else").mkdir()
    (root / ".clients").mkdir()
    assert directories.hidden(str(root)) == [(hidden, "0123456789abcdef")]
