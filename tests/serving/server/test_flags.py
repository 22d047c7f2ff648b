from pathlib import Path

import pytest

from errors import ConfigError
from serving.__main__ import main
from serving.server.flags import parse


def test_flags_have_the_real_servers_names_and_forms() -> None:
    flags = parse(["--port=1", "--rest_api_port", "2", "--model_name=fish", "--model_base_path", "/models/fish"])
    assert (flags.port, flags.rest_api_port, flags.model_name) == (1, 2, "fish")
    assert flags.model_base_path == Path("/models/fish")
    assert (flags.host, flags.file_system_poll_wait_seconds) == ("127.0.0.1", 1.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no_such_flag=1"], "unrecognized arguments: --no_such_flag=1"),
        (["--rest_api=1"], "unrecognized arguments"),
        (["more"], "unrecognized arguments: more"),
        (["--port=70000"], "expected a port from 0 to 65535"),
        (["--port=x"], "expected a whole number"),
        (["--port=8501"], "expected two different ports"),
        (["--port=0", "--rest_api_port=0"], "nothing would listen"),
        (["--model_name=../x"], "bad model name"),
        (["--model_base_path=gs://bucket/model"], "expected a directory of this machine"),
        (["--file_system_poll_wait_seconds=nan"], "expected a number of seconds"),
        (["--rest_api_max_body_bytes=0"], "expected a number of bytes above 0"),
    ],
)
def test_a_wrong_flag_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(["--model_base_path=/models", *arguments])


@pytest.mark.parametrize("arguments", [[], ["server"], ["serve"], ["serve", "--model_base_path=/models", "--bad"]])
def test_wrong_use_is_one_line_and_exit_code_2(arguments: list[str], capsys) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
