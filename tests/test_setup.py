"""`make` and tools/setup.sh on a small project of its own, with a lock of tiny wheels and no network."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each sets up a project, in processes of its own

ROOT = Path(__file__).resolve().parents[1]
# All that the scripts may use of a fresh machine besides Python, uv and a compiler.
COREUTILS = ["cat", "cut", "dirname", "env", "head", "mkdir", "mv", "rm", "sha256sum", "sort", "tail", "wc"]
TOOLS = [*COREUTILS, "awk", "bash", "grep", "make", "sed"]


class Project:
    """A copy of the set-up scripts in `folder`, with wheels in `wheels` and a lock that names some of them."""

    def __init__(self, folder: Path, uv: Path) -> None:
        self.folder, self.wheels, self.bin = folder, folder / "wheels", folder / "bin"
        shutil.copytree(ROOT / "tools", folder / "tools")
        shutil.copy(ROOT / "Makefile", folder)
        self.wheels.mkdir()
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        (self.bin / "uv").symlink_to(uv)
        for compiler in ("gcc", "g++", "cc", "c++"):
            self.add_command(compiler, "exit 1")
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(folder / "home"),
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(folder / "pythons"),
            "UV_FIND_LINKS": str(self.wheels),
            "UV_OFFLINE": "1",
            "CXX": "g++",
            "PYTHON": sys.executable,
        }
        self.lock("requirements-dev.txt", self.wheel("sometool"))

    def add_command(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def wheel(self, name: str) -> str:
        """Builds version 1 of a package with one module and returns its line of a lock."""
        path, info = self.wheels / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", "")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def lock(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("".join(lines))

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--no-print-directory", target]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120)

    def can_import(self, name: str) -> bool:
        return subprocess.run([self.folder / ".venv/bin/python", "-c", f"import {name}"], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def uv() -> Path:
    """The uv that the scripts use on this machine."""
    subprocess.run([ROOT / "tools/uv.sh", "--version"], check=True, capture_output=True)
    fetched = ROOT / ".tools/uv/bin/uv"
    return fetched if fetched.exists() else Path(str(shutil.which("uv")))


@pytest.fixture
def project(tmp_path: Path, uv: Path) -> Project:
    return Project(tmp_path, uv)


def test_make_alone_lists_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = subprocess.run(["make"], cwd=ROOT, env=_outside_make(), capture_output=True, text=True, check=True).stdout
    assert targets and sorted(re.findall(r"^make ([a-z-]+) +\S", listed, re.MULTILINE)) == sorted(targets[1].split())


def _outside_make() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")}


def test_setup_installs_the_lock_and_then_has_nothing_to_do(project: Project) -> None:
    project.lock("requirements.txt", project.wheel("first"))
    done = project.make("setup")
    assert done.returncode == 0, done.stderr
    assert "installing 1 locked packages" in done.stderr
    assert project.can_import("first")
    again = project.make("setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_changed_lock_is_installed_and_what_it_no_longer_names_goes(project: Project) -> None:
    first, second = project.wheel("first"), project.wheel("second")
    project.lock("requirements.txt", first)
    project.make("setup")
    project.lock("requirements.txt", second)
    project.make("setup")
    assert project.can_import("second")
    assert not project.can_import("first")


def test_make_run_does_not_take_the_test_tools_away(project: Project) -> None:
    project.lock("requirements.txt", project.wheel("first"))
    project.make("setup-dev")
    assert project.make("setup").stderr == ""
    assert project.can_import("sometool")


def test_a_failed_installation_is_made_good_by_the_next_call(project: Project) -> None:
    project.lock("requirements.txt", project.wheel("first"), project.wheel("second"))
    missing = (project.wheels / "second-1-py3-none-any.whl").rename(project.folder / "elsewhere")
    assert project.make("setup").returncode != 0
    missing.rename(project.wheels / "second-1-py3-none-any.whl")
    done = project.make("setup")
    assert done.returncode == 0, done.stderr
    assert project.can_import("second")


def test_a_vanished_python_is_replaced(project: Project) -> None:
    project.lock("requirements.txt", project.wheel("first"))
    project.make("setup")
    (project.folder / ".venv/bin/python").unlink()
    assert project.make("setup").returncode == 0
    assert project.can_import("first")


def test_an_activated_venv_that_was_left_unfinished_is_not_its_own_base(project: Project) -> None:
    project.lock("requirements.txt", "missing==1 --hash=sha256:" + "0" * 64)
    assert project.make("setup").returncode != 0
    project.lock("requirements.txt", project.wheel("first"))
    (project.bin / "python3.10").symlink_to(Path(sys.executable).resolve())
    del project.env["PYTHON"]
    project.env["PATH"] = f"{project.folder}/.venv/bin:{project.bin}"
    done = project.make("setup")
    assert done.returncode == 0, done.stderr
    assert project.can_import("first")


def test_a_package_with_another_hash_is_refused(project: Project) -> None:
    project.lock("requirements.txt", re.sub("sha256:.*", "sha256:" + "0" * 64, project.wheel("first")))
    done = project.make("setup")
    assert done.returncode != 0
    assert "ash mismatch" in done.stderr
    assert not project.can_import("first")


def test_no_python_310_is_one_line_with_the_ways_to_get_one(project: Project) -> None:
    del project.env["PYTHON"]
    project.add_command("python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    project.lock("requirements.txt", project.wheel("first"))
    done = project.make("setup")
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert done.returncode != 0
    assert len(said) == 1, done.stderr
    for way in ("no Python 3.10 found", "apt install", "pyenv install 3.10", "python install 3.10", "PYTHON="):
        assert way in said[0]
    assert not (project.folder / ".venv").exists()


def test_neither_uv_nor_pip_is_one_line_with_the_remedy(project: Project) -> None:
    (project.bin / "uv").unlink()
    project.lock("requirements.txt", project.wheel("first"))
    done = project.make("setup")
    assert done.returncode != 0
    assert done.stderr.startswith("setup: uv is needed, and no python3 on PATH has pip to fetch it;")


def test_every_locked_package_has_an_exact_version_and_a_hash_and_no_address() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt", "tools/uv.txt", "tools/zig.txt"):
        text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
        assert "://" not in text, lock
        for entry in text.replace("\\\n", " ").splitlines():
            assert re.fullmatch(r"\S+==\S+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", entry), f"{lock}: {entry[:80]}"


def test_the_lock_of_uv_itself_is_not_used() -> None:
    assert not (ROOT / "uv.lock").exists()
