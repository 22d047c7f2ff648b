"""Classify, regress, multi-inference, metrics, health, reload and TLS, on one server that has all of them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import tensorflow as tf
from google.protobuf import text_format
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from errors import ConfigError
from serving.server import protos
from serving.server.classify_regress import CLASSIFY, REGRESS
from serving.server.flags import parse
from serving.server.server import Server
from serving.server.warmup import WARMUP_FILE

pytestmark = pytest.mark.slow

TOKEN = "a token of this test"


@dataclass
class Secured:
    """A running server and what speaks to it."""

    running: Any
    url: str
    rest: requests.Session
    channel: grpc.Channel
    base: Path

    def post(self, path: str, body: Any) -> requests.Response:
        return self.rest.post(f"{self.url}/v1/models/{path}", json=body, timeout=60)

    def series(self) -> dict[tuple[str, ...], float]:
        page = self.rest.get(f"{self.url}/metrics", timeout=60)
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(page.text)
        return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def files(folder: Path, authority: Any) -> dict[str, Path]:
    """What the flags name."""
    key, certificate = authority.issue("server")
    config = protos.message("tensorflow.serving.SSLConfig")(server_key=key, server_cert=certificate)
    contents = {
        "ssl_config_file": text_format.MessageToString(config),
        "admin_token_file": TOKEN,
        "monitoring_config_file": 'prometheus_config { enable: true path: "/metrics" }',
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def secured(run_server, typed, authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, trusted = tmp_path_factory.mktemp("secured"), authority("ours")
    shutil.copytree(typed, folder / "base" / "7")
    write_warmup(folder / "base" / "7" / WARMUP_FILE)
    (folder / "ca").write_text(trusted.certificate)
    flags = [f"--{name}={path}" for name, path in files(folder, trusted).items()]
    running = run_server(folder / "base", "--enable_grpc_healthcheck_service", "--enable_batching", *flags)
    running.wait_for("version 7 is AVAILABLE")
    credentials = grpc.ssl_channel_credentials(trusted.certificate.encode())
    with requests.Session() as rest, grpc.secure_channel(running.grpc_address, credentials) as channel:
        rest.trust_env = False  # a REQUESTS_CA_BUNDLE would be taken instead
        rest.verify = str(folder / "ca")
        yield Secured(running, running.url.replace("http:", "https:"), rest, channel, folder / "base")


def write_warmup(file: Path) -> None:
    logs = [prediction_log_pb2.PredictionLog() for _ in range(3)]
    logs[0].classify_log.request.CopyFrom(classification(0.5))
    logs[1].regress_log.request.CopyFrom(regression(0.5))
    logs[2].multi_inference_log.request.CopyFrom(multi(0.5))
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def fill(request: Any, signature: str, values: tuple[float, ...]) -> Any:
    if signature:
        request.model_spec.name = "fish"
        request.model_spec.signature_name = signature
    for value in values:
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)
    return request


def classification(*values: float, signature: str = "classify") -> Any:
    return fill(classification_pb2.ClassificationRequest(), signature, values)


def regression(*values: float, signature: str = "regress") -> Any:
    return fill(regression_pb2.RegressionRequest(), signature, values)


def multi(*values: float) -> Any:
    request = fill(inference_pb2.MultiInferenceRequest(), "", values)
    for signature, method in (("regress", REGRESS), ("classify", CLASSIFY)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name = "fish"
        task.model_spec.signature_name = signature
    return request


@pytest.fixture
def predictions(secured):
    return prediction_service_pb2_grpc.PredictionServiceStub(secured.channel)


@pytest.fixture
def models(secured):
    return model_service_pb2_grpc.ModelServiceStub(secured.channel)


def refusal(method, message, **options) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=60, **options)
    return caught.value.code(), caught.value.details()


def test_classify_answers_alike_over_rest_and_grpc(secured, predictions) -> None:
    body = {"signature_name": "classify", "context": {"x": 9.0}, "examples": [{"x": 0.25}, {"x": [1.0]}, {}]}
    reply = secured.post("fish:classify", body)
    assert reply.headers["x-model-version"] == "7"
    assert reply.json() == {
        "results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]], [["low", -8.0], ["high", 9.0]]]
    }
    request = classification(0.25, 1, 9)
    same = predictions.Classify(request, timeout=60)
    assert (same.model_spec.name, same.model_spec.version.value, same.model_spec.signature_name) == ("fish", 7, "classify")
    rows = [[[one.label, one.score] for one in row.classes] for row in same.result.classifications]
    assert rows == reply.json()["results"]


def test_regress_answers_alike_over_rest_and_grpc(secured, predictions) -> None:
    reply = secured.post("fish/versions/7:regress", {"signature_name": "regress", "examples": [{"x": 0.25}, {"x": 2.0}]})
    assert reply.text == '{"results": [0.5, 4.0]}'
    same = predictions.Regress(regression(0.25, 2), timeout=60)
    assert [one.value for one in same.result.regressions] == [0.5, 4]
    assert (same.model_spec.version.value, same.model_spec.signature_name) == (7, "regress")


def test_multi_inference_gives_one_result_per_task_in_order(predictions) -> None:
    first, second = predictions.MultiInference(multi(0.25), timeout=60).results
    assert first.regression_result.regressions[0].value == 0.5
    assert [one.score for one in second.classification_result.classifications[0].classes] == [0.75, 0.25]
    assert [one.model_spec.signature_name for one in (first, second)] == ["regress", "classify"]
    assert second.model_spec.version.value == 7


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("fish:classify", {}, 400, "key 'examples' is expected"),
        ("fish:classify", {"examples": []}, 400, "is an empty list"),
        ("nobody:classify", {"examples": [{"x": None}]}, 400, "unexpected JSON type: Null"),
        ("nobody:classify", {"examples": [{"x": 1.0}]}, 404, "Latest(nobody)"),
        ("fish/versions/8:regress", {"examples": [{"x": 1.0}]}, 404, "Specific(fish, 8)"),
        ("fish:classify", {"signature_name": "none", "examples": [{}]}, 400, '"none" not found'),
        ("fish:classify", {"examples": [{"x": 1.0}]}, 400, "No classification inputs found"),
        ("fish:classify", {"signature_name": "regress", "examples": [{}]}, 400, "at least one of"),
        ("fish:regress", {"signature_name": "classify", "examples": [{}]}, 400, "Expected one output Tensor"),
        ("fish:regress", {"signature_name": "regress", "examples": [{}]}, 400, "Feature: x"),
        (
            "fish:regress",
            {"signature_name": "regress", "examples": [{"x": 1}]},
            400,
            "Data type: int64 but expected type: float",
        ),
    ],
)
def test_what_rest_cannot_answer_has_the_real_servers_status(secured, path: str, body: Any, status: int, said: str) -> None:
    reply = secured.post(path, body)
    assert (reply.status_code, list(reply.json())) == (status, ["error"])
    assert said in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "request_", "code", "said"),
    [
        ("Classify", classification_pb2.ClassificationRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("Classify", classification(), "INVALID_ARGUMENT", "Input is empty."),
        ("Classify", classification(1, signature="none"), "INVALID_ARGUMENT", '"none" not found'),
        ("Classify", classification(1, signature="regress"), "INVALID_ARGUMENT", "at least one of"),
        ("Regress", regression(), "INVALID_ARGUMENT", "Input is empty."),
        ("Regress", regression(1, signature="count"), "INVALID_ARGUMENT", "No regression inputs found"),
        ("MultiInference", multi(), "INVALID_ARGUMENT", "Input is empty."),
        ("MultiInference", inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "no tasks"),
    ],
)
def test_what_grpc_cannot_answer_has_the_real_servers_code(predictions, method, request_, code: str, said: str) -> None:
    found, details = refusal(getattr(predictions, method), request_)
    assert found == grpc.StatusCode[code]
    assert said in details


def test_metrics_count_and_time_what_was_asked_and_the_start(secured, predictions) -> None:
    before = secured.series()
    predictions.Classify(classification(1, 2, 3), timeout=60)
    secured.post("fish:regress", {"signature_name": "regress", "examples": [{"x": 1.0}]})
    secured.post("fish:regress", {})
    secured.post("made-up:regress", {"examples": [{}]})
    secured.rest.get(f"{secured.url}/v1/models/fish", timeout=60)
    after = secured.series()

    def rise(*series: str) -> float:
        return after.get(series, 0) - before.get(series, 0)

    serving = ":tensorflow:serving:"
    assert rise(f"{serving}request_count_total", "fish", "OK") == 3  # the parser adds `_total`
    assert rise(f"{serving}request_count_total", "fish", "INVALID_ARGUMENT") == 1
    assert rise(f"{serving}request_count_total", "", "NOT_FOUND") == 1
    assert not any("made-up" in series for series in after)
    assert rise(f"{serving}request_latency_count", "fish", "Classify", "GRPC") == 1
    assert rise(f"{serving}request_latency_count", "fish", "regress", "REST") == 1
    assert rise(f"{serving}runtime_latency_count", "fish", "Regress", "TF1") == 1
    assert rise(f"{serving}request_example_count_total", "fish") == 4
    path = str(secured.base / "7")
    assert after[f"{serving}model_warmup_latency_count", path, "OK"] == 1
    assert after[":tensorflow:cc:saved_model:load_attempt_count_total", path, "success"] == 1
    assert after["fedtfx_served_version", "fish"] == 7
    assert rise("fedtfx_batch_size_sum") == 4


def test_the_page_is_where_the_config_file_says_and_only_to_be_read(secured) -> None:
    assert secured.rest.get(f"{secured.url}/monitoring/prometheus/metrics", timeout=60).status_code == 404
    assert secured.rest.post(f"{secured.url}/metrics", timeout=60).status_code == 404


def test_health_is_told_for_the_server_and_each_model(secured) -> None:
    request, response = (protos.message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response"))
    check = secured.channel.unary_unary("/grpc.health.v1.Health/Check", request.SerializeToString, response.FromString)
    for service in ("", "ModelService", "PredictionService", "fish"):
        assert check(request(service=service), timeout=60).status == protos.SERVING
    assert refusal(check, request(service="nobody"))[0] == grpc.StatusCode.NOT_FOUND


def test_neither_port_answers_in_clear(secured) -> None:
    with pytest.raises(requests.ConnectionError):
        secured.running.get("healthz")
    with grpc.insecure_channel(secured.running.grpc_address) as channel:
        call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Classify
        assert refusal(call, classification(1))[0] == grpc.StatusCode.UNAVAILABLE


def reload(secured: Secured, **places: Path) -> Any:
    names = ["/tensorflow/cc/saved_model/load_attempt_count", "/no/such"]
    request = model_management_pb2.ReloadConfigRequest(metric_names=names)
    for name, path in {"fish": secured.base, **places}.items():
        request.config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return request


def test_a_reload_needs_the_token(secured, models) -> None:
    for metadata in ([], [("authorization", "Bearer of nothing good")]):
        code, details = refusal(models.HandleReloadConfigRequest, reload(secured, other=secured.base), metadata=metadata)
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert TOKEN not in details
    assert secured.rest.get(f"{secured.url}/v1/models/other", timeout=60).status_code == 404


def test_a_reload_is_applied_and_answers_with_the_metrics_it_moved(secured, models, predictions) -> None:
    bearer = [("authorization", f"Bearer {TOKEN}")]
    reply = models.HandleReloadConfigRequest(reload(secured, other=secured.base), metadata=bearer, timeout=60)
    assert reply.status.error_code == 0
    increases = {metric.name: metric.int64_value_increase for metric in reply.metric}
    assert increases == {"/tensorflow/cc/saved_model/load_attempt_count": 1, "/no/such": 0}
    request = regression(1)
    request.model_spec.name = "other"
    assert predictions.Regress(request, timeout=60).result.regressions[0].value == 2
    bad = reload(secured, other=Path("not/absolute"))
    assert refusal(models.HandleReloadConfigRequest, bad, metadata=bearer)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert predictions.Regress(request, timeout=60).model_spec.name == "other"


def test_no_secret_is_in_the_log(secured) -> None:
    log = "".join(secured.running._lines.queue)
    assert TOKEN not in log
    assert "PRIVATE" not in log


@pytest.mark.parametrize("flag", ["ssl_config_file", "admin_token_file", "monitoring_config_file"])
def test_a_server_does_not_start_with_a_file_it_cannot_use(flag: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("nonsense")
    with pytest.raises(ConfigError, match=flag) as caught:
        Server(parse([f"--model_base_path={tmp_path}", f"--{flag}={tmp_path / 'file'}"]))
    assert "\n" not in str(caught.value)


def test_a_server_does_not_take_a_token_over_a_network_in_clear(tmp_path: Path, authority) -> None:
    flags = [f"--model_base_path={tmp_path}", "--host=0.0.0.0"]
    given = {name: f"--{name}={path}" for name, path in files(tmp_path, authority("ours")).items()}
    with pytest.raises(ConfigError, match="in clear"):
        Server(parse([*flags, given["admin_token_file"]]))
    Server(parse([*flags, given["admin_token_file"], given["ssl_config_file"]]))
