"""A version that was pushed protects what it was made from until it was pruned, whether it is found or not."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest

from errors import IntegrityError
from lineage.digests import tree_digest
from lineage.graph import COMPLETE, Artifact, Execution, Graph, Run, Use
from lineage.retention import plan, served
from lineage.retention.unseen import pushed_and_unseen
from serving import records
from serving.records import PRUNE, PUSH

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
EXAMPLES, MODEL, PUSHED = 1, 2, 3
DIGEST = "ab" * 32


def graph_of(destination: str | int, **facts: str | int) -> Graph:
    """A run that trained a model on examples and pushed it."""
    properties = {"pushed": 1, "model_id": MODEL, "pushed_destination": destination, "digest": DIGEST, **facts}
    artifacts = {
        EXAMPLES: Artifact(EXAMPLES, "Examples", "/r/p/a/o/1", "live", "", {}, NOW),
        MODEL: Artifact(MODEL, "Model", "/r/p/b/o/2", "live", "", {}, NOW),
        PUSHED: Artifact(PUSHED, "PushedModel", "/r/p/c/o/3", "live", "", properties, NOW),
    }
    executions = {one: Execution(one, "node", "node", "p", "run-1", COMPLETE, {}, NOW, NOW) for one in artifacts}
    uses = [Use(one, one, "out", 0, True, NOW) for one in artifacts]
    uses += [Use(MODEL, EXAMPLES, "examples", 0, False, NOW), Use(PUSHED, MODEL, "model", 0, False, NOW)]
    return Graph(artifacts, executions, tuple(uses), {"run-1": Run(1, "run-1", "p", {}, NOW)})


def going(serving_root: Path, graph: Graph) -> set[int]:
    """What would go if no run were kept for its own sake."""
    versions = served.versions(serving_root, graph)
    roots = plan.roots_of(graph, [*versions, *pushed_and_unseen(serving_root, graph, versions)], {})
    return {one.id for one in plan.planned(graph, roots).remove}


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """A version's directory in a serving root, whose log tells of its push."""
    folder = tmp_path / "models" / "digits" / "7"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("x")
    records.add(tmp_path / "models", PUSH, "digits", 7, version=7, digest=DIGEST)
    return folder


def prune(serving_root: Path, digest: str = DIGEST, version: int = 7) -> None:
    records.add(serving_root, PRUNE, "digits", None, removed=[{"version": version, "digest": digest}])


def test_serving_root_that_is_gone_or_empty_takes_no_protection_away(pushed: Path, tmp_path: Path) -> None:
    graph, models = graph_of(str(pushed)), tmp_path / "models"
    assert going(models, graph) == set()
    models.rename(tmp_path / "moved")
    assert going(models, graph) == set()
    models.mkdir()  # where nothing is mounted
    assert going(models, graph) == set()
    assert going(tmp_path / "moved", graph) == set()
    assert going(tmp_path / "none", graph) == set()


def test_version_or_model_that_somebody_removed_by_hand_protects(pushed: Path, tmp_path: Path) -> None:
    graph = graph_of(str(pushed))
    for gone in (pushed, pushed.parent):
        shutil.rmtree(gone)
        assert going(tmp_path / "models", graph) == set()
    (tmp_path / "models" / records.FILE).unlink()
    assert going(tmp_path / "models", graph) == set()
    assert going(tmp_path / "elsewhere", graph) == set()


def test_pruned_version_protects_nothing_wherever_its_serving_root_is_now(pushed: Path, tmp_path: Path) -> None:
    graph, models = graph_of(str(pushed)), tmp_path / "models"
    shutil.rmtree(pushed)
    prune(models)
    assert going(models, graph) == going(tmp_path / "elsewhere", graph) == {EXAMPLES, MODEL}
    models.rename(tmp_path / "moved")
    assert going(tmp_path / "moved", graph) == {EXAMPLES, MODEL}
    assert going(models, graph) == set()


def test_version_that_was_found_again_after_it_was_pruned_protects_when_it_is_lost(pushed: Path, tmp_path: Path) -> None:
    shutil.rmtree(pushed)
    prune(tmp_path / "models")
    records.add(tmp_path / "models", records.FOUND, "digits", 7, version=7, digest=DIGEST)
    assert going(tmp_path / "models", graph_of(str(pushed))) == set()


def test_log_that_tells_of_another_version_or_other_bytes_of_that_name_proves_nothing(pushed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    graph = graph_of(str(pushed))
    shutil.rmtree(tmp_path / "models")
    prune(other, digest="cd" * 32)
    prune(other, version=8)
    assert going(other, graph) == set()


@pytest.mark.parametrize("destination", ["digits/7", "../models/digits/7", "7", "", 7, "gs://bucket/digits/7"])
def test_push_whose_place_cannot_be_told_protects(destination: str | int, tmp_path: Path, monkeypatch) -> None:
    """Nor does a relative one make a folder here count as a model's."""
    graph = graph_of(destination)
    (tmp_path / "here" / "8").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert served.model_directories(tmp_path / "models", graph) == []
    assert going(tmp_path / "models", graph) == set()


def test_log_that_was_altered_stops_it(pushed: Path, tmp_path: Path) -> None:
    shutil.rmtree(pushed)
    prune(tmp_path / "models")
    log = tmp_path / "models" / records.FILE
    log.write_text(log.read_text().replace('"version": 7', '"version": 8', 1))
    with pytest.raises(IntegrityError):
        going(tmp_path / "models", graph_of(str(pushed)))


def test_what_servers_load_from_another_folder_protects(pushed: Path, tmp_path: Path) -> None:
    """models.config says so; the bytes tell what it is."""
    graph, models = graph_of(str(pushed), digest=tree_digest(pushed)), tmp_path / "models"
    shutil.copytree(pushed, tmp_path / "hand" / "9")
    shutil.rmtree(pushed)
    prune(models, digest=tree_digest(tmp_path / "hand" / "9"))
    records.add(models, PUSH, "digits", None, version=8, digest=graph.artifacts[PUSHED].digest)
    assert going(models, graph) == {EXAMPLES, MODEL}
    listed = f"config {{ name: 'digits' base_path: '{tmp_path / 'hand'}' model_platform: 'tensorflow' }}"
    (models / "models.config").write_text(f"model_config_list {{ {listed} }}")
    assert going(models, graph) == set()


def test_line_tells_why_and_what_to_do(pushed: Path, tmp_path: Path) -> None:
    graph = graph_of(str(pushed))
    os.rename(tmp_path / "models", tmp_path / "moved")
    [one] = pushed_and_unseen(tmp_path / "models", graph, served.versions(tmp_path / "models", graph))
    assert one.why == f"digits/7, pushed to {pushed.parent}, is not there and was not pruned"
