"""docs/how-to/ask-a-model.md: its commands, run against the model server of the tests in place of the digits."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from serving.__main__ import main
from serving.gateway.settings import parse

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ask-a-model.md"


@pytest.fixture
def page(asked, tmp_path) -> str:
    """The page for a model that takes the same pictures, with its files in a folder of the test."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ").replace("/tmp/digits", str(tmp_path / "digits"))
    text = text.replace("127.0.0.1:8500", asked.grpc.removeprefix("grpc://")).replace("http://127.0.0.1:8501", asked.rest)
    return text.replace("--model_name digits", "--model_name brightness").replace('("digits"', '("brightness"')


def commands(page: str, name: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(rf"^    .venv/bin/python -m serving ({name} .*)$", page, re.MULTILINE)]


def test_its_files_and_commands_work_as_it_says(page: str, capsys) -> None:
    files, asking = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(files, str(PAGE), "exec"), {})
    pictures, fitted, stream = commands(page, "predict")
    for command, count in ((pictures, 2), (fitted, 1)):
        assert main(command) == 0
        assert capsys.readouterr().out.count("(brightness version 7, ") == count
    assert main(stream) == 1
    said = capsys.readouterr()
    assert re.findall("^line .", said.out, re.MULTILINE) == ["line 1", "line 3"]
    assert said.err.strip() in page
    exec(compile(asking.replace("results[0][8]", "results[0][2]"), str(PAGE), "exec"), {})
    assert "VersionStatus(version=7, state='AVAILABLE', code='OK', message='')" in capsys.readouterr().out
    (gateway,) = commands(page, "gateway")
    assert parse(gateway[1:]).image_size == (8, 8)
