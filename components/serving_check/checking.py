"""The check of one model: look it over; if nothing is wrong, serve it and ask it.

    model server: starts ------------------------------------ loads -> is asked
    worker:       starts -> inspects the files -> (loadable?) loads -> answers
                                                  `- only now the model is where the server looks

Both import TensorFlow, which takes most of the time, so they do it at the same time.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import errors
from components.serving_check import files
from components.serving_check.inspection import Findings
from components.serving_check.measuring import Deadline, Measuring, samples
from components.serving_check.model_server import VERSION, Server, serve
from components.serving_check.processes import Finding, Worker, worker
from errors import FedtfxError

FORMAT = 1


@dataclass(frozen=True)
class Limits:
    """Seconds after which something counts as hanging.

    Attributes:
      inspect_seconds: looking over the files and weights.
      start_seconds: from when the server is given the model until it serves it.
      request_seconds: one request.
      stage_seconds: everything that involves the server.
    """

    inspect_seconds: float = 300
    start_seconds: float = 120
    request_seconds: float = 60
    stage_seconds: float = 900


@dataclass(frozen=True)
class Request:
    """What to check with.

    Attributes:
      module: import path of the model module, which says what the examples hold.
      records: serialized tf.Examples to ask with, at least one.
      requests: timed requests per protocol.
      allowed_ops: operations that are allowed beside those of allowed_ops.txt.
      limits: see there.
    """

    module: str
    records: Sequence[bytes]
    requests: int
    allowed_ops: Sequence[str] = ()
    limits: Limits = Limits()


@dataclass(frozen=True)
class _Parties:
    """Who has the model now: the server, which is `loading` it for so many seconds, and the worker that inspected it."""

    server: Server
    loading: Future[float]
    worker: Worker


def check(model_dir: str, request: Request) -> dict[str, Any]:
    """Checks the SavedModel in `model_dir` and returns what serving_report.json holds.

    Nothing of the model is executed in this process, and the model is copied first, so that nothing can alter it.

    Raises:
      FedtfxError: the module or the examples cannot be used. What is wrong with the model is in the result.
    """
    source = Path(model_dir)
    found, server = Findings(files.problems(source)), None
    if not found.problems:
        with tempfile.TemporaryDirectory(prefix="serving-check-", ignore_cleanup_errors=True) as folder:
            found, server = _inspect_and_serve(source, Path(folder), request)
    return {
        "format": FORMAT,
        "loadable": found.loadable,
        "size_bytes": files.size(source),
        **asdict(found),
        "server": server,
    }


def _inspect_and_serve(source: Path, folder: Path, request: Request) -> tuple[Findings, dict[str, Any] | None]:
    """The server has an empty directory until the inspection is over, and never sees a model that is not loadable."""
    base_path, copied = folder / "served", folder / "model"
    base_path.mkdir()
    # A thread that waits for the server is the last to end, because the server's end is what it waits for.
    with ThreadPoolExecutor(1) as pool, serve(base_path) as server, worker() as worker_process:
        _copy(source, copied)
        found = _inspect(copied, worker_process, request)
        if not found.loadable:
            return found, None
        deadline = Deadline(request.limits.stage_seconds, request.limits.request_seconds)
        directory = copied.rename(base_path / str(VERSION))
        loading = pool.submit(server.wait_until_available, min(request.limits.start_seconds, deadline.left()))
        return found, _serve(directory, _Parties(server, loading, worker_process), request, deadline)


def _copy(source: Path, target: Path) -> None:
    """Copies the model: hard links would let whoever serves it alter the original."""
    try:
        shutil.copytree(source, target)
        target.chmod(0o700)  # a directory must be writable to be moved
    except OSError as error:
        raise FedtfxError(
            f"expected room for a copy of the model in {target.parent.parent}, got: {error.strerror or 'a failed copy'};"
            " make room there or set TMPDIR to a larger disk."
        ) from error


def _inspect(directory: Path, asked: Worker, request: Request) -> Findings:
    task = {"task": "inspect", "directory": str(directory), "allowed_ops": list(request.allowed_ops)}
    try:
        return Findings(**_checked(asked.ask(task, request.limits.inspect_seconds)))
    except Finding as finding:
        return Findings([f"its files cannot be read: {finding}"])


def _serve(directory: Path, parties: _Parties, request: Request, deadline: Deadline) -> dict[str, Any]:
    facts, server = _nothing_known(len(request.records)), parties.server
    try:
        chosen = samples(request.records, called_by_itself(directory, parties.worker, request, deadline))
        facts["load_seconds"] = parties.loading.result()
        try:
            Measuring(server, chosen, facts, deadline).run(request.requests)
        finally:
            facts["memory_bytes"] = server.peak_memory_bytes()
    except Finding as finding:
        facts["problem"] = str(finding)
    return facts


def called_by_itself(directory: Path, asked: Worker, request: Request, deadline: Deadline) -> dict[str, Any]:
    """What serve_examples answers without a server; see `worker.answer`.

    Raises:
      Finding: the model, or the process it is in, gives no answer.
      FedtfxError: the module or the examples cannot be used.
    """
    examples = [base64.b64encode(record).decode() for record in request.records]
    task = {"task": "answer", "directory": str(directory), "module": request.module, "examples": examples}
    try:
        answer = asked.ask(task, deadline.left(), last=True)
    except Finding as finding:
        raise Finding(f"called by itself, the model gives no answer: {finding}") from None
    return answered(answer)


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """What `worker.answer` returned, if the model did answer; raises as `called_by_itself`."""
    checked = _checked(answer)
    if "problem" in checked:
        raise Finding(f"called by itself, {checked['problem']}")
    return checked


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer, or the error in it."""
    if "error" in answer:
        raise getattr(errors, answer["error"]["type"])(answer["error"]["message"])
    return answer


def _nothing_known(count: int) -> dict[str, Any]:
    return {
        "problem": None,
        "load_seconds": None,
        "samples": count,
        "requests": 0,
        "non_finite": 0,
        "errors": {"rest": 0, "grpc": 0},
        "max_difference": {"rest": None, "grpc": None},
        "latency_ms": {"rest": None, "grpc": None},
        "memory_bytes": None,
    }
