"""`python -m lineage list`, `show`, `impact` and `diff` as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lineage.__main__ import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ask(pipelines: Any, ask_of: Any) -> Any:
    """Runs a command on this test's own store; see `ask_of`."""
    return lambda *arguments: ask_of(pipelines, *arguments)


@pytest.fixture
def ask_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on a store; returns exit code, what it printed and what it complained of."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(pipelines: Any, *arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, *_places(pipelines)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def _places(made: Any) -> list[str]:
    return ["--pipeline-root", str(made.root), "--serving-root", str(made.serving), "--metadata", made.places.metadata]


def test_list_shows_models_and_runs(pipelines: Any, ask: Any) -> None:
    made = pipelines.whole("r-1")
    code, shown, _ = ask("list")
    assert code == 0
    (model,) = (line for line in shown.splitlines() if f"id:{made['model']}" in line)
    assert model.split() == ["p", str(made["version"]), "live", "blessed", "Accuracy", "0.9000", "r-1", f"id:{made['model']}"]
    assert any(line.split()[:2] == ["r-1", "p"] and "complete" in line for line in shown.splitlines())


def test_list_can_be_narrowed_and_is_json_for_machines(two_runs: Any, ask_of: Any) -> None:
    def ask(*arguments: str) -> tuple[int, str, str]:
        return ask_of(two_runs, *arguments)

    assert [line["run"] for line in json.loads(ask("list", "--runs", "--json")[1])["runs"]] == ["r-2", "r-1"]
    only = json.loads(ask("list", "--models", "--live", "--json")[1])
    assert (list(only), [line["run"] for line in only["models"]]) == (["models"], ["r-2"])
    assert "the newest 1; --limit 0 shows all" in ask("list", "--limit", "1")[1]


def test_list_of_an_unknown_pipeline_is_a_mistake_and_not_empty(two_runs: Any, ask_of: Any) -> None:
    code, shown, complaint = ask_of(two_runs, "list", "--pipeline", "nope")
    assert (code, shown) == (2, "") and "--pipeline: expected one of p, got 'nope'" in complaint
    assert ask_of(two_runs, "list", "--pipeline", "p")[0] == 0


