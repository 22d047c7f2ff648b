"""Asks a model server with samples: are the answers those of the model called by itself, and how long do they take?"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.serving_check.answers import Tensors, compare
from components.serving_check.clients import Client, Grpc, Refused, Rest
from components.serving_check.model_server import Server
from components.serving_check.processes import Finding
from modeling.export import EXAMPLES_SIGNATURE

_WARM_UP_REQUESTS = 5


@dataclass(frozen=True)
class Sample:
    """An example to ask with: its named raw features as TensorProtos, itself serialized, and the answer [...] by name."""

    raw: Mapping[str, Any]
    record: bytes
    expected: Tensors


class Deadline:
    """The end of what a stage may take."""

    def __init__(self, seconds: float, request_seconds: float) -> None:
        self._seconds, self._request_seconds = seconds, request_seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left.

        Raises:
          Finding: none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise Finding(f"the model was not measured within {self._seconds:g} s")
        return left

    def request_seconds(self) -> float:
        """Seconds that one request may take."""
        return min(self.left(), self._request_seconds)


def samples(records: Sequence[bytes], answer: Mapping[str, Any]) -> list[Sample]:
    """Puts together what `worker.answer` returned for the records.

    Raises:
      Finding: the model does not answer every example.
    """
    expected = {name: _array(_tensor(text)) for name, text in answer["expected"].items()}
    if any(array.shape[:1] != (len(records),) for array in expected.values()):
        raise Finding("serve_examples does not give one answer per example")
    return [
        Sample(
            raw={name: _tensor(text) for name, text in answer["raw"][at].items()},
            record=record,
            expected={name: np.asarray(array[at], array.dtype) for name, array in expected.items()},
        )
        for at, record in enumerate(records)
    ]


def _tensor(text: str) -> Any:
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto.FromString(base64.b64decode(text))


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    import tensorflow as tf

    return np.asarray(tf.make_ndarray(tensor))


class Measuring:
    """One server being asked; `facts` is the `server` part of serving_report.json as far as it has come."""

    def __init__(self, server: Server, chosen: Sequence[Sample], facts: dict[str, Any], deadline: Deadline) -> None:
        self._samples, self._facts, self._deadline = chosen, facts, deadline
        self._rest, self._grpc = Rest(server), Grpc(server)
        self._differences: dict[str, list[float | None]] = {"rest": [], "grpc": []}

    def run(self, requests: int) -> None:
        """Asks with every sample over both protocols, then measures `requests` requests over each.

        Raises:
          Finding: the server died, or was too slow.
        """
        try:
            rest = [Rest.request({name: _array(tensor) for name, tensor in one.raw.items()}) for one in self._samples]
            raw = [self._grpc.request("serving_default", one.raw) for one in self._samples]
            self._ask("rest", self._rest, rest)
            self._ask("grpc", self._grpc, raw)
            self._ask("grpc", self._grpc, [self._examples(one) for one in self._samples])
            self._measure("rest", self._rest, rest, requests)
            self._measure("grpc", self._grpc, raw, requests)
            self._facts["requests"] = requests
        finally:
            self._rest.close()
            self._grpc.close()

    def _examples(self, sample: Sample) -> bytes:
        import tensorflow as tf

        return self._grpc.request(EXAMPLES_SIGNATURE, {"examples": tf.make_tensor_proto([sample.record])})

    def _ask(self, protocol: str, client: Client, requests: Sequence[bytes]) -> None:
        """Counts errors and answers that are not finite, and finds the largest difference, if there is a number for all."""
        facts, differences = self._facts, self._differences[protocol]
        for request, sample in zip(requests, self._samples, strict=True):
            try:
                answer = client.send(request, self._deadline.request_seconds())
                found = compare(client.read(answer, list(sample.expected)), sample.expected)
            except (Refused, ValueError):
                facts["errors"][protocol] += 1
                continue
            facts["non_finite"] += not found.finite
            facts["errors"][protocol] += found.difference is None
            differences.append(found.difference)
        known = [difference for difference in differences if difference is not None]
        facts["max_difference"][protocol] = max(known) if known and len(known) == len(differences) else None

    def _measure(self, protocol: str, client: Client, requests: Sequence[bytes], count: int) -> None:
        """Times requests one after another, the samples in turn; errors are counted and not timed."""
        times = []
        for number in range(-_WARM_UP_REQUESTS, count):
            request, limit = requests[number % len(requests)], self._deadline.request_seconds()
            start = time.perf_counter()
            try:
                client.send(request, limit)
            except Refused:
                self._facts["errors"][protocol] += number >= 0
                continue
            if number >= 0:
                times.append(1000 * (time.perf_counter() - start))
        if times:
            p50, p99 = np.percentile(times, [50, 99])
            self._facts["latency_ms"][protocol] = {"p50": float(p50), "p99": float(p99)}
