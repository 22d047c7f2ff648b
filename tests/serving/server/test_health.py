import asyncio
import json

import grpc
import pytest

from serving.server import protos
from serving.server.health import Health

Request = protos.message("grpc.health.v1.HealthCheckRequest")
Response = protos.message("grpc.health.v1.HealthCheckResponse")


class Models:
    """Which models there are and which of them wait."""

    def __init__(self) -> None:
        self.names = ["fish", "bird"]
        self.waiting: list[str] = []

    def health(self) -> Health:
        return Health(lambda: self.names, lambda: self.waiting)


def test_the_whole_is_serving_when_every_model_is() -> None:
    models = Models()
    asked = ["", "ModelService", "PredictionService", "tensorflow.serving.PredictionService", "fish", "bird"]
    assert {models.health().status(name) for name in asked} == {protos.SERVING}
    models.waiting = ["bird"]
    found = {name: models.health().status(name) for name in asked}
    assert [name for name, status in found.items() if status == protos.SERVING] == ["fish"]
    assert models.health().status("cat") == protos.SERVICE_UNKNOWN


@pytest.fixture
def talk():
    """Runs a conversation with a server that has these models."""

    def run(models: Models, conversation) -> None:
        async def both() -> None:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((models.health().handler(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                await asyncio.wait_for(conversation(f"127.0.0.1:{port}"), 20)
            finally:
                await server.stop(0)

        asyncio.run(both())

    return run


def method(channel: grpc.aio.Channel, name: str):
    make = channel.unary_stream if name == "Watch" else channel.unary_unary
    return make(f"/grpc.health.v1.Health/{name}", Request.SerializeToString, Response.FromString)


def test_check_tells_the_status_or_not_found(talk) -> None:
    async def conversation(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            assert (await method(channel, "Check")(Request(service="fish"))).status == protos.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(channel, "Check")(Request(service="cat"))
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND

    talk(Models(), conversation)


def test_watch_tells_every_change(talk) -> None:
    models = Models()

    async def conversation(address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stream = method(channel, "Watch")(Request(service="cat"))
            assert (await stream.read()).status == protos.SERVICE_UNKNOWN
            models.names, models.waiting = ["cat"], ["cat"]
            assert (await stream.read()).status == protos.NOT_SERVING
            models.waiting = []
            assert (await stream.read()).status == protos.SERVING
            stream.cancel()

    talk(models, conversation)


def test_grpcs_own_health_checking_client_understands_it(talk) -> None:
    models = Models()
    models.waiting = ["fish"]
    config = {"healthCheckConfig": {"serviceName": "fish"}, "loadBalancingConfig": [{"round_robin": {}}]}

    async def conversation(address: str) -> None:
        options = [("grpc.service_config", json.dumps(config))]
        async with grpc.aio.insecure_channel(address, options) as channel:
            state = channel.get_state(try_to_connect=True)
            while state != grpc.ChannelConnectivity.TRANSIENT_FAILURE:  # connected, but told not to use it
                await channel.wait_for_state_change(state)
                state = channel.get_state()
            models.waiting = []
            await channel.channel_ready()

    talk(models, conversation)
