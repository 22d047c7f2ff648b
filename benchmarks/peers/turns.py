"""How a system of the yardstick talks with `benchmarks/training.py`: it makes ready, then runs a round each time it is told to.

    options = turns.parser().parse_args()
    ...                                    # make ready
    talk = turns.Turns(options)
    while talk.wait():                     # until the parent closes the pipe, or `--rounds` are done
        talk.done(loss_of_one_round())

Without `--in-turn` a system runs `--rounds` rounds one after the other and prints them. Needs only the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time


def parser() -> argparse.ArgumentParser:
    """Options that every system has."""
    made = argparse.ArgumentParser()
    made.add_argument("--workload", choices=["A", "B", "C"], default="C")
    made.add_argument("--clients", type=int, help="instead of the workload's")
    made.add_argument("--examples", type=int, help="of each client, instead of the workload's")
    made.add_argument("--batch", type=int, help="instead of the workload's; clients have whole batches")
    made.add_argument("--rounds", type=int, default=10, help="on its own: rounds to run")
    made.add_argument("--in-turn", type=int, help=argparse.SUPPRESS)  # the file descriptor of the parent's pipe
    return made


class Turns:
    """Waits for a turn, measures the round, reports it."""

    def __init__(self, options: argparse.Namespace):
        """Tells the parent that all is ready."""
        self._rounds = options.rounds
        self._pipe = None
        if options.in_turn is not None:
            os.set_inheritable(options.in_turn, False)  # the parent must see the end of this process, whoever outlives it
            self._pipe = os.fdopen(options.in_turn, "w")
        self._seconds: list[float] = []
        self._tell({"ready": True})

    def wait(self) -> bool:
        """Blocks until it is this system's turn; False when there is none any more."""
        more = len(self._seconds) < self._rounds if self._pipe is None else bool(sys.stdin.readline())
        self._start = time.perf_counter()
        return more

    def done(self, loss: float) -> None:
        """Ends the round; loss: mean over the round's examples, each before the step that used it."""
        self._seconds.append(time.perf_counter() - self._start)
        if self._pipe is None:
            median = statistics.median(self._seconds[1:] or self._seconds)
            print(f"round {len(self._seconds)}: {self._seconds[-1]:.4f} s, loss {loss:.5f}; median so far {median:.4f} s")
        self._tell({"seconds": self._seconds[-1], "loss": float(loss)})

    def _tell(self, message: dict[str, object]) -> None:
        if self._pipe is not None:
            print(json.dumps(message), file=self._pipe, flush=True)
