"""What keeps clients of gRPC from taking all of the server: limits on each connection and its messages.

There is no limit on all calls together, which calls that never send their request would use up for everybody else; what is
limited are the requests that have arrived: `execution.Alone`, `execution.Pool`, `rest_body.Budget`.
"""

from __future__ import annotations

GZIP = b"\x1f\x8b"  # with which no proto begins: there is no field of such a type
_CALLS_PER_CONNECTION = 128  # at once; a client's others wait on its side until one of them is done
_IDLE_MS = 15 * 60_000  # without a call, after which a connection is closed; clients open another when they need it
_PING_MS, _PING_TIMEOUT_MS = 60_000, 20_000  # to a client of which nothing is heard, and which may have gone
_SHORTEST_PING_MS = 5_000  # that a client of ours may leave between two of its own pings
_MAX_METADATA_BYTES = 1 << 14
_IDENTITY_AND_GZIP = 0b101


def options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Of a server's channels.

    Args:
      max_message_bytes: of a request as it is sent. One that begins with GZIP is still to be inflated.
    """
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", max_message_bytes),
        # gRPC would inflate all of a message before it looks at its size, so that few bytes could take all memory.
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
        ("grpc.max_concurrent_streams", _CALLS_PER_CONNECTION),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _SHORTEST_PING_MS),
        ("grpc.so_reuseport", 0),  # two servers on one port would take turns in answering
    ]
