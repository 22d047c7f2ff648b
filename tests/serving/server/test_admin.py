from pathlib import Path

import pytest
from tensorflow_serving.apis import model_management_pb2

from errors import ConfigError
from serving.server import admin
from serving.server.status import ApiError

TOKEN = b"0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("host", "encrypted"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("models.example", True)],
)
def test_the_token_is_the_files_content_without_white_space(file, host: str, encrypted: bool) -> None:
    assert admin.read_token(file, host=host, encrypted=encrypted) == TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "models.example"])
def test_a_token_is_not_taken_over_a_network_in_clear(file, host: str) -> None:
    with pytest.raises(ConfigError, match=r"in clear; add --ssl_config_file or listen on 127\.0\.0\.1"):
        admin.read_token(file, host=host, encrypted=False)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_token_that_others_can_read_is_refused(file, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError, match="can be read by others than its owner; chmod 600 it"):
        admin.read_token(file, host="::1", encrypted=False)


def test_a_short_or_missing_token_is_refused_without_showing_it(file) -> None:
    file.write_bytes(TOKEN[1:])
    with pytest.raises(ConfigError, match="holds 15 characters, expected at least 16") as caught:
        admin.read_token(file, host="::1", encrypted=False)
    assert TOKEN[1:].decode() not in str(caught.value)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        admin.read_token(file, host="::1", encrypted=False)


@pytest.mark.parametrize("given", ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"])
def test_the_right_token_is_let_through(given: str) -> None:
    admin.authorise([("user-agent", "x"), ("authorization", given)], TOKEN)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "0123456789abcdef")],
        [("authorization", "Basic 0123456789abcdef")],
        [("authorization", "Bearer 0123456789abcde")],
        [("authorization", "Bearer 0123456789abcdeff")],
        [("authorization", "Bearer ü123456789abcdef")],
        [("authorization", "Bearer 0123456789abcdef"), ("authorization", "Bearer 0123456789abcdef")],
        [("token", "Bearer 0123456789abcdef")],
    ],
)
def test_anything_else_is_unauthenticated(metadata) -> None:
    with pytest.raises(ApiError, match="authorization: Bearer TOKEN") as caught:
        admin.authorise(metadata, TOKEN)
    assert caught.value.code == "UNAUTHENTICATED"


def test_without_a_token_file_nobody_may() -> None:
    with pytest.raises(ApiError, match="started without --admin_token_file") as caught:
        admin.authorise([("authorization", "Bearer ")], None)
    assert caught.value.code == "PERMISSION_DENIED"


def request(*metrics: str, models: bool = True) -> model_management_pb2.ReloadConfigRequest:
    made = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
    if models:
        made.config.model_config_list.config.add(name="fish")
    return made


def test_a_reload_is_applied_and_its_metrics_increase_is_told() -> None:
    counted = {"loads": 3, "other": 0}
    applied = []

    def apply(config) -> None:
        applied.append(config)
        counted["loads"] += 2

    reply, failure = admin.reload(request("loads", "other"), apply, lambda names: {name: counted[name] for name in names})
    assert failure is None
    assert applied[0].model_config_list.config[0].name == "fish"
    assert reply.status.error_code == 0
    assert [(metric.name, metric.int64_value_increase) for metric in reply.metric] == [("loads", 2), ("other", 0)]


def test_a_reload_that_is_refused_is_answered_with_its_code_twice() -> None:
    def apply(_) -> None:
        raise ApiError("FAILED_PRECONDITION", "no")

    reply, failure = admin.reload(request(), apply, lambda _: {})
    assert (reply.status.error_code, reply.status.error_message) == (9, "no")
    assert failure is not None
    assert (failure.code, failure.message) == ("FAILED_PRECONDITION", "no")


def test_a_reload_without_a_list_of_models_is_refused() -> None:
    reply, failure = admin.reload(request(models=False), lambda _: None, lambda _: {})
    assert failure is not None
    assert (failure.code, reply.status.error_code) == ("INVALID_ARGUMENT", 3)


def test_refused_calls_are_logged_but_not_each_of_many_and_not_what_they_sent(caplog) -> None:
    times: list[float] = []
    refusals = admin.Refusals(lambda: times[-1])
    for now in (0.0, 1.0, 2.0, 11.0):
        times.append(now)
        with pytest.raises(ApiError) as refused:
            admin.authorise([("authorization", "Bearer guessed")], TOKEN)
        refusals.tell("ipv4:127.0.0.1:5", refused.value)
    told = [record.message for record in caplog.records]
    start = "a configuration over gRPC from ipv4:127.0.0.1:5 was refused: UNAUTHENTICATED"
    assert told == [start, f"{start} (2 more before it)"]


def test_a_configuration_that_is_refused_is_logged(caplog) -> None:
    admin.reload(request(models=False), print, lambda names: {})
    assert "refused: INVALID_ARGUMENT: expected a config with a model_config_list" in caplog.text
