"""The training process: reads a job from standard input, writes one JSON message a line to standard output.

A process of its own, because TFF leaves Keras in a state in which plain Model.fit fails, and so that nothing of a training
that is stopped or runs out of memory stays behind in the pipeline's process.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import Any

from components.federated_trainer import private_network
from errors import FedtfxError


def main() -> int:
    """Messages: {"warning": ...}, {"round": {...}}, and last {"result": {...}} or {"error": {"type": ..., "message": ...}}."""
    described = json.load(sys.stdin)
    # Only TFF's worker listens. Beam must not be in it: its own workers may be on other machines.
    private = private_network.enter() if described["settings"]["executor"] == "tff" else None
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries and child processes print must not mix with the messages

    def send(kind: str, content: Any) -> None:
        print(json.dumps({kind: content}), file=messages, flush=True)

    if private is False:
        send("warning", "the kernel allows no private network here: while it trains, other machines can reach TFF's worker")
    from components.federated_trainer.executors import use_threads
    from components.federated_trainer.rounds import Job, train

    try:
        job = Job(**described)
        use_threads(job.settings)
        facts = train(job, lambda result: send("round", asdict(result)), lambda text: send("warning", text))
        send("result", facts if private is None else {**facts, "private_network": int(private)})
    except FedtfxError as error:
        send("error", {"type": type(error).__name__, "message": str(error)})
        return 1
    except Exception as error:  # a defect, or something in the user's module that no check foresees; the log has all of it
        traceback.print_exc()
        send("error", {"type": "TrainingError", "message": _unforeseen(error)})
        return 1
    return 0


def _unforeseen(error: Exception) -> str:
    from modeling.contract import one_line

    return f"training failed with {type(error).__name__}: {one_line(error)}; the log has the whole story."


if __name__ == "__main__":
    sys.exit(main())
