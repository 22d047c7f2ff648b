"""`python -m lineage gc` on real stores and directories."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from errors import BusyError, ConfigError
from lineage import audit_log, locking
from lineage.retention import collecting
from lineage.retention.command import gc
from serving import layout, models_config, records
from serving.models_config import Held

pytestmark = pytest.mark.slow
RECORDS = {"decision", "blessing", "pushed_model"}


def gone_of(root, *runs: str) -> set[int]:
    return {one for run in runs for key, one in root.made[run].items() if key not in RECORDS}


@pytest.fixture
def three(root):
    """Three runs, each of which pushed; the last one is live."""
    root.run("run-1", push=True)
    root.run("run-2", push=True)
    root.run("run-3", push=True)
    return root


def remove_version(root, run: str) -> None:
    """As `python -m serving prune` does."""
    pushed = root.graph.artifacts[root.made[run]["pushed_model"]]
    number = int(pushed.properties["pushed_version"])
    layout.remove(Path(root.places.serving_root, "digits"), number)
    removed = [{"version": number, "digest": pushed.digest}]
    records.add(root.places.serving_root, records.PRUNE, "digits", None, removed=removed)


def test_dry_run_is_the_default_and_changes_nothing(root, capsys) -> None:
    root.run("run-1")
    before = (root.there(), root.live(), sorted(os.listdir(root.places.root)))
    assert root.gc("--keep-runs", "0") == 0
    assert (root.there(), root.live(), sorted(os.listdir(root.places.root))) == before
    assert "would remove 5 directories" in capsys.readouterr().out


def test_applied_it_removes_what_nothing_needs_and_marks_it_and_keeps_the_records(root, capsys) -> None:
    root.run("run-1")
    made = root.made["run-1"]
    records = {one for key, one in made.items() if key in RECORDS}
    bytes_before = {one.id: one for one in root.graph.artifacts.values()}
    assert root.gc("--keep-runs", "0", "--apply", "--json") == 0
    assert root.there() == root.live() == records
    told = json.loads(capsys.readouterr().out)
    assert {one["id"] for one in told["removed"]} == gone_of(root, "run-1")
    entry = audit_log.read(root.places.audit_log)[-1]
    assert entry.event == "gc"
    assert {int(one) for one in entry.facts["artifacts"]} == gone_of(root, "run-1")
    for one, facts in entry.facts["artifacts"].items():
        assert facts["digest"] == bytes_before[int(one)].digest
    assert entry.facts["bytes"] == told["bytes"] > 500
    assert root.gc("--keep-runs", "0", "--apply") == 0
    assert len(audit_log.read(root.places.audit_log)) == 1


def test_properties_of_what_was_removed_stay_in_ml_metadata(root) -> None:
    root.run("run-1")
    before = {one.id: (one.uri, dict(one.properties), one.created) for one in root.graph.artifacts.values()}
    root.gc("--keep-runs", "0", "--apply")
    assert {one.id: (one.uri, dict(one.properties), one.created) for one in root.graph.artifacts.values()} == before


def test_every_version_on_the_disk_keeps_all_of_its_run(three) -> None:
    assert three.gc("--keep-runs", "0", "--apply") == 0
    assert three.live() == {one for made in three.made.values() for one in made.values()}


def test_version_that_was_pruned_keeps_its_records_only(three) -> None:
    remove_version(three, "run-1")
    three.gc("--keep-runs", "0", "--apply")
    assert three.there() == {one for made in three.made.values() for one in made.values()} - gone_of(three, "run-1")


def test_served_model_that_another_was_compared_with_stays_but_not_what_it_was_trained_on(root) -> None:
    first = root.run("run-1", push=True)
    root.run("run-2", push=True, served=first["model"])
    remove_version(root, "run-1")
    root.gc("--keep-runs", "0", "--apply")
    assert first["model"] in root.there()
    assert not {first["examples"], first["federated_examples"], first["evaluation"]} & root.there()


@pytest.mark.parametrize(("listed", "state"), [({}, "listed"), ({"stable": 0}, "labelled stable")])
def test_why_tells_what_needs_it(three, listed, state, capsys) -> None:
    graph = three.graph
    numbers = [int(graph.artifacts[made["pushed_model"]].properties["pushed_version"]) for made in three.made.values()]
    labels = {label: numbers[at] for label, at in listed.items()}
    models_config.put(three.places.serving_root, "digits", Held((numbers[0], numbers[2]), labels))
    for run, expected in (("run-1", f"digits/{numbers[0]} is {state}"), ("run-3", f"digits/{numbers[2]} is live")):
        three.gc("--keep-runs", "0", "--why", str(three.made[run]["federated_examples"]))
        assert capsys.readouterr().out.endswith(f"stays: {expected}\n")
    three.gc("--keep-runs", "0", "--why", str(three.made["run-2"]["model"]))
    assert "is on the disk" in capsys.readouterr().out


def test_serving_root_that_is_not_the_one_that_was_pushed_to_does_not_take_the_protection_away(three, tmp_path) -> None:
    places = ["--pipeline-root", three.places.root, "--metadata", three.places.metadata]
    assert gc(["--keep-runs", "0", "--apply", *places, "--serving-root", str(tmp_path / "elsewhere")]) == 0
    assert gone_of(three, "run-1", "run-2", "run-3") <= three.there()


def test_serving_root_that_was_moved_still_protects(three, tmp_path) -> None:
    moved = tmp_path / "moved"
    Path(three.places.serving_root).rename(moved)
    three.places = type(three.places)(three.places.root, str(moved), three.places.metadata)
    three.gc("--keep-runs", "0", "--apply")
    assert gone_of(three, "run-1", "run-2", "run-3") <= three.there()


def test_version_that_is_lost_stops_nothing_else_and_is_told_of_in_one_line_until_it_is_let_go(three, capsys) -> None:
    made = three.made["run-1"]
    pushed = three.graph.artifacts[made["pushed_model"]]
    folder = Path(pushed.properties["pushed_destination"])
    shutil.rmtree(folder)
    other = three.run("run-4")
    three.gc("--keep-runs", "0", "--apply")
    assert gone_of(three, "run-1") <= three.there()
    assert other["model"] not in three.there()
    name = f"digits/{folder.name}"
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not found")]
    assert f"{name}, pushed to {folder.parent}; " in line and "--serving-root" in line
    three.gc("--keep-runs", "0", "--json")
    told = json.loads(capsys.readouterr().out)["not_found"]
    assert told == [{"version": name, "folder": str(folder.parent), "pushed": made["pushed_model"]}]
    with pytest.raises(ConfigError, match=f"not found .{name}., got 'digits/1'"):
        three.gc("--let-go", "digits/1")
    three.gc("--keep-runs", "0", "--apply", "--let-go", name)
    assert not gone_of(three, "run-1") & three.there()


def test_version_under_another_number_protects_by_its_bytes(root) -> None:
    root.run("run-1", push=True)
    pushed = root.graph.artifacts[root.made["run-1"]["pushed_model"]]
    model = Path(pushed.properties["pushed_destination"])
    model.rename(model.parent / "7")
    root.gc("--keep-runs", "0", "--apply")
    assert gone_of(root, "run-1") <= root.there()


def test_newest_runs_of_each_pipeline_and_named_ones_stay(root) -> None:
    for run in ("run-1", "run-2", "run-3"):
        root.run(run)
    root.run("other-1", "reviews")
    Path(root.places.root, ".keep").write_text("# for the auditor\nrun-1\n")
    root.gc("--keep-runs", "1", "--apply")
    assert gone_of(root, "run-1", "run-3", "other-1") <= root.there()
    assert not gone_of(root, "run-2") & root.there()
    Path(root.places.root, ".keep").unlink()
    root.gc("--keep-runs", "1", "--keep-run", "run-1", "--apply")
    assert gone_of(root, "run-1") <= root.there()


def test_name_of_no_run_is_refused(root) -> None:
    root.run("run-1")
    with pytest.raises(ConfigError, match="expected names of runs, got 'run-7'"):
        root.gc("--keep-run", "run-7", "--apply", "--keep-runs", "0")
    assert gone_of(root, "run-1") <= root.there()


def test_young_runs_stay_by_days(root) -> None:
    root.run("run-1")
    root.gc("--keep-runs", "0", "--keep-days", "1", "--apply")
    assert gone_of(root, "run-1") <= root.there()


def test_only_artifacts_of_a_pipeline_go(root) -> None:
    root.run("run-1")
    root.run("other-1", "reviews")
    root.gc("--keep-runs", "0", "--pipeline", "reviews", "--apply")
    assert gone_of(root, "run-1") <= root.there()
    assert not gone_of(root, "other-1") & root.there()
    with pytest.raises(ConfigError, match="expected one of digits, reviews"):
        root.gc("--pipeline", "none")


def test_run_that_is_not_finished_keeps_what_it_works_on(root) -> None:
    made = root.run("run-1")
    running = type(root.writer.store.get_executions()[0]).RUNNING
    root.node("run-2", "digits", "FederatedTrainer", {"federated_examples": [made["federated_examples"]]}, {}, {}, running)
    root.gc("--keep-runs", "0", "--apply")
    assert {made["examples"], made["federated_examples"]} <= root.there()
    assert made["model"] not in root.there()


def test_what_dead_executions_left_goes_and_nothing_beside_it(root) -> None:
    root.run("run-1")
    failed = type(root.writer.store.get_executions()[0]).FAILED
    number = root.node("run-2", "digits", "FederatedTrainer", {}, {}, {}, failed)
    base = Path(root.places.root, "digits", "FederatedTrainer")
    left = [base / "model" / str(number), base / ".system" / "executor_execution" / str(number)]
    kept = [base / "model" / "999", Path(root.places.root, ".federated_trainer", "x", "y", str(number))]
    for folder in (*left, *kept):
        folder.mkdir(parents=True)
        (folder / "part").write_text("x")
    root.gc("--apply")
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in kept)
    assert len(audit_log.read(root.places.audit_log)[-1].facts["directories"]) == 2


def test_nothing_outside_of_the_root_is_touched(root, tmp_path, capsys) -> None:
    """Not by a uri that points there, not behind a link, and not the root or a node's folder itself."""
    outside = tmp_path / "outside"
    (outside / "7").mkdir(parents=True)
    (outside / "7" / "data").write_text("x")
    inside = Path(root.places.root, "digits", "ExampleGen", "examples")
    inside.mkdir(parents=True)
    (inside / "7").symlink_to(outside / "7")
    Path(root.places.root, "digits", "Linked").symlink_to(outside)
    uris = [
        str(outside / "7"),
        str(inside / "7"),
        f"{root.places.root}/digits/Linked/../Linked/7",
        f"{root.places.root}/digits/Linked/7/7",
        f"{inside}/../../../../outside/7",
        root.places.root,
        f"{root.places.root}/digits/ExampleGen",
        "gs://bucket/digits/ExampleGen/examples/7",
        "relative/digits/ExampleGen/7",
        "",
    ]
    for uri in uris:
        root.writer.execute("digits", "run-1", "ExampleGen", {}, {"examples": [root.writer.artifact("Examples", uri)]})
    assert root.gc("--keep-runs", "0", "--apply") == 0
    assert (outside / "7" / "data").read_text() == "x"
    assert (inside / "7").is_symlink()
    assert len(root.live()) == len(uris)
    assert "nothing to remove" in capsys.readouterr().out


