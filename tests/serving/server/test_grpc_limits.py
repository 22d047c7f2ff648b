import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest

from serving.server.grpc_service import create_server


async def echo(request: bytes, context: Any) -> bytes:
    return request


HANDLERS = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own for each channel


def talk(conversation: Callable[[grpc.aio.Channel, grpc.aio.Channel], Coroutine[Any, Any, None]]) -> None:
    """Runs a conversation of two clients with a server that takes messages of 1000 bytes."""

    async def both() -> None:
        server = create_server([grpc.method_handlers_generic_handler("s", HANDLERS)], 1000)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        address = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(address, OWN) as channel, grpc.aio.insecure_channel(address, OWN) as other:
            await asyncio.wait_for(conversation(channel, other), 20)
        await server.stop(0)

    asyncio.run(both())


def test_silent_calls_of_one_client_shut_no_other_out() -> None:
    async def conversation(channel: grpc.aio.Channel, other: grpc.aio.Channel) -> None:
        calls = [channel.stream_stream("/s/Echo")() for _ in range(200)]  # which begin, and whose requests do not come
        assert await other.unary_unary("/s/Echo")(b"a") == b"a"
        for call in calls:
            call.cancel()

    talk(conversation)


def test_a_message_over_the_limit_is_refused_and_a_compressed_one_is_not_inflated() -> None:
    async def conversation(channel: grpc.aio.Channel, _: grpc.aio.Channel) -> None:
        call = channel.unary_unary("/s/Echo")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(bytes(1001))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        sent = await call(bytes(100_000), compression=grpc.Compression.Gzip)
        assert sent[:2] == b"\x1f\x8b"
        assert len(sent) < 1000

    talk(conversation)