@pytest.mark.parametrize("question", [["list"], ["show", "run:r-1"], ["impact", "id:1", "--json"]])
def test_serving_root_that_is_not_there_is_noted(
    two_runs: Any, question: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone")
    where = ["--pipeline-root", str(two_runs.root), "--serving-root", gone, "--metadata", two_runs.places.metadata]
    assert main([*question, *where]) == 0
    assert f"note: no folder {gone}: nothing is known of what is served" in capsys.readouterr().err


def test_show_tells_the_story_from_the_served_folder_to_the_source(pipelines: Any, ask: Any) -> None:
    made = pipelines.whole("r-1")
    code, shown, _ = ask("show", str(pipelines.serving / "p" / str(made["version"])))
    assert code == 0
    titles = [line.strip() for line in shown.splitlines() if line.startswith("  ") and not line.startswith("    ")]
    assert titles == ["served", "pushed", "decided", "evaluated", "model", "trained", "split", "checked", "data", "trained by"]
    for told in (
        "they are what was pushed",
        "Accuracy: 0.9; required: at least 0.8",
        "2 of 4 in a round",
        str(pipelines.source),
        "abc123",
    ):
        assert told in shown


def test_show_warns_of_altered_bytes_and_of_what_nobody_pushed(pipelines: Any, ask: Any) -> None:
    made = pipelines.whole("r-1")
    (pipelines.serving / "p" / str(made["version"]) / "saved_model.pb").write_text("x", encoding="utf-8")
    assert "ALTERED: they are not what was pushed" in ask("show", "p")[1]
    (pipelines.serving / "q" / "5").mkdir(parents=True)
    (pipelines.serving / "q" / "5" / "saved_model.pb").write_text("who knows", encoding="utf-8")
    code, shown, _ = ask("show", "q")
    assert (code, "copied there by hand" in shown) == (0, True)


def test_nothing_in_a_store_commands_the_terminal(pipelines: Any, ask: Any) -> None:
    data = pipelines.data("r-\x1b[2J")
    pipelines.train("r-\x1b[2J", data["federated_examples"], sampling_digest="\x1b]0;x\x07")
    for command in (("list",), ("show", "run:r-")):
        assert "\x1b" not in ask(*command)[1]


def test_show_lists_every_digest_if_asked(pipelines: Any, ask: Any) -> None:
    made = pipelines.whole("r-1")
    digest = pipelines.writer.store.get_artifacts_by_id([made["examples"]])[0].custom_properties["digest"].string_value
    assert digest not in ask("show", "p")[1]
    assert digest in ask("show", "p", "--digests")[1]
    assert digest in [one["digest"] for one in json.loads(ask("show", "p", "--json")[1])["things"]]


def test_impact_and_diff_answer_in_words_and_in_json(pipelines: Any, ask: Any) -> None:
    first, second = pipelines.whole("r-1", text="1"), pipelines.whole("r-2", text="2")
    assert f"2 models came from it; live now: p/{second['version']}." in ask("impact", str(pipelines.source))[1]
    assert json.loads(ask("impact", f"id:{first['examples']}", "--json")[1])["models"][0]["model"]["id"] == first["model"]
    shown = ask("diff", f"id:{first['model']}", f"id:{second['model']}")[1]
    assert "examples.fingerprint" in shown
    assert "sampling" not in shown
    assert "They are the same in all that was recorded." in ask("diff", "p", "p")[1]
    assert json.loads(ask("diff", "p", "p", "--json")[1])["same"] is True
    assert "FederatedTrainer.rounds" in ask("diff", "p", "p", "--all")[1]


def test_client_is_taken_from_a_file_and_told_to_nobody(pipelines: Any, ask: Any, tmp_path: Path) -> None:
    pipelines.whole("r-1")
    (tmp_path / "client").write_text("someone-secret\n", encoding="utf-8")
    code, shown, _ = ask("impact", "--client-file", str(tmp_path / "client"), "--json")
    assert (code, "someone-secret" in shown) == (0, False)


def test_tables_become_blocks_where_they_do_not_fit(two_runs: Any, ask_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    for command in (("list",), ("show", "p"), ("impact", str(two_runs.source)), ("diff", "p", "p", "--all")):
        words_that_are_no_longer = [
            line for line in ask_of(two_runs, *command)[1].splitlines() if len(line) > 50 and " " in line.strip()[30:]
        ]
        assert words_that_are_no_longer == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show"], "the following arguments are required: MODEL"),
        (["show", "nothing"], "expected a model"),
        (["impact"], "is required"),
        (["impact", "--client", ""], "expected the id of a client"),
        (["impact", "id:1", "--pipeline", "p"], "expected --pipeline together with a client"),
        (["impact", "--client-file", "/nowhere"], "--client-file: expected a file that can be read"),
        (["diff", "p"], "the following arguments are required: B"),
        (["list", "--state", "bad"], "invalid choice"),
        (["list", "--limit", "-1"], "expected a number"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(two_runs: Any, ask_of: Any, arguments: list[str], told: str) -> None:
    code, shown, complaint = ask_of(two_runs, *arguments)
    assert (code, shown) == (2, "")
    assert told in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("command", ["list", "show", "impact", "diff"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"examples:\n  python -m lineage {command} " in shown


@pytest.mark.slow
def test_no_question_loads_what_trains_or_draws(pipelines: Any) -> None:
    pipelines.whole("r-1")
    heavy = ("tfx", "tensorflow", "apache_beam", "pandas", "tensorflow_federated", "pyarrow")
    program = (
        "import sys; from lineage.__main__ import main\n"
        f"places = {_places(pipelines)!r}\n"
        "for asked in (['list'], ['show', 'p'], ['impact', 'p'], ['diff', 'p', 'p']):\n"
        "    assert main([*asked, *places]) == 0\n"
        f"found = [name for name in {heavy!r} if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
