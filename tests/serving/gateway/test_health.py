"""What the gateway's log says of the model server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import portpicker

from serving import protocol
from serving.client import connect
from serving.gateway.health import told
from serving.gateway.settings import Settings

SERVICE, METHOD = "tensorflow.serving.PredictionService", "GetModelMetadata"


@contextmanager
def model_server(port: int, version: int) -> Iterator[None]:
    """Knows the version of its model, whichever is asked for, and no signatures."""

    def answer(request, _):
        reply = protocol.message("tensorflow.serving.GetModelMetadataResponse")()
        reply.model_spec.name, reply.model_spec.version.value = request.model_spec.name, version
        reply.metadata["signature_def"].Pack(protocol.message("tensorflow.serving.SignatureDefMap")())
        return reply

    read = protocol.message("tensorflow.serving.GetModelMetadataRequest").FromString
    method = grpc.unary_unary_rpc_method_handler(answer, read, lambda reply: reply.SerializeToString())
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield
    server.stop(None).wait()


class Lines(logging.Handler):
    """Keeps what is logged, and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.changed:
            self.lines.append(f"{record.levelname} {record.getMessage()}")
            self.changed.notify()

    def wait(self, count: int) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= count, 20), self.lines
            return self.lines[count - 1]


def test_the_log_says_at_the_start_and_at_each_change_whether_the_model_server_answers(caplog) -> None:
    port = portpicker.pick_unused_port()
    settings, log = Settings(f"grpc://127.0.0.1:{port}", "digits"), Lines()
    logger = logging.getLogger("serving.gateway.health")
    caplog.set_level(logging.INFO, logger.name)
    logger.addHandler(log)
    with connect(settings.server, timeout=1, retries=0) as client, told(client, settings, every=0.02):
        assert log.wait(1).startswith(
            f"WARNING no answer from the model server {settings.server}: UNAVAILABLE: nothing listens"
        )
        with model_server(port, 3):
            assert log.wait(2) == "INFO the model server answers: digits version 3"
        assert log.wait(3).startswith("WARNING no answer")
        with model_server(port, 4):
            assert log.wait(4) == "INFO the model server answers: digits version 4"
    logger.removeHandler(log)
