"""`python -m serving predict`."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.__main__ import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ask(asked, capsys):
    def run(*arguments: str, server: str = asked.grpc) -> tuple[int, str, str]:
        code = main(["predict", "--server", server, "--model_name", "brightness", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def stdin(monkeypatch):
    def put(*lines: str) -> None:
        text = "".join(line + "\n" for line in lines).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    return put


def sample(content: bytes) -> str:
    return json.dumps({"image": {"b64": base64.b64encode(content).decode()}})


def test_pictures_are_answered_with_labels_and_bars_in_their_order(ask, picture, tmp_path) -> None:
    names = []
    for number, grey in enumerate([0, 128, 255]):
        names.append(str(tmp_path / f"{number}.png"))
        Path(names[-1]).write_bytes(picture(grey))
    code, out, err = ask("--image", *names, "--top", "2")
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 9)
    assert [line.split()[0] for line in lines[1::3]] == ["dunkel", "grau", "hell"]
    assert lines[0].startswith(f"{names[0]}  (brightness version 7, ")
    assert "████" in lines[1]


def test_json_lines_tell_who_answered_what(ask, picture) -> None:
    code, out, _ = ask("--json", sample(picture(255)), "--json_lines")
    answer = json.loads(out)
    assert code == 0
    assert (answer["model"], answer["version"]) == ("brightness", 7)
    assert [one["label"] for one in answer["predictions"]] == ["hell", "grau", "dunkel"]
    assert answer["outputs"]["label"] == ["hell"]


def test_a_bad_line_is_named_and_the_others_are_answered_in_order(ask, stdin, picture) -> None:
    stdin(sample(picture(0)), "{nope", "", sample(b"no picture"), *[sample(picture(255))] * 20)
    code, out, err = ask("--jsonl", "-", "--json_lines", "--in_flight", "3")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [one["input"] for one in found] == [f"line {number}" for number in (1, 2, *range(4, 25))]
    assert ["error" in one for one in found] == [False, True, True, *[False] * 20]
    assert "line 2: no JSON" in err
    assert "line 4: grpc://" in err


def test_a_row_of_a_signature_without_classes_shows_its_outputs(ask) -> None:
    code, out, _ = ask("--signature", "rows", "--row", "name=hai", "length=3.5", "fins=[1, 2]")
    assert code == 0
    assert "  total: 6.5" in out


def test_the_files_answer_as_the_server_does(ask, asked, picture) -> None:
    answers = [
        json.loads(ask("--json", sample(picture(99)), "--json_lines", server=server)[1]) for server in vars(asked).values()
    ]
    assert answers[0]["outputs"] == answers[1]["outputs"] == answers[2]["outputs"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "a", "--json", "1"], "not allowed with"),
        ([], "one of the arguments"),
        (["--text", "a", "--version", "1", "--label", "x"], "not allowed with"),
        (["--text", "a", "--in_flight", "0"], "argument --in_flight: expected a number from 1 on, got '0'"),
        (["--text", "a", "--top", "x"], "argument --top: expected a number from 1 on, got 'x'"),
        (["--image", "a.png", "--image_size", "8"], "expected width and height such as 28x28"),
        (["--row", "a"], "expected key=value"),
        (["--jsonl", "missing"], "No such file"),
        (["--watch", "missing"], "no such directory"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(ask, arguments, said: str) -> None:
    code, out, err = ask(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_messages_say_each_thing_once_and_with_the_remedy_that_fits(ask, tmp_path) -> None:
    missing = tmp_path / "missing.png"
    assert ask("--image", str(missing))[2] == (
        f"error: {missing}: cannot be read: No such file or directory; give a picture file.\n"
    )
    said = ask("--json", "{bad")[2]
    assert "give a sample as" in said
    assert "a line" not in said


def test_a_picture_of_another_size_is_refused_with_the_remedy_which_then_works(ask, picture, tmp_path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(picture(250, (300, 200), "JPEG", "RGB"))
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    code, _, err = ask("--image", str(large))
    assert (code, err.count("\n")) == (1, 1)
    assert "pictures are sent as they are; give --image_size WxH" in err
    code, out, err = ask("--image", str(large), str(tmp_path / "none.jpg"), "--image_size", "8x8", "--image_mode", "grey")
    assert (code, out.splitlines()[1].split()[0]) == (1, "hell")
    assert "this is no picture that is read here" in err


def test_a_label_that_is_not_there_is_told_with_the_command_that_lists_them(ask, asked) -> None:
    for server in (asked.grpc, asked.rest):
        assert (
            "`python -m serving status` tells which models, versions and labels"
            in ask("--text", "a", "--label", "stabel", server=server)[2]
        )


def test_a_port_of_the_other_kind_is_told(ask, asked) -> None:
    rest, grpc = (address.rpartition("/")[2] for address in (asked.rest, asked.grpc))
    assert "this looks like the REST port; gRPC is usually on port 8500" in ask("--text", "a", server=rest)[2]
    assert "this looks like the gRPC port; REST is usually on port 8501" in ask("--text", "a", server=f"http://{grpc}")[2]


def test_host_and_port_alone_are_grpc(ask, asked, picture) -> None:
    code, out, _ = ask("--json", sample(picture(255)), server=asked.grpc.removeprefix("grpc://"))
    assert (code, out.splitlines()[1].split()[0]) == (0, "hell")


def test_grpc_writes_nothing_of_its_own_unless_it_is_asked_to(asked, monkeypatch) -> None:
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    with command(asked, "--row", "a=b", "--signature", "nothing") as process:
        assert process.stderr.read().count("\n") == 1


@pytest.mark.parametrize("name", ["predict", "gateway"])
def test_every_flag_is_told_in_words_with_its_default(name: str, capsys) -> None:
    needed = {"help", "server", "model_name", "image", "watch", "text", "row", "json", "jsonl"}
    with pytest.raises(SystemExit):
        main([name, "--help"])
    flags = [" ".join(flag.split()) for flag in re.split(r"\n  (?=-)", capsys.readouterr().out)[1:]]
    assert [flag for flag in flags if not re.search("[a-z]{2,} [a-z]{2,}", flag)] == []
    told = {re.search(r"--(\w+)", flag)[1]: flag.endswith(")") for flag in flags}
    assert [flag for flag, default in told.items() if not default and flag not in needed] == []


def test_what_could_move_the_terminal_is_not_printed(ask, tmp_path) -> None:
    code, _, err = ask("--image", str(tmp_path / "\x1b[2J.png"))
    assert code == 1
    assert "\x1b" not in err


def command(asked, *arguments: str, **options) -> subprocess.Popen:
    line = [sys.executable, "-m", "serving", "predict", "--server", asked.grpc, "--model_name", "brightness", *arguments]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_new_pictures_are_answered_once_they_are_whole_until_ctrl_c(asked, picture, tmp_path) -> None:
    (tmp_path / "old.png").write_bytes(picture(0))
    with command(asked, "--watch", str(tmp_path), "--json_lines") as process:
        assert "Ctrl-C ends" in process.stderr.readline()
        half = tmp_path / "half.png"
        half.write_bytes(picture(128)[:40])
        (tmp_path / "note.txt").write_text("no picture")
        (tmp_path / "whole.png").write_bytes(picture(255))
        first = json.loads(process.stdout.readline())
        half.write_bytes(picture(128))
        answers = [first, json.loads(process.stdout.readline())]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert [(Path(one["input"]).name, one["predictions"][0]["label"]) for one in answers] == [
        ("whole.png", "hell"),
        ("half.png", "grau"),
    ]


def test_a_watched_directory_that_vanishes_is_told(asked, tmp_path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with command(asked, "--watch", str(folder)) as process:
        assert "Ctrl-C ends" in process.stderr.readline()
        folder.rmdir()
        assert "cannot read" in process.stderr.readline()
        assert process.wait(60) == 1


def test_a_reader_that_has_enough_is_no_error(asked, picture) -> None:
    with command(asked, "--jsonl", "-", "--json_lines", stdin=subprocess.PIPE) as process:
        process.stdin.write((sample(picture(0)) + "\n") * 50)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["version"] == 7
        process.stdout.close()
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_the_client_loads_neither_tensorflow_nor_a_network_library_before_it_needs_one() -> None:
    code = "import sys, serving.client.commands; print({'tensorflow', 'grpc', 'httpx'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
