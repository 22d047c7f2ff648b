"""What is recorded with every run, so that it can be said later with what it was made."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from lineage.digests import file_digest, own_code_digest
from pipeline import config as configuration
from pipeline.config import PipelineConfig

_ROOT = Path(__file__).parents[1]
_STACK = ("tfx", "tensorflow-federated", "tensorflow", "tensorflow-model-analysis", "ml-metadata", "apache-beam")


def record(config: PipelineConfig) -> dict[str, str | int]:
    """Returns what is stored in ML Metadata as custom properties of the run's context.

    config_digest, seed, code_version (digest of all our sources), git_commit (with `+changes` when the checkout has any; left
    out without git), lock_digest (of requirements.txt, if it is there), python, and `version_<package>` of the stack.
    """
    facts: dict[str, str | int] = {
        "config_digest": configuration.digest(config),
        "seed": config.seed,
        "code_version": own_code_digest(),
        "python": sys.version.split()[0],
    }
    facts |= {f"version_{package}": importlib.metadata.version(package) for package in _STACK}
    if commit := git_commit(_ROOT):
        facts["git_commit"] = commit
    if (lock := _ROOT / "requirements.txt").exists():
        facts["lock_digest"] = file_digest(lock)
    return facts


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out in `folder`; None without git, or if `folder` only lies inside another repository.

    With `+changes` if files differ from it, or there are new ones that are not ignored.
    """
    # A git hook's variables name the hook's repository, whatever the folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return done.stdout.removesuffix("\n")

    try:
        if Path(git("rev-parse", "--show-toplevel")) != folder.resolve():
            return None
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=normal") else commit
    except (OSError, subprocess.CalledProcessError):
        return None
