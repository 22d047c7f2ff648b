"""`python -m lineage export` writes what was asked for, where it was asked to, or says in one line why not."""

from __future__ import annotations

import json
import os

import pytest

from errors import ConfigError
from lineage.__main__ import main
from lineage.export import mermaid
from lineage.export.command import export
from lineage.export.formats import FORMATS


def run(small, *arguments):
    places = small.places
    return export([*arguments, "--pipeline-root", places.root, "--serving-root", places.serving_root])


@pytest.mark.parametrize("name", FORMATS)
def test_model_is_written_in_each_format(small, capsys, name):
    assert run(small, "digits", "--format", name) == 0
    assert capsys.readouterr().out == FORMATS[name](small.model())


@pytest.mark.parametrize("of", ["pushed", "model", "decision"])
def test_model_is_found_by_any_artifact_that_tells_of_it(small, capsys, of):
    run(small, f"id:{small.artifacts[of]}", "--format", "dot")

    assert capsys.readouterr().out == FORMATS["dot"](small.model())


def test_run_and_everything_are_scopes_too(small, capsys):
    run(small, "run:20260103", "--format", "mermaid")
    assert capsys.readouterr().out == FORMATS["mermaid"](small.run("20260103-000000.000001"))
    run(small, "--all")
    assert capsys.readouterr().out == FORMATS["json"](small.everything())


def test_file_is_replaced_whole_and_is_as_readable_as_others_are(small, tmp_path):
    output = tmp_path / "graph.json"
    output.write_text("before")
    mask = os.umask(0o027)
    try:
        assert run(small, "digits", "--output", str(output)) == 0
    finally:
        os.umask(mask)

    assert json.loads(output.read_text(encoding="utf-8"))["format"] == "fedtfx-lineage"
    assert output.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["graph.json"]


@pytest.mark.parametrize("arguments", [[], ["digits", "--all"]])
def test_scope_must_be_named_once(small, arguments):
    with pytest.raises(ConfigError, match=r"expected a MODEL, run:NAME or --all, got (neither|both)"):
        run(small, *arguments)


@pytest.mark.parametrize("model", ["no-such-model", "run:19990101", "id:99999", "id:x"])
def test_what_nobody_knows_is_refused_in_one_line(small, capsys, model):
    places = small.places
    code = main(["export", model, "--pipeline-root", places.root, "--serving-root", places.serving_root])

    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    assert captured.err.startswith(f"error: {model}: expected") and captured.err.count("\n") == 1


@pytest.mark.parametrize("output", ["missing/graph.json", "."])
def test_file_that_cannot_be_written_is_refused_in_one_line(small, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--output: expected a file that can be written"):
        run(small, "digits", "--output", output)
    assert os.listdir(tmp_path) == []


def test_graph_that_mermaid_would_not_draw_is_written_with_a_note(small, capsys, monkeypatch):
    monkeypatch.setattr(mermaid, "MOST_EDGES", 5)
    assert run(small, "--all", "--format", "mermaid") == 0

    captured = capsys.readouterr()
    assert captured.err.startswith("note: Mermaid draws no more than 5 edges")
    assert captured.out.startswith("flowchart LR")


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        export(["--help"])

    assert ended.value.code == 0
    assert "python -m lineage export --all --format openlineage" in capsys.readouterr().out
