"""What is recorded of a run's origin, from real git repositories."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from lineage.digests import file_digest
from pipeline import config as configuration
from pipeline import provenance

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_every_promised_fact_is_recorded():
    config = configuration.load(ROOT / "examples" / "digits" / "config.yaml")
    facts = provenance.record(config)
    stack = {"tfx", "tensorflow-federated", "tensorflow", "tensorflow-model-analysis", "ml-metadata", "apache-beam"}
    promised = {"config_digest", "seed", "code_version", "python", "lock_digest", *(f"version_{name}" for name in stack)}
    assert promised == facts.keys() - {"git_commit"}
    assert facts["config_digest"] == configuration.digest(config)
    assert facts["seed"] == 42
    assert facts["lock_digest"] == file_digest(ROOT / "requirements.txt")
    assert facts["version_tfx"] == version("tfx")
    assert facts.get("git_commit") == provenance.git_commit(ROOT)
    assert len(str(facts["code_version"])) == 16


def test_commit_of_a_clean_checkout_is_recorded(checkout):
    assert provenance.git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_and_new_files_are_said_and_ignored_ones_are_not(checkout):
    (checkout / ".gitignore").write_text("*.log\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "second")
    git(checkout, "config", "status.showUntrackedFiles", "no")
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "run.log").touch()
    assert provenance.git_commit(checkout) == commit
    (checkout / "my_model.py").touch()
    assert provenance.git_commit(checkout) == f"{commit}+changes"
    (checkout / "my_model.py").unlink()
    (checkout / "code.py").write_text("a = 2\n")
    assert provenance.git_commit(checkout) == f"{commit}+changes"


def test_commit_of_another_repository_is_not_taken_for_ours(checkout, tmp_path_factory, monkeypatch):
    (checkout / "unpacked").mkdir()
    assert provenance.git_commit(checkout / "unpacked") is None
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))  # as in a hook
    assert provenance.git_commit(tmp_path_factory.mktemp("elsewhere")) is None


def test_checkout_may_be_named_by_a_link(checkout, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(checkout)
    assert provenance.git_commit(link) == git(checkout, "rev-parse", "HEAD")


def test_there_is_no_commit_outside_git_before_the_first_one_or_without_the_program(tmp_path, monkeypatch):
    assert provenance.git_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert provenance.git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit(ROOT) is None
