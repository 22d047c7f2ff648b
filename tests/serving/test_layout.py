"""The serving directory: complete versions only, whatever fails and whoever else writes."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from errors import ConfigError, IntegrityError, PushError
from lineage import audit_log
from lineage.digests import tree_digest
from serving import layout, models_config
from serving.models_config import Following

ROOT = Path(layout.__file__).parents[1]
# Everything publish() asks of the operating system that can fail half-way.
STEPS = {"os": ["mkdir", "chmod", "open", "fchmod", "fsync", "rename", "write"], "shutil": ["copyfileobj"]}


@pytest.fixture
def model_dir(tmp_path):
    return tmp_path / "served" / "digits"


def saved_model(path: Path, content: str = "graph") -> Path:
    (path / "variables").mkdir(parents=True)
    (path / "assets").mkdir()
    (path / "saved_model.pb").write_text(content)
    (path / "variables" / "variables.index").write_text("index")
    return path


def numeric_names(model_dir: Path) -> list[str]:
    return sorted(path.name for path in model_dir.iterdir() if path.name.isdecimal()) if model_dir.exists() else []


def hidden_names(model_dir: Path) -> list[str]:
    return sorted(path.name for path in model_dir.iterdir() if path.name.startswith(".incoming"))


def told(model_dir: Path) -> dict[int, str]:
    """Version -> digest, of every version that the log tells of."""
    entries = audit_log.read(model_dir.parent / "audit.jsonl")
    return {entry.facts["version"]: entry.facts["digest"] for entry in entries if entry.event in ("push", "found")}


def run_python(script: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# --- what is there


def test_only_complete_canonical_decimal_directories_are_versions(model_dir):
    for name in ["7", "12", "007", "+9", "-1", "1.5", "٣", ".incoming-99-ab", str(2**63), "9" * 250]:
        saved_model(model_dir / name)
    (model_dir / "50").mkdir()
    (model_dir / "51").write_text("a file")
    (model_dir / "52").symlink_to(model_dir / "12")
    assert layout.versions(model_dir) == [7, 12]
    assert layout.live_version(model_dir) == 12


def test_missing_directory_and_file_in_its_place_have_no_versions(tmp_path):
    (tmp_path / "file").write_text("")
    assert layout.versions(tmp_path / "missing") == layout.versions(tmp_path / "file") == []
    assert layout.live_version(tmp_path / "missing") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "/etc",
        ".hidden",
        "a..b",
        "a\0b",
        "a b",
        "-rf",
        "٣",
        "a\n",
        "x" * 129,
        "models.config",
        "audit.jsonl.torn",
    ],
)
def test_model_name_that_could_leave_its_base_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="bad model name") as refused:
        layout.model_directory(tmp_path, name)
    assert "\n" not in str(refused.value)


def test_model_directory_is_the_name_under_the_base(tmp_path):
    assert layout.model_directory(tmp_path, "digits-v2.1_a") == tmp_path / "digits-v2.1_a"


# --- publishing


def test_published_version_holds_the_source_bytes(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    published = layout.publish(source, model_dir, expected_digest=tree_digest(source), now=lambda: 1700000000.9)
    version = 1700000000
    newest = hashlib.sha256((model_dir.parent / "audit.jsonl").read_bytes().splitlines()[-1]).hexdigest()
    assert published == layout.Published(version, str(model_dir / str(version)), tree_digest(source), True, version, newest)
    assert layout.publish(source, model_dir).audit_digest == newest
    assert tree_digest(published.path) == published.digest
    assert (Path(published.path) / "assets").is_dir()
    assert layout.versions(model_dir) == [1700000000]
    assert hidden_names(model_dir) == []


def test_another_user_can_read_a_published_model_whatever_the_umask(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    (source / "saved_model.pb").chmod(0o600)
    source.chmod(0o700)
    umask = os.umask(0o077)
    try:
        published = layout.publish(source, model_dir)
    finally:
        os.umask(umask)
    everything = [model_dir.parent, model_dir, *Path(published.path).rglob("*"), Path(published.path)]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in everything}
    assert modes == {(True, 0o755), (False, 0o644)}


def test_two_pushes_in_one_second_and_a_clock_that_goes_back_give_rising_versions(tmp_path, model_dir):
    clock = iter([100.2, 100.7, 3.0, -5.0, 200.0])
    found = [
        layout.publish(saved_model(tmp_path / f"model{i}", f"graph {i}"), model_dir, now=lambda: next(clock)).version
        for i in range(5)
    ]
    assert found == [100, 101, 102, 103, 200]
    assert layout.versions(model_dir) == found


@pytest.mark.parametrize("stray", ["500", "0500"])
def test_new_version_is_above_every_numeric_entry_even_an_incomplete_one(tmp_path, model_dir, stray):
    (model_dir / stray).mkdir(parents=True)
    assert layout.publish(saved_model(tmp_path / "model"), model_dir, now=lambda: 7).version == 501


def test_last_possible_version_is_not_wrapped_around(tmp_path, model_dir):
    saved_model(model_dir / str(2**63 - 1), "other")
    with pytest.raises(PushError, match="no version is left"):
        layout.publish(saved_model(tmp_path / "model"), model_dir)


def test_live_model_is_not_copied_again(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    first = layout.publish(source, model_dir, now=lambda: 10)
    again = layout.publish(source, model_dir, now=lambda: 20)
    assert (again.version, again.path, again.digest, again.pushed) == (10, first.path, first.digest, False)
    assert layout.versions(model_dir) == [10]


def test_earlier_model_becomes_live_again_as_a_new_version(tmp_path, model_dir):
    old, new = saved_model(tmp_path / "old", "old"), saved_model(tmp_path / "new", "new")
    for source in [old, new, old]:
        layout.publish(source, model_dir, now=lambda: 10)
    assert layout.versions(model_dir) == [10, 11, 12]
    assert tree_digest(model_dir / "12") == tree_digest(old)


def test_altered_live_version_is_pushed_again(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    (Path(layout.publish(source, model_dir, now=lambda: 10).path) / "saved_model.pb").write_text("altered")
    assert layout.publish(source, model_dir, now=lambda: 10).version == 11


def test_wiped_directory_is_filled_again(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    layout.publish(source, model_dir)
    shutil.rmtree(model_dir)
    assert layout.publish(source, model_dir).pushed


def test_leftovers_of_dead_runs_are_removed(tmp_path, model_dir):
    saved_model(model_dir / ".incoming-5-dead")
    (model_dir / ".incoming-6-link").symlink_to(tmp_path)
    layout.publish(saved_model(tmp_path / "model"), model_dir)
    assert hidden_names(model_dir) == []
    assert (tmp_path / "model").exists()


def test_everything_is_synced_before_the_rename_and_the_rename_after_it(tmp_path, model_dir, monkeypatch):
    model_dir.mkdir(parents=True)
    log, fsync, rename = [], os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (log.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda old, new: (log.append("rename"), rename(old, new)))
    published = layout.publish(saved_model(tmp_path / "model"), model_dir)
    before, after = log[: log.index("rename")], log[log.index("rename") + 1 :]
    after = after[: after.index("rename") - 1]  # then comes models.config
    incoming = Path(before[-1])
    expected = {incoming, *(incoming / path.relative_to(published.path) for path in Path(published.path).rglob("*"))}
    assert {Path(path) for path in before} == expected
    assert after == [str(model_dir)]


# --- refusals


def test_source_that_is_not_a_saved_model_is_refused(tmp_path, model_dir):
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, reason in [(tmp_path / "missing", "expected a SavedModel directory"), (empty, "holds no saved_model.pb")]:
        with pytest.raises(PushError, match=reason):
            layout.publish(source, model_dir)
    assert not model_dir.exists()


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc/passwd"), lambda p: p.symlink_to("/etc"), os.mkfifo])
def test_links_and_odd_entries_in_the_source_are_refused(tmp_path, model_dir, make):
    source = saved_model(tmp_path / "model")
    make(source / "variables" / "odd")
    with pytest.raises(PushError, match="regular files only"):
        layout.publish(source, model_dir)
    assert not model_dir.exists()


def test_source_with_other_bytes_than_recorded_is_refused(tmp_path, model_dir):
    source = saved_model(tmp_path / "model")
    recorded = tree_digest(source)
    (source / "saved_model.pb").write_text("grapf")
    with pytest.raises(IntegrityError, match="was altered"):
        layout.publish(source, model_dir, expected_digest=recorded)
    assert not model_dir.exists()


def test_source_that_changes_during_the_copy_is_refused(tmp_path, model_dir, monkeypatch):
    source, copy = saved_model(tmp_path / "model"), shutil.copyfileobj

    def change_then_copy(reading, writing, length):
        (source / "variables" / "variables.index").write_text("retrained")
        copy(reading, writing, length)

    monkeypatch.setattr(shutil, "copyfileobj", change_then_copy)
    with pytest.raises(IntegrityError, match="changed while it was copied"):
        layout.publish(source, model_dir)
    assert numeric_names(model_dir) == hidden_names(model_dir) == []


@pytest.mark.parametrize("in_the_way", ["served", "served/digits"])
def test_file_in_place_of_a_directory_is_one_clear_line(tmp_path, model_dir, in_the_way):
    (tmp_path / in_the_way).parent.mkdir(exist_ok=True)
    (tmp_path / in_the_way).write_text("keep me")
    with pytest.raises(PushError, match="a directory is expected") as refused:
        layout.publish(saved_model(tmp_path / "model"), model_dir)
    assert "\n" not in str(refused.value)
    assert (tmp_path / in_the_way).read_text() == "keep me"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory_is_one_clear_line(tmp_path, model_dir):
    model_dir.mkdir(parents=True)
    model_dir.chmod(0o555)
    with pytest.raises(PushError, match="give this user access"):
        layout.publish(saved_model(tmp_path / "model"), model_dir)


# --- failing and dying at every step


class Trap:
    """Lets the steps' functions do their work, but calls `act` before the one with the given number."""

    def __init__(self, monkeypatch, at: int, act) -> None:
        self.calls, self.at, self.act = 0, at, act
        for module, names in STEPS.items():
            for name in names:
                function = getattr(sys.modules[module], name)
                monkeypatch.setattr(sys.modules[module], name, self.guard(function))

    def guard(self, function):
        def guarded(*args, **kwargs):
            if function.__name__ == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return function(*args, **kwargs)  # no disk is too full to be read
            self.calls += 1
            if self.calls == self.at:
                self.act()
            return function(*args, **kwargs)

        return guarded


