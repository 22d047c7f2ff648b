"""The serving directory and the state of releases: a model that is held, and what nobody had written down."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from errors import ConfigError, IntegrityError
from lineage import audit_log
from serving import layout, models_config
from serving.models_config import Held


@pytest.fixture
def model_dir(tmp_path):
    return tmp_path / "served" / "digits"


def saved_model(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(content)
    return path


def held_at_the_first_of_two(tmp_path, model_dir) -> tuple[Path, Path]:
    """Versions 10 and 11, of which 10 is served."""
    old, new = saved_model(tmp_path / "old", "old"), saved_model(tmp_path / "new", "new")
    layout.publish(old, model_dir, now=lambda: 10)
    models_config.put(model_dir.parent, "digits", Held((10,)))
    assert layout.publish(new, model_dir, now=lambda: 11).live == 10
    return old, new


def test_push_of_a_held_model_is_complete_and_not_live(tmp_path, model_dir):
    held_at_the_first_of_two(tmp_path, model_dir)
    assert (layout.versions(model_dir), layout.live_version(model_dir)) == ([10, 11], 10)
    assert models_config.state(model_dir.parent, "digits") == Held((10,))


def test_what_waits_for_its_release_or_is_live_is_not_copied_again(tmp_path, model_dir):
    old, new = held_at_the_first_of_two(tmp_path, model_dir)
    for source, version in [(old, 10), (new, 11)]:
        again = layout.publish(source, model_dir)
        assert (again.version, again.pushed, again.live) == (version, False, 10)
    assert layout.versions(model_dir) == [10, 11]


def test_highest_listed_version_that_is_complete_is_live(tmp_path, model_dir):
    held_at_the_first_of_two(tmp_path, model_dir)
    models_config.put(model_dir.parent, "digits", Held((9, 10, 12)))
    assert layout.live_version(model_dir) == 10
    models_config.put(model_dir.parent, "digits", Held((12,)))
    assert layout.live_version(model_dir) is None


def test_nothing_is_guessed_or_published_when_the_configuration_is_broken(tmp_path, model_dir):
    source = saved_model(tmp_path / "model", "graph")
    layout.publish(source, model_dir, now=lambda: 10)
    (model_dir.parent / "models.config").write_text("model_config_list {")
    (source / "saved_model.pb").write_text("another")
    for act in (lambda: layout.live_version(model_dir), lambda: layout.publish(source, model_dir)):
        with pytest.raises(ConfigError, match="expected a ModelServerConfig as text"):
            act()
    assert [path.name for path in model_dir.glob("1*")] == ["10"]


def test_nothing_is_published_when_the_log_was_altered(tmp_path, model_dir):
    source = saved_model(tmp_path / "model", "graph")
    layout.publish(source, model_dir, now=lambda: 10)
    (model_dir.parent / "audit.jsonl").write_text("{}\n")
    (source / "saved_model.pb").write_text("another")
    with pytest.raises(IntegrityError, match="line 1, was altered"):
        layout.publish(source, model_dir)
    assert layout.versions(model_dir) == [10]


def test_versions_that_nobody_wrote_down_or_that_vanished_are_written_down(tmp_path, model_dir):
    saved_model(model_dir / "3", "copied by hand")
    layout.publish(saved_model(tmp_path / "model", "graph"), model_dir, now=lambda: 10)
    shutil.rmtree(model_dir / "3")
    models_config.put(model_dir.parent, "digits", Held((10,)))
    layout.settle(model_dir)
    entries = audit_log.read(model_dir.parent / "audit.jsonl")
    said = [(entry.event, entry.facts.get("version"), entry.facts["live"]) for entry in entries]
    assert said == [("found", 3, 3), ("push", 10, 10), ("missing", 3, 10), ("found", None, 10)]
    assert entries[-1].facts["after"] == {"policy": "specific", "versions": [10], "labels": {}}
    layout.settle(model_dir)
    assert len(audit_log.read(model_dir.parent / "audit.jsonl")) == len(entries)


def test_removed_version_is_gone_at_once_and_what_a_killed_process_left_of_it_later(tmp_path, model_dir):
    for version in (10, 11):
        saved_model(model_dir / str(version), "graph")
    saved_model(model_dir / ".removed-9-dead", "graph")
    layout.remove(model_dir, 10)
    layout.settle(model_dir)
    assert sorted(path.name for path in model_dir.iterdir()) == ["11"]


def test_nothing_is_published_unless_it_is_agreed_while_nobody_else_can_publish(tmp_path, model_dir):
    source = saved_model(tmp_path / "model", "graph")

    class Refused(Exception):
        pass

    def agreed():
        lock = os.open(model_dir / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
        raise Refused

    layout.publish(source, model_dir, now=lambda: 7)
    (source / "saved_model.pb").write_bytes(b"another model")
    with pytest.raises(Refused):
        layout.publish(source, model_dir, agreed=agreed)
    assert [path.name for path in model_dir.iterdir() if path.name != ".lock"] == ["7"]
