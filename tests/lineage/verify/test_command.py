"""`python -m lineage verify` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from lineage.verify.command import verify


@pytest.fixture
def typed(small: Any) -> list[str]:
    return [
        "--pipeline-root",
        small.places.root,
        "--serving-root",
        small.places.serving_root,
        "--metadata",
        small.places.metadata,
    ]


def test_what_fails_is_told_in_full_and_the_rest_is_counted(
    small: Any, typed: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    uri = Path(small.artifact(small.model).uri)
    (uri / "Format-Serving" / "saved_model.pb").write_text("other")
    assert verify(typed) == 10
    out = capsys.readouterr().out
    assert f"ALTERED: files of Model {small.model}, made by Trainer\n" in out
    assert f"  where     {uri}\n" in out
    assert "written since: Format-Serving/saved_model.pb" in out
    assert out.splitlines()[-1] == "NOT VERIFIED: 1 altered, 1 unproven"  # the served version is what was pushed


def test_each_finding_is_named_once(small: Any, typed: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    version = next(Path(small.places.serving_root).glob("*/[0-9]*/saved_model.pb"))
    version.write_text("other")
    assert verify(typed) == 10
    out = capsys.readouterr().out
    assert "ALTERED: version " in out and "UNPROVEN: statement about " in out
    assert not any(f"{word} of {word}" in out for word in ("statement", "execution", "run", "served", "log"))


def test_all_and_a_model_exclude_each_other(small: Any, typed: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected a MODEL or --all, got both"):
        verify([*typed, f"id:{small.model}", "--all"])


def test_machines_are_told_every_finding(small: Any, typed: list[str], capsys: Any) -> None:
    assert verify([*typed, f"id:{small.model}", "--json", "--allow-unproven"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is True
    assert sum(told["counts"].values()) == len(told["findings"])
    assert told["findings"][0].keys() == {"kind", "subject", "state", "expected", "got", "remedy", "path", "needed"}


def test_all_needs_no_live_model_but_says_what_was_pushed_elsewhere(
    small: Any, typed: list[str], tmp_path: Path, capsys: Any
) -> None:
    typed[3] = str(tmp_path / "nowhere")
    assert verify([*typed, "--all", "--allow-unproven"]) == 0
    assert f"1 pushed to {small.places.serving_root}" in capsys.readouterr().out
    assert verify([*typed, "--all"]) == 10
    with pytest.raises(ConfigError, match="expected a live model, got none; name a MODEL, give --serving-root, or give --all"):
        verify(typed)


def test_help_has_examples_and_tells_the_exit_codes(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        verify(["--help"])
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "exit codes: 0 all is verified; 10 something is not" in out
