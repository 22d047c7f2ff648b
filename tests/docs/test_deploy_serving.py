"""docs/how-to/deploy-serving.md: the commands and files that it names are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from serving.__main__ import COMMANDS

PAGE = "deploy-serving.md"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines(code_blocks) -> list[str]:
    blocks = "".join(re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in code_blocks(PAGE, "sh"))
    return blocks.replace("\\\n", " ").splitlines()


def test_every_command_of_ours_takes_the_flags_it_is_given(lines, capsys) -> None:
    used = [match for line in lines if (match := re.search(r"python -m serving (\w+)(.*)", line))]
    assert {match[1] for match in used} >= {"status", "promote", "canary", "rollback", "pin", "unpin", "prune", "history"}
    for command, rest in (match.groups() for match in used):
        module, _, function = COMMANDS[command][1].partition(":")
        with pytest.raises(SystemExit):
            getattr(import_module(module), function)(["--help"])
        told = capsys.readouterr().out
        assert {flag for flag in re.findall(r"(--\w+)", rest) if flag not in told} == set(), command


def test_its_kustomization_gives_the_gateway_a_model_and_flags(code_blocks, tmp_path: Path) -> None:
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("no kubectl; install Debian's kubernetes-client")
    (block,) = code_blocks(PAGE, "yaml")
    here = os.path.relpath(ROOT.resolve(), tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(block.replace("../path/to", here), encoding="utf-8")
    built = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    found = {(each["kind"], each["metadata"]["name"].rpartition("-")[0]): each for each in yaml.safe_load_all(built.stdout)}
    assert found["ConfigMap", "gateway"]["data"] == {"MODEL_NAME": "digits"}
    assert "- --image_size=8x8\n" in built.stdout
    assert found["ConfigMap", "gateway"]["metadata"]["name"] in built.stdout.split("envFrom:")[1]


def test_every_file_it_names_is_there() -> None:
    page = (ROOT / "docs" / "how-to" / PAGE).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:serving/deploy|examples)/[\w./-]*[\w-]", page))
    assert len(named) > 6
    assert {name for name in named if not (ROOT / name).exists()} == set()
