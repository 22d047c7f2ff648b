"""Our model server, to be given the model, in a process of its own on loopback."""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.serving_check.processes import Finding, ending, peak_memory_bytes, running

HOST = "127.0.0.1"
VERSION = 1
_POLL_SECONDS = 0.1  # between two of its looks for the model
_LOOK_SECONDS = 0.05  # between two looks at a server that is starting
_LAST_WORDS_SECONDS = 5.0  # for a process whose connection broke to be gone
_STATUS_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """A started server.

    Attributes:
      process: the server's process.
      name: the model's name, which no other server on this machine knows.
      rest_port: port of REST.
      grpc_port: port of gRPC.
    """

    process: subprocess.Popen[bytes]
    name: str
    rest_port: int
    grpc_port: int

    def wait_until_available(self, seconds: float) -> float:
        """Returns the seconds it took to serve the model, counted from now: from when it was given one.

        Raises:
          Finding: it died, said that it cannot load the model, or did neither in time.
        """
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            state = self._state()
            if state == "AVAILABLE":
                return time.monotonic() - started
            if state == "END":
                raise Finding("the model server could not load the model")
            self._wait(_LOOK_SECONDS, "before it served the model")
        raise Finding(f"the model server did not serve the model within {seconds:g} s")

    def lost(self) -> Finding:
        """Why a connection to it broke."""
        try:
            self._wait(_LAST_WORDS_SECONDS, "while it was asked")
        except Finding as finding:
            return finding
        return Finding("the model server broke a connection while it was asked")

    def peak_memory_bytes(self) -> int | None:
        """See `processes.peak_memory_bytes`."""
        return peak_memory_bytes(self.process)

    def _wait(self, seconds: float, when: str) -> None:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise Finding(f"the model server {ending(code)} {when}")

    def _state(self) -> str | None:
        """State of our version; None as long as nobody answers."""
        connection = http.client.HTTPConnection(HOST, self.rest_port, timeout=_STATUS_SECONDS)
        try:
            connection.request("GET", f"/v1/models/{self.name}")
            versions = json.loads(connection.getresponse().read())["model_version_status"]
            return next((str(version["state"]) for version in versions if version["version"] == str(VERSION)), None)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return None
        finally:
            connection.close()


@contextmanager
def serve(base_path: Path) -> Iterator[Server]:
    """Starts a server over the directory of versions `base_path`; it is gone at the end, whatever happens.

    The directory may be empty: the server looks at it again and again, so that it can be given its model once it has started.
    """
    import portpicker

    name = f"candidate-{secrets.token_hex(8)}"
    rest_port, grpc_port = portpicker.pick_unused_port(), portpicker.pick_unused_port()
    flags = {
        "port": grpc_port,
        "rest_api_port": rest_port,
        "model_name": name,
        "model_base_path": base_path,
        "file_system_poll_wait_seconds": _POLL_SECONDS,
        "max_num_load_retries": 0,  # its files will not change
    }
    with running("serving", "serve", *(f"--{flag}={value}" for flag, value in flags.items())) as process:
        yield Server(process, name, rest_port, grpc_port)
