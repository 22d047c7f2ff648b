"""gateway.Dockerfile: no Docker engine is needed to see that its steps can work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.deploy.manifests import DEPLOY, ROOT
from tests.serving.deploy.running import Image

pytestmark = pytest.mark.slow

DOCKERFILE = (DEPLOY / "gateway.Dockerfile").read_text(encoding="utf-8")
LOCK = ROOT / "requirements-gateway.txt"
PINNED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def test_what_it_copies_is_there_and_is_sent_to_the_builder() -> None:
    sources = re.findall(r"^COPY (?!--)(\S+) ", DOCKERFILE, re.MULTILINE)
    sent = re.findall(r"^!(\S+)$", (DEPLOY / "gateway.Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(sources) == set(sent)
    assert all((ROOT / source).exists() for source in sources)


def test_its_bases_are_pinned_and_it_runs_as_nobody_special() -> None:
    assert all(
        re.fullmatch(r"python:3\.10\.\d+-slim-\w+", base) for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    )
    assert int(re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)[-1]) > 0


def test_memory_of_decoded_pictures_goes_back_to_the_system() -> None:
    """The limits in the manifests were measured with these."""
    assert "MALLOC_MMAP_THRESHOLD_=262144 MALLOC_ARENA_MAX=2" in DOCKERFILE


def test_it_installs_the_lock_with_hashes_and_the_lock_is_light() -> None:
    assert re.search(rf"--require-hashes.*-r \S+/{LOCK.name}$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    text = LOCK.read_text(encoding="utf-8")
    names = dict(PINNED.findall(text))
    assert {"grpcio", "protobuf", "uvicorn", "pillow"} <= set(names)
    assert not [name for name in names if name.startswith(("tensorflow", "tfx", "keras", "jax", "apache-beam"))]
    assert all("--hash=sha256:" in entry for entry in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE) if PINNED.match(entry))


def test_the_lock_has_the_versions_that_everything_is_tested_with() -> None:
    tested = dict(PINNED.findall((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    assert {
        name: version for name, version in PINNED.findall(LOCK.read_text(encoding="utf-8")) if tested.get(name) != version
    } == {}


@pytest.mark.slow
def test_gateway_client_and_releases_run_with_the_lock_alone(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    Image(tmp_path / "app")
    python = tmp_path / "clean" / "bin" / "python"
    uv = str(ROOT / "tools" / "uv.sh")
    subprocess.run([uv, "venv", "-q", "--no-project", "--python", sys.executable, str(tmp_path / "clean")], check=True)
    install = [uv, "pip", "sync", "-q", "--python", str(python), "--require-hashes", "--only-binary", ":all:", str(LOCK)]
    subprocess.run(install, check=True)
    for command in ("gateway", "predict", "promote", "rollback", "status"):
        told = subprocess.run(
            [str(python), "-m", "serving", command, "--help"], cwd=tmp_path / "app", capture_output=True, text=True
        )
        assert told.returncode == 0, told.stderr
    told = subprocess.run([str(python), "-m", "serving", "status"], cwd=tmp_path / "app", capture_output=True, text=True)
    assert told.stderr.startswith("error: --root: expected a serving root")