def test_disk_full_at_any_step_leaves_the_old_model_and_nothing_half_written(tmp_path, model_dir):
    old, new = saved_model(tmp_path / "old", "old"), saved_model(tmp_path / "new", "new")

    def disk_full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def push(at: int) -> int:
        with pytest.MonkeyPatch.context() as patch:
            trap = Trap(patch, at, disk_full)
            layout.publish(new, model_dir, now=lambda: 20)
        return trap.calls

    layout.publish(old, model_dir, now=lambda: 10)
    steps = push(at=0)
    assert steps > 10
    found = []
    for at in range(1, steps + 1):
        shutil.rmtree(model_dir.parent)
        layout.publish(old, model_dir, now=lambda: 10)
        with pytest.raises((PushError, ConfigError), match=r"disk space|No space"):
            push(at)
        # After the rename the new version is in place, and complete.
        found.append(numeric_names(model_dir))
        assert hidden_names(model_dir) == []
        assert tree_digest(model_dir / "10") == tree_digest(old)
        assert layout.publish(new, model_dir, now=lambda: 20).version == 20
        assert tree_digest(model_dir / "20") == tree_digest(new)
        assert told(model_dir) == {10: tree_digest(old), 20: tree_digest(new)}
    assert [names for names, _ in itertools.groupby(found)] == [["10"], ["10", "20"]]


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
def killed(at):
    if child := os.fork():
        return os.waitpid(child, 0)[1] == signal.SIGKILL
    for module, names in {STEPS}.items():
        for name in names:
            setattr(sys.modules[module], name, guard(getattr(sys.modules[module], name), at))
    layout.publish(source, os.path.join(base, str(at), "digits"), now=lambda: 20)
    os._exit(0)
