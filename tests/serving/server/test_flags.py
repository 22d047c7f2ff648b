from dataclasses import fields
from pathlib import Path

import pytest

from errors import ConfigError
from serving.__main__ import main
from serving.server.flags import Flags, parse


def test_flags_have_the_real_servers_names_and_forms() -> None:
    flags = parse(["--port=1", "--rest_api_port", "2", "--model_name=fish", "--model_base_path", "/models/fish"])
    assert (flags.port, flags.rest_api_port, flags.model_name) == (1, 2, "fish")
    assert flags.model_base_path == Path("/models/fish")
    assert (flags.host, flags.file_system_poll_wait_seconds) == ("127.0.0.1", 1.0)
    assert (flags.max_num_load_retries, flags.load_retry_interval_micros) == (5, 60_000_000)
    assert (flags.saved_model_tags, flags.enable_model_warmup, flags.enable_batching) == (("serve",), True, False)


@pytest.mark.parametrize(
    ("arguments", "batching"),
    [
        (["--enable_batching"], True),
        (["--enable_batching=true"], True),
        (["--enable_batching", "--port=1"], True),
        (["--enable_batching=False"], False),
        (["--enable_batching=0"], False),
    ],
)
def test_a_boolean_may_stand_alone_or_have_a_value(arguments: list[str], batching: bool) -> None:
    assert parse(["--model_base_path=/models", *arguments]).enable_batching is batching


def test_a_config_file_takes_the_place_of_a_base_path() -> None:
    flags = parse(["--model_config_file=/models/models.config", "--model_config_file_poll_wait_seconds=0.5"])
    assert flags.model_config_file == Path("/models/models.config")
    assert (flags.model_base_path, flags.model_config_file_poll_wait_seconds) == (None, 0.5)
    # The real server's image always names a base path, which does not count beside a config file.
    assert parse(["--model_base_path=/models/model", "--model_config_file=/models/models.config"]).model_config_file
    with pytest.raises(ConfigError, match="expected --model_base_path or --model_config_file, got neither"):
        parse([])


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
        (["--model_base_path=gs://bucket/model"], "expected a path of this machine"),
        (["--file_system_poll_wait_seconds=nan"], "expected a number of seconds"),
        (["--rest_api_max_body_bytes=0"], "expected a number of bytes from 1"),
        (["--rest_api_request_read_seconds=0"], "expected a number of seconds above 0"),
        (["--enable_batching=yes"], "expected true or false"),
        (["--batching_parameters_file=/x"], "needs --enable_batching"),
        (["--per_process_gpu_memory_fraction=1.5"], "expected a fraction from 0 to 1"),
        (["--tensorflow_session_parallelism=1", "--tensorflow_inter_op_parallelism=1"], "sets both others"),
        (["--saved_model_tags=serve,"], "expected tags divided by commas"),
        (["--max_num_load_retries=-1"], "expected a number of retries from 0"),
        (["--use_tflite_model"], "--use_tflite_model is a flag of TensorFlow Serving's that this server cannot follow"),
        (["--xla_cpu_compilation_enabled=true"], "cannot follow"),
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


def test_help_tells_every_flag_its_kind_of_value_and_its_default(capsys) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(f"--{flag.name} " in told for flag in fields(Flags))
    assert "--port PORT gRPC port; 0 is off (8500)" in told
    assert "--enable_batching [true|false] run requests together (false)" in told
    assert "divided by commas (serve)" in told
    assert "None" not in told
