"""What reaches the screen and what the log, with real descriptors, threads of libraries and a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIDTH = 60

# A run as local.py shows it; `libraries()` makes noise in every way there is.
PROGRAM = """
import ctypes, logging, os, subprocess, sys, warnings
from pipeline.execution import NodeResult
from pipeline.progress import Progress, logged_to, show

def libraries():
    print("noise by print")
    print("noise on stderr", file=sys.stderr)
    os.write(2, b"noise of C\\n")
    logging.getLogger("tfx").info("noise of logging")
    from absl import logging as absl_logging
    absl_logging.info("noise of absl")
    warnings.warn("noise of warnings")
    subprocess.run(["sh", "-c", "echo noise of a child; echo noise of its stderr >&2"], check=True)

trainer = logging.getLogger("components.federated_trainer")
before = logging.root.handlers[:], logging.root.level
with logged_to(sys.argv[1]) as screen:
    show(screen, "digits: run 1\\n")
    with Progress(screen) as progress:
        progress.started("ExampleGen")
        libraries()
        progress.ended(NodeResult("ExampleGen", "cached", 0.25, 1))
        progress.started("FederatedTrainer")
        trainer.info("round 1/2: 10 clients,\\n  loss %.2f", 0.5)
        trainer.info("round 2/2: 10 clients, loss 0.25, " + "and so on " * 20)
        progress.ended(NodeResult("FederatedTrainer", "complete", 61.04, 2))
        progress.started("Evaluator")
        progress.ended(NodeResult("Evaluator", "failed", 2.0, 3))
        {ending}
assert (logging.root.handlers, logging.root.level) == before
print("printed again")
print("warned again", file=sys.stderr)
"""
FINISHED = "assert [result.id for result in progress.results] == ['ExampleGen', 'FederatedTrainer', 'Evaluator']"
NODES = [
    "  ExampleGen         cached      0.2 s",
    "  FederatedTrainer   done       61.0 s",
    "  Evaluator          FAILED      2.0 s",
]


def command(log: Path, ending: str = FINISHED) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(ending=ending), str(log)]


def on_terminal(arguments: list[str]) -> str:
    """What a program sends to a terminal of WIDTH columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(arguments, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        chunks = []
        try:
            while chunk := os.read(ours, 4096):
                chunks.append(chunk)
        except OSError:  # how Linux says that the other side has closed
            pass
    os.close(ours)
    return b"".join(chunks).decode().replace("\r\n", "\n")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "run.log"


def test_screen_has_a_line_per_node_and_detail_and_the_log_has_the_noise(log):
    done = subprocess.run(command(log), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "digits: run 1",
        NODES[0],
        "    round 1/2: 10 clients, loss 0.50",
        "    round 2/2: 10 clients, loss 0.25, " + ("and so on " * 20).strip(),
        *NODES[1:],
        "printed again",
    ]
    assert done.stderr == "warned again\n"
    noise = set(re.findall(r"noise [a-z ]+", log.read_text(), flags=re.IGNORECASE))
    ways = {"by print", "on stderr", "of C", "of logging", "of absl", "of warnings", "of a child", "of its stderr"}
    assert {f"noise {way}" for way in ways} <= noise
    assert "round 1/2" in log.read_text()


def test_terminal_shows_a_live_line_that_is_rewritten_and_never_wider_than_it(log):
    shown = on_terminal(command(log))
    pieces = [piece for line in shown.split("\n") for piece in line.split("\r\x1b[2K")]
    assert max(map(len, pieces)) < WIDTH
    assert any(re.match(r"  FederatedTrainer   running     \d\.\d s  round 2/2: 10 cl", piece) for piece in pieces)
    rest = [line.split("\r\x1b[2K")[-1] for line in shown.rstrip("\n").split("\n")]
    assert rest == ["digits: run 1", *NODES, "printed again", "warned again"]
    assert "noise" not in shown


def test_node_that_is_interrupted_is_shown_as_stopped(log):
    ending = "progress.started('Pusher'); raise KeyboardInterrupt"
    done = subprocess.run(command(log, ending), cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"  Pusher             stopped     0\.\d s", done.stdout.splitlines()[-1])


def test_run_goes_on_when_nobody_reads_the_screen_any_more(log):
    pipe = subprocess.Popen(command(log, "logging.info('the end')"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipe.stdout.close()
    pipe.stderr.read()
    assert "the end" in log.read_text()


def test_run_goes_on_when_its_terminal_is_closed(log):
    ours, theirs = pty.openpty()
    run = subprocess.Popen(command(log, "logging.info('the end')"), cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert os.read(ours, 10)  # it has begun to draw
    os.close(ours)
    assert b"components" not in run.stderr.read()
    assert "the end" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_log_is_appended_to_and_descriptors_are_restored_after_an_exception(tmp_path, capfd):
    from pipeline.progress import logged_to

    log, before = tmp_path / "run.log", os.listdir("/proc/self/fd")
    log.write_text("earlier\n")
    with pytest.raises(ValueError, match="boom"), logged_to(str(log)):
        logging.getLogger("tfx").info("said")
        raise ValueError("boom")
    os.write(1, b"back\n")
    assert capfd.readouterr().out == "back\n"
    assert log.read_text().startswith("earlier\n")
    assert "said" in log.read_text()
    assert os.listdir("/proc/self/fd") == before