calls, at = 0, 1
while killed(at):
    at += 1
print(at - 1)
"""


@pytest.mark.slow
def test_kill_at_any_step_leaves_no_version_or_a_complete_one(tmp_path):
    source = saved_model(tmp_path / "model")
    steps = int(run_python(KILLED, source, tmp_path / "killed").communicate()[0])
    assert steps > 20
    for at in range(1, steps + 1):
        model_dir = tmp_path / "killed" / str(at) / "digits"
        complete = layout.versions(model_dir)
        assert numeric_names(model_dir) == [str(version) for version in complete]
        assert all(tree_digest(model_dir / str(version)) == tree_digest(source) for version in complete)
        again = layout.publish(source, model_dir, now=lambda: 20)
        assert (again.version, again.pushed) == (20, not complete)
        assert hidden_names(model_dir) == []
        assert layout.versions(model_dir) == [20]
        assert told(model_dir) == {20: tree_digest(source)}
        assert models_config.states(model_dir.parent) == {"digits": Following()}


PUBLISHER = """
import sys
from serving import layout
sys.stdin.readline()
for source in sys.argv[2:]:
    print(layout.publish(source, sys.argv[1], now=lambda: 20).version)
"""


def test_processes_that_publish_at_once_get_a_complete_version_each(tmp_path, model_dir):
    sources = [saved_model(tmp_path / f"model{i}", f"graph {i}") for i in range(12)]
    command = [sys.executable, "-c", PUBLISHER, model_dir]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([*command, *sources[i::3]], cwd=ROOT, **pipes) for i in range(3)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [int(line) for child in children for line in child.communicate()[0].split()]
    assert sorted(found) == layout.versions(model_dir) == list(range(20, 32))
    published = {tree_digest(model_dir / str(version)) for version in found}
    assert published == {tree_digest(source) for source in sources}


def test_importing_serving_loads_neither_tensorflow_nor_tfx():
    script = "import serving, sys; print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'tfx', 'ml_metadata')])"
    assert run_python(script).communicate()[0].strip() == "[]"
