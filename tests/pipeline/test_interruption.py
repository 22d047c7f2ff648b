"""Signals, sent to real processes that run real blocking code inside `interruptible`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.interruption import EXIT_CODE, MESSAGE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# A program built as local_runner is.
PROGRAM = """
import ctypes, multiprocessing, os, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pipeline.interruption import EXIT_CODE, MESSAGE, end, interruptible

def ready(waits_for=0):
    print("ready", hex(waits_for), flush=True)

def block():
    {block}

def main():
    try:
        with interruptible(grace_seconds=0.5):
            block()
        return 0
    except KeyboardInterrupt:
        print(MESSAGE, file=sys.stderr)
        return EXIT_CODE

{before}
end(main())
"""

OBEDIENT = {
    "sleep": "ready(); time.sleep(60)",
    "lock": "lock = threading.Lock(); lock.acquire(); ready(); lock.acquire()",
    "child": "child = subprocess.Popen(['sleep', '60']); ready(); child.wait()",
    "child that is stopped and leads a group": (
        "subprocess.Popen(['sh', '-c', 'sleep 60 & kill -STOP $$'], start_new_session=True); ready(); time.sleep(60)"
    ),
    "thread that goes on": "ThreadPoolExecutor().submit(time.sleep, 60); ready(); time.sleep(60)",
    "library that renames it": """
    try:
        ready(); time.sleep(60)
    except KeyboardInterrupt as interrupt:
        raise RuntimeError("UnknownError: KeyboardInterrupt") from interrupt""",
}
OBSTINATE = {
    # The second lock of a mutex heeds no signal and has let go of the GIL, as TensorFlow's long calls do. Its words must
    # reach the screen although descriptor 2 has become a log.
    "native code": """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    subprocess.Popen(["sleep", "60"])
    mutex = ctypes.create_string_buffer(256)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex); ready(ctypes.addressof(mutex)); lock(mutex)""",
    "wait for threads": """
    with ThreadPoolExecutor() as pool:
        pool.submit(time.sleep, 60); ready(); time.sleep(60)""",
    "library that swallows it": """
    while True:
        try:
            ready(); time.sleep(60)
        except KeyboardInterrupt:
            pass""",
}


def start(block: str, before: str = "") -> subprocess.Popen:
    """The program with the block, waiting in it if it says so."""
    command = [sys.executable, "-c", PROGRAM.format(block=block, before=before)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if "ready(" in block:
        word, address = process.stdout.readline().split()
        assert word == "ready"
        if int(address, 16):
            _await_native_lock(process.pid, address)
    return process


def _await_native_lock(pid: int, address: str) -> None:
    """Returns once the main thread waits for the mutex at `address`; before that, Python would heed the signal."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/syscall").read_text().split()[1:2] != [address]:
        assert time.monotonic() < deadline


def interrupt(process: subprocess.Popen, number: signal.Signals) -> str:
    """Sends the signal and returns what the program said; it must be gone within seconds, and all it had started."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    started = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=8)
    assert time.monotonic() - started < 5
    _, alive = psutil.wait_procs(family, timeout=2)
    assert alive == []
    assert process.returncode == EXIT_CODE
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("block", OBEDIENT.values(), ids=OBEDIENT)
def test_signal_ends_the_process_and_its_children_with_one_line(block, number):
    assert interrupt(start(block), number) == f"{MESSAGE}\n"


def test_closed_terminal_ends_the_process_and_its_children_with_one_line():
    assert interrupt(start(OBEDIENT["child"]), signal.SIGHUP) == f"{MESSAGE}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("block", OBSTINATE.values(), ids=OBSTINATE)
def test_code_that_heeds_no_signal_is_ended_the_hard_way_with_the_same_line(block, number):
    assert interrupt(start(block), number) == f"\n{MESSAGE}\n"


def test_impatience_does_not_break_the_cleaning_up():
    process = start("""
    try:
        ready(); time.sleep(60)
    finally:
        print("cleaning", flush=True); threading.Event().wait(0.2); print("clean", flush=True)""")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cleaning\n"
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    out, said = process.communicate(timeout=8)
    assert (process.returncode, out, said) == (EXIT_CODE, "clean\n", f"{MESSAGE}\n")


def test_children_die_on_the_ordinary_way_out_as_well():
    process = start("print(subprocess.Popen(['sleep', '60']).pid)")
    out, said = process.communicate(timeout=8)
    assert (process.returncode, said) == (0, "")
    assert not psutil.pid_exists(int(out))


def test_ending_a_fork_is_no_interruption():
    process = start("""
    reader, writer = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork").Process(target=lambda: (writer.send(1), time.sleep(60)))
    fork.start()
    reader.recv()
    fork.terminate()
    fork.join()
    print(fork.exitcode)
    threading.Event().wait(1.5)  # three times the grace""")
    out, said = process.communicate(timeout=8)
    assert (process.returncode, out, said) == (0, f"{-signal.SIGTERM}\n", "")


def test_hangup_that_is_ignored_as_under_nohup_stays_ignored_in_forks_too():
    block = """
    reader, writer = multiprocessing.Pipe()
    send = lambda: writer.send(signal.getsignal(signal.SIGHUP))
    multiprocessing.get_context("fork").Process(target=send).start()
    print(reader.recv() == signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGHUP)
    print("went on")"""
    process = start(block, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    out, said = process.communicate(timeout=8)
    assert (process.returncode, out, said) == (0, "True\nwent on\n", "")


def test_errors_and_handlers_are_left_alone_without_a_signal():
    process = start("""
    from pipeline import interruption
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        with interruption.interruptible():
            raise ValueError("ours")
    except ValueError as error:
        print(error)
    print(before == [signal.getsignal(number) for number in numbers])""")
    out, _ = process.communicate(timeout=8)
    assert out == "ours\nTrue\n"
