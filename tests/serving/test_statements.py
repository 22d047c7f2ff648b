"""The statement beside a version: there before the version is, passed over by all who look for versions, and never half."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from errors import PushError
from serving import __main__ as serving_main
from serving import layout, statements

ROOT = Path(layout.__file__).parents[1]


@pytest.fixture
def model_dir(tmp_path):
    return tmp_path / "served" / "digits"


def saved_model(path: Path, content: str = "graph") -> Path:
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_text(content)
    (path / "variables" / "variables.index").write_text("index")
    return path


def stating(version: int, digest: str, there: bytes | None) -> bytes:
    return f"{version} {digest}\n".encode()


def publish(source: Path, model_dir: Path, at: int, stated=stating) -> layout.Published:
    return layout.publish(source, model_dir, stated=stated, now=lambda: at)


def names(model_dir: Path) -> list[str]:
    return sorted(path.name for path in model_dir.iterdir() if path.name != ".lock")


def test_statement_is_on_the_disk_before_its_version_is_there(tmp_path, model_dir, monkeypatch):
    seen, rename = [], os.rename

    def watched(old, new):
        if Path(new).name == "20":
            seen.append(statements.path(model_dir, 20).read_bytes())
        rename(old, new)

    monkeypatch.setattr(os, "rename", watched)
    published = publish(saved_model(tmp_path / "model"), model_dir, 20)
    assert seen == [published.statement] == [f"20 {published.digest}\n".encode()]
    assert names(model_dir) == ["20", "20.intoto.jsonl"]


def test_whoever_may_read_the_model_may_read_the_statement(tmp_path, model_dir):
    umask = os.umask(0o077)
    try:
        publish(saved_model(tmp_path / "model"), model_dir, 20)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(statements.path(model_dir, 20).stat().st_mode) == 0o644


def test_nobody_takes_a_statement_for_a_version(tmp_path, model_dir):
    publish(saved_model(tmp_path / "model"), model_dir, 20)
    statements.path(model_dir, 99).write_text("of a version that is gone")
    assert (layout.versions(model_dir), layout.live_version(model_dir)) == ([20], 20)


def test_number_that_something_is_stated_about_is_not_given_again(tmp_path, model_dir):
    publish(saved_model(tmp_path / "model"), model_dir, 20)
    statements.path(model_dir, 30).write_text("of a version that is gone")
    assert publish(saved_model(tmp_path / "other", "other"), model_dir, 20).version == 31
    assert statements.path(model_dir, 30).read_text() == "of a version that is gone"


def test_version_that_is_there_already_gets_the_statement_that_it_lacks(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    assert layout.publish(source, model_dir, now=lambda: 20).statement is None
    assert names(model_dir) == ["20"]
    again = publish(source, model_dir, 30)
    assert (again.version, again.pushed, again.statement) == (20, False, f"20 {again.digest}\n".encode())
    assert statements.path(model_dir, 20).read_bytes() == again.statement


def test_statement_that_is_as_it_should_be_is_not_written_again(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    publish(source, model_dir, 20)
    before = statements.path(model_dir, 20).stat()
    asked = []
    publish(source, model_dir, 30, lambda version, digest, there: asked.append(there) or there)
    assert asked == [statements.path(model_dir, 20).read_bytes()]
    assert statements.path(model_dir, 20).stat() == before


@pytest.mark.parametrize("odd", ["a link", "a large file"])
def test_what_cannot_be_a_statement_is_replaced(tmp_path, model_dir, odd):
    source = saved_model(tmp_path / "model")
    layout.publish(source, model_dir, now=lambda: 20)
    (tmp_path / "other").write_bytes(b"x" * (2 << 20))
    file = statements.path(model_dir, 20)
    file.symlink_to(tmp_path / "other") if odd == "a link" else file.write_bytes(b"x" * (2 << 20))
    again = publish(source, model_dir, 30)
    assert file.read_bytes() == again.statement and not file.is_symlink()
    assert (tmp_path / "other").stat().st_size == 2 << 20


def test_nothing_is_published_if_nothing_can_be_stated(tmp_path, model_dir):
    def refusing(version, digest, there):
        raise RuntimeError("no key")

    with pytest.raises(RuntimeError):
        publish(saved_model(tmp_path / "model"), model_dir, 20, refusing)
    assert names(model_dir) == []


def test_full_disk_leaves_neither_a_version_nor_a_statement(tmp_path, model_dir, monkeypatch):
    rename = os.rename

    def full(old, new):
        if Path(new).name == "20":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(old, new)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(PushError, match="free some disk space"):
        publish(saved_model(tmp_path / "model"), model_dir, 20)
    assert names(model_dir) == []


def test_pruned_versions_keep_their_statements(tmp_path, model_dir):
    for version in (20, 21, 22):
        publish(saved_model(tmp_path / f"model{version}", f"graph {version}"), model_dir, version)
    root = str(model_dir.parent)
    assert serving_main.main(["prune", "--root", root, "--model_name", "digits", "--keep", "1", "--no_wait"]) == 0
    assert layout.versions(model_dir) == [21, 22]
    assert sorted(statements.numbers(model_dir)) == [20, 21, 22]


STEPS = {"os": ["mkdir", "chmod", "open", "fchmod", "fsync", "rename", "write"], "shutil": ["copyfileobj"]}
KILLED = f"""
import os, shutil, signal, sys
from serving import layout
source, base = sys.argv[1:]
def guard(function, at):
    def guarded(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return guarded
def stated(version, digest, there):
    return f"{{version}} {{digest}}\\n".encode()
def killed(at):
    if child := os.fork():
        return os.waitpid(child, 0)[1] == signal.SIGKILL
    for module, names in {STEPS}.items():
        for name in names:
            setattr(sys.modules[module], name, guard(getattr(sys.modules[module], name), at))
    layout.publish(source, os.path.join(base, str(at), "digits"), stated=stated, now=lambda: 20)
    os._exit(0)
calls, at = 0, 1
while killed(at):
    at += 1
print(at - 1)
"""


@pytest.mark.slow
def test_kill_at_any_step_leaves_no_version_without_its_statement_and_the_next_push_clears_up(tmp_path):
    source = saved_model(tmp_path / "model")
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "killed")]
    steps = int(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout)
    assert steps > 25
    orphans = 0
    for at in range(1, steps + 1):
        model_dir = tmp_path / "killed" / str(at) / "digits"
        there = layout.versions(model_dir)
        stated = statements.numbers(model_dir)
        assert set(there) <= set(stated)
        orphans += stated != there
        again = publish(source, model_dir, 20)
        assert (again.version, again.pushed) == (20, not there)
        assert names(model_dir) == ["20", "20.intoto.jsonl"]
        assert statements.path(model_dir, 20).read_bytes() == f"20 {again.digest}\n".encode()
    assert orphans  # it was killed between the two, too


def test_statement_of_a_push_that_was_killed_is_withdrawn_by_the_next_whatever_its_number(tmp_path, model_dir):
    saved_model(model_dir / ".incoming-20-dead")
    statements.path(model_dir, 20).write_text("of a version that never was")
    assert publish(saved_model(tmp_path / "model"), model_dir, 25).version == 25
    assert names(model_dir) == ["25", "25.intoto.jsonl"]


def test_leftover_of_a_killed_push_costs_no_statement_of_a_version_that_is_there(tmp_path, model_dir):
    publish(saved_model(tmp_path / "model"), model_dir, 20)
    saved_model(model_dir / ".incoming-20-dead")
    (model_dir / ".incoming-20.intoto.jsonl-dead").write_text("half of a statem")
    publish(saved_model(tmp_path / "other", "other"), model_dir, 25)
    assert names(model_dir) == ["20", "20.intoto.jsonl", "25", "25.intoto.jsonl"]
