"""Requests that take too long or whose client has gone, on the front ends themselves, in this process."""

import asyncio
import json
import time
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.server import servable
from serving.server.execution import Alone, Engine
from serving.server.grpc_service import Service, create_server
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.model_config import Settings
from serving.server.rest import Rest

pytestmark = pytest.mark.slow

COUNTED = ":tensorflow:serving:request_count"


class Slow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1], tf.int32, "turns")])
    def __call__(self, turns):
        _, done = tf.while_loop(lambda left, _: left > 0, lambda left, sum_: (left - 1, sum_ + 1), (turns[0], 0))
        return {"done": tf.reshape(done, [1])}


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Manager:
    base = tmp_path_factory.mktemp("slow")
    model = Slow()
    tf.saved_model.save(model, str(base / "1"), signatures={"serving_default": model.__call__.get_concrete_function()})
    made = Manager(lambda name, path, version: servable.load(path, version), poll_seconds=0)
    made.apply({"slow": Settings(Path(base))})
    while made.ready():
        time.sleep(0.01)
    return made


def metrics(manager: Manager) -> Metrics:
    made = Metrics()
    made.follow(manager.names)
    return made


async def ask(rest: Rest, turns: int) -> tuple[int, dict, dict]:
    """Status, headers and body of a predict."""
    body = json.dumps({"instances": [turns]}).encode()
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    await rest({"type": "http", "method": "POST", "raw_path": b"/v1/models/slow:predict", "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


def test_a_rest_request_over_its_time_is_504_and_the_next_is_answered(manager: Manager) -> None:
    async def main():
        rest = Rest(manager, Engine(Alone(2)), metrics(manager), max_body_bytes=1000, timeout_seconds=0.05, read_seconds=1)
        late = await ask(rest, 300_000)
        return late, await ask(rest, 1)

    (status, headers, body), (next_status, _, next_body) = asyncio.run(main())
    assert (status, body["error"]) == (504, "the request was not answered within 0.05 s")
    assert headers[b"x-model-version"] == b"1"
    assert (next_status, next_body) == (200, {"predictions": [1]})


def test_a_grpc_call_over_its_deadline_is_ended_here_too(manager: Manager) -> None:
    async def main():
        counted = metrics(manager)
        server = create_server(Service(manager, Engine(Alone(2)), counted).handlers())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "slow"
        request.inputs["turns"].CopyFrom(tf.make_tensor_proto([300_000]))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request.SerializeToString(), timeout=0.1)
        while not counted.values([COUNTED])[COUNTED]:
            await asyncio.sleep(0.01)
        page = counted.page()
        await server.stop(0)
        return caught.value.code(), page

    code, page = asyncio.run(main())
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert 'status="CANCELLED"' in page