def test_link_inside_of_an_artifact_is_removed_and_not_followed(root, tmp_path) -> None:
    made = root.run("run-1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "data").write_text("x")
    Path(root.graph.artifacts[made["examples"]].uri, "link").symlink_to(tmp_path / "outside")
    root.gc("--keep-runs", "0", "--apply")
    assert made["examples"] not in root.there()
    assert (tmp_path / "outside" / "data").read_text() == "x"


def test_directory_that_an_artifact_that_stays_has_too_stays(root) -> None:
    made = root.run("run-1", push=True)
    model = root.graph.artifacts[made["model"]]
    _, outputs = root.writer.execute(
        "digits", "run-0", "Importer", {}, {"model": [root.writer.artifact("Model", model.uri, digest=model.digest)]}
    )
    root.gc("--keep-runs", "0", "--apply")
    assert {made["model"], outputs["model"][0]} <= root.there()


def test_artifact_whose_directory_is_gone_is_told_of_and_not_taken_for_removed(root, capsys) -> None:
    made = root.run("run-1")
    shutil.rmtree(root.graph.artifacts[made["examples"]].uri)
    root.gc("--keep-runs", "0", "--apply")
    assert made["examples"] in root.live()
    assert "1 more that nothing needs have no directory any more" in capsys.readouterr().out


def test_run_or_another_gc_or_a_release_at_work_is_one_line(root, monkeypatch) -> None:
    root.run("run-1", push=True)
    with locking.exclusive(root.places.root), pytest.raises(BusyError, match="another run") as busy:
        root.gc("--apply")
    assert "\n" not in str(busy.value)
    assert root.gc() == 0
    monkeypatch.setattr(collecting, "MODEL_SECONDS", 0.05)
    with models_config.locked(Path(root.places.serving_root, "digits")), pytest.raises(BusyError):
        root.gc("--apply", "--keep-runs", "0")
    assert gone_of(root, "run-1") <= root.there()


def test_unreadable_release_state_stops_it_before_anything_goes(root) -> None:
    root.run("run-1", push=True)
    Path(root.places.serving_root, "models.config").write_text("{")
    with pytest.raises(ConfigError, match=r"models\.config"):
        root.gc("--apply", "--keep-runs", "0")
    assert gone_of(root, "run-1") <= root.there()


def test_root_that_is_not_there_is_one_line(root, tmp_path) -> None:
    root.run("run-1")
    root.places = type(root.places)(str(tmp_path / "none"), root.places.serving_root, root.places.metadata)
    with pytest.raises(ConfigError, match="expected a folder of artifacts"):
        root.gc("--apply")
