import gzip
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

pytestmark = pytest.mark.slow

RAW = {
    "name": np.array([b"abc", b"\xff\x00"], object),
    "length": np.array([1.5, -2], np.float32),
    "fins": np.array([[1, 2], [3, 4]], np.int64),
}


@pytest.fixture
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def statuses(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(raw=RAW, name: str = "fish", version: int | None = None, **fields) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest(**fields)
    made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    for key, array in raw.items():
        made.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return made


def refusal(method, message) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=60)
    return caught.value.code(), caught.value.details()


def test_grpc_rest_and_the_signature_itself_answer_alike(server, predictions, direct) -> None:
    reply = predictions.Predict(request(), timeout=60)
    expected = direct([b"abc", b"\xff\x00"], [1.5, -2.0], [[1, 2], [3, 4]])
    assert reply.outputs.keys() == expected.keys()
    for name, proto in reply.outputs.items():
        np.testing.assert_array_equal(tf.make_ndarray(proto), expected[name])
    body = {"inputs": {"name": ["abc", {"b64": "/wA="}], "length": [1.5, -2], "fins": [[1, 2], [3, 4]]}}
    rest = server.post("fish:predict", body).json()["outputs"]
    np.testing.assert_array_equal(np.array(rest["scores"], np.float32), tf.make_ndarray(reply.outputs["scores"]))


def test_each_of_many_requests_at_once_gets_its_own_answer(predictions, direct) -> None:
    lengths = np.linspace(-5, 5, 64).astype(np.float32)
    expected = direct([b"a"] * 64, lengths.tolist(), [[1, 2]] * 64)["scores"]
    one = {"name": np.array([b"a"], object), "fins": np.array([[1, 2]], np.int64)}
    with ThreadPoolExecutor(16) as pool:
        replies = pool.map(lambda length: predictions.Predict(request({**one, "length": length}), timeout=60), lengths[:, None])
        scores = [tf.make_ndarray(reply.outputs["scores"])[0] for reply in replies]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_the_reply_names_what_answered_and_has_typed_fields(predictions) -> None:
    reply = predictions.Predict(request(version=7), timeout=60)
    assert (reply.model_spec.name, reply.model_spec.version.value) == ("fish", 7)
    assert reply.model_spec.signature_name == "serving_default"
    assert len(reply.outputs["scores"].float_val) == 6
    assert not reply.outputs["scores"].tensor_content


def test_only_the_outputs_asked_for_are_sent(predictions) -> None:
    reply = predictions.Predict(request(output_filter=["best"]), timeout=60)
    assert list(reply.outputs) == ["best"]
    for names, said in (
        (["worst"], "not found in signature: worst"),
        (["best", "best"], "duplicate output tensor alias: best"),
    ):
        code, details = refusal(predictions.Predict, request(output_filter=names))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert said in details


def test_a_message_over_grpcs_usual_limit_is_answered(predictions) -> None:
    count = 300_000
    raw = {"name": [b"a"] * count, "length": np.zeros(count, np.float32), "fins": np.zeros([count, 2], np.int64)}
    made = request(raw, output_filter=["best"])
    assert made.ByteSize() > 4 * 2**20
    assert len(predictions.Predict(made, timeout=60).outputs["best"].int64_val) == count


def test_a_compressed_request_is_answered_unless_it_is_too_large_inflated(predictions, channel) -> None:
    many = {key: np.repeat(array, 1000, axis=0) for key, array in RAW.items()}
    reply = predictions.Predict(request(many, output_filter=["best"]), timeout=60, compression=grpc.Compression.Gzip)
    assert len(reply.outputs["best"].int64_val) == 2000
    bare = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refusal(bare, gzip.compress(bytes(2**26 + 1), 1))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal(bare, gzip.compress(bytes(1000))[:-5])[0] == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request(name=""), "INVALID_ARGUMENT", "no model name"),
        (request(name="nobody"), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (request(version=8), "NOT_FOUND", "Servable not found for request: Specific(fish, 8)"),
        (request({"name": RAW["name"]}), "INVALID_ARGUMENT", "Missing but required: {fins, length}"),
        (request({**RAW, "more": 1}), "INVALID_ARGUMENT", "Sent extra: {more}"),
        (request({**RAW, "length": 1}), "INVALID_ARGUMENT", "length: Expects arg[0] to be float but int32 is provided"),
        (request({**RAW, "length": np.float32(1)}), "INVALID_ARGUMENT", "input length has shape []; the signature takes [?]"),
        (request({**RAW, "length": np.zeros(3, np.float32)}), "INVALID_ARGUMENT", ""),
    ],
)
def test_what_cannot_be_answered_has_the_real_servers_code(predictions, made, code: str, said: str) -> None:
    found, details = refusal(predictions.Predict, made)
    assert found == grpc.StatusCode[code]
    assert said in details


def test_a_signature_or_label_that_is_not_there_is_refused(predictions) -> None:
    made = request()
    made.model_spec.signature_name = "x" * 5000
    code, details = refusal(predictions.Predict, made)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert len(details) == 1024
    made = request()
    made.model_spec.version_label = "stable"
    assert refusal(predictions.Predict, made)[1] == "Unrecognized servable version label: stable"


@pytest.mark.parametrize("sizes", [[3], [2**40], [2**62, 2**62], [-1], [1] * 40])
def test_a_tensor_that_is_none_is_refused_before_it_takes_memory(predictions, sizes: list[int]) -> None:
    made = request()
    proto = made.inputs["length"]
    proto.tensor_content = b"" if sizes[0] > 3 else b"12345"
    proto.tensor_shape.ClearField("dim")
    for size in sizes:
        proto.tensor_shape.dim.add().size = size
    assert refusal(predictions.Predict, made)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_the_metadata_tells_the_signatures(predictions) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "fish"
    reply = predictions.GetModelMetadata(asked, timeout=60)
    assert reply.model_spec.version.value == 7
    found = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(found)
    assert found.signature_def["serving_default"].inputs["length"].dtype == tf.float32.as_datatype_enum
    asked.metadata_field[:] = ["other"]
    assert refusal(predictions.GetModelMetadata, asked) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Metadata field other is not supported",
    )
    asked.ClearField("metadata_field")
    assert refusal(predictions.GetModelMetadata, asked)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_the_status_tells_the_version_that_is_available(statuses) -> None:
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "fish"
    (status,) = statuses.GetModelStatus(asked, timeout=60).model_version_status
    assert (status.version, status.state, status.status.error_code) == (7, status.AVAILABLE, 0)
    asked.model_spec.version.value = 8
    assert refusal(statuses.GetModelStatus, asked)[0] == grpc.StatusCode.NOT_FOUND


def test_without_a_token_of_its_own_a_server_lets_nobody_change_its_models(statuses) -> None:
    bearer = [("authorization", "Bearer anything-at-all")]
    code, details = refusal(partial(statuses.HandleReloadConfigRequest, metadata=bearer), ReloadConfigRequest())
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert "started without --admin_token_file" in details
