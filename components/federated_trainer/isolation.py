"""Runs a training in a process of its own, follows it, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import errors
from components.lifetime import die_with_parent

if TYPE_CHECKING:
    from components.federated_trainer.records import Round
    from components.federated_trainer.rounds import Job

logger = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[2]


def run(job: Job) -> dict[str, Any]:
    """Trains in a child process, logs a line per round, and returns what `rounds.train` returned.

    Raises:
      FedtfxError: what the training raised, with its own message and class; for a ConfigError, which says that nothing has
        been run, a TrainingError.
      TrainingError: the process died without a word.
    """
    process = _start()
    try:
        _send(job, process)
        return _follow(process)
    finally:
        _end(process)


def _start() -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(_ROOT), *sys.path]))
    return subprocess.Popen(
        [sys.executable, "-m", "components.federated_trainer.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},  # its warnings quote records
        start_new_session=True,  # a group of its own: Ctrl-C reaches us alone, and _end reaches all of it
        preexec_fn=die_with_parent(),
    )


def _send(job: Job, process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # if it died already, _follow tells
        json.dump(asdict(job), stdin)


def _follow(process: subprocess.Popen[str]) -> dict[str, Any]:
    from components.federated_trainer.records import Round

    rounds, typical = 0, 0.0  # seconds of the rounds after the first seen, which also builds the graphs
    for kind, content in _messages(process):
        if kind == "round":
            result = Round(**content)
            rounds += 1
            typical = result.seconds if rounds <= 2 else typical + (result.seconds - typical) / (rounds - 1)
            logger.info(_progress_line(result, typical))
        elif kind == "warning":
            logger.warning("%s", content)
        elif kind == "error":
            kind = getattr(errors, content["type"])
            raise (errors.TrainingError if issubclass(kind, errors.ConfigError) else kind)(content["message"])
        elif kind == "result":
            return dict(content)
    raise errors.TrainingError(
        f"the training process ended without a result (exit code {process.wait()}); expected one. If it is -9, it may have run"
        " out of memory; what it wrote is in the log."
    )


def _messages(process: subprocess.Popen[str]) -> Iterator[tuple[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield from json.loads(line).items()


def _progress_line(result: Round, typical_seconds: float) -> str:
    metrics = "".join(f", {key} {value:.4f}" for key, value in result.metrics.items())
    left_out = f" ({result.excluded} more left out, whose weights are not finite)" if result.excluded else ""
    heldout = "".join(f", held-out {key} {value:.4f}" for key, value in result.heldout.items())
    epsilon = f", epsilon {result.facts['epsilon_rdp']:.3g} by RDP" if "epsilon_rdp" in result.facts else ""
    times = f"{result.seconds:.2f} s, {typical_seconds * (result.of - result.number):.0f} s left"
    clients = f"{result.clients} client{'' if result.clients == 1 else 's'}"
    return f"round {result.number}/{result.of}: {clients}{left_out}{metrics}{heldout}{epsilon}, {times}"


def _end(process: subprocess.Popen[str]) -> None:
    """Kills the whole group, the TFF worker included; harmless when all of it has ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
