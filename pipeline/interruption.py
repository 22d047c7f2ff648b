"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP) stop a run within seconds and leave no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import psutil  # here, not where it is used: a thread must not wait for an import that the main thread is stuck in

EXIT_CODE = 130
MESSAGE = "interrupted; run the same command again to go on from the last finished node"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 8.0
_owner: int | None = None  # the process whose main thread is in `interruptible`


@contextlib.contextmanager
def interruptible(grace_seconds: float = _GRACE_SECONDS) -> Iterator[None]:
    """Turns the first of _SIGNALS into KeyboardInterrupt in the main thread, and into a hard exit if that takes too long.

    A SIGHUP that is ignored, as under nohup, stays ignored.

    Python runs signal handlers between bytecodes of the main thread only, and a long call into C++ has none. So a thread
    is woken through the wakeup descriptor; when the block has not been left `grace_seconds` after the first signal, it kills
    every descendant and ends the process with exit code 130. Descendants are killed on the ordinary way out as well.

    Further signals are ignored, so that impatience cannot break the cleaning up; whoever catches the KeyboardInterrupt is
    expected to end the process. What a library made of it (a TensorFlow error, say) is turned back into one.
    """
    global _owner
    asked, left = threading.Event(), threading.Event()

    def ask(number: int, frame: object) -> None:
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt

    reader, writer = socket.socketpair()
    writer.setblocking(False)
    screen = os.dup(2)  # descriptor 2 itself may be a log file by the time there is something to say
    threading.Thread(target=_watch, args=(reader, screen, left, grace_seconds), daemon=True).start()
    _owner = os.getpid()
    previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    previous = {number: signal.signal(number, ask) for number in _SIGNALS if not _ignored_hangup(number)}
    try:
        yield
    except Exception as error:
        if asked.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        left.set()
        kill_descendants()
        if not asked.is_set():  # else the handler stays, and ignores what follows
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_wakeup)
            _owner = None
            writer.close()


def _ignored_hangup(number: signal.Signals) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def kill_descendants() -> None:
    """Sends SIGKILL to every process that descends from this one, and waits for its own children (init sees to theirs)."""
    with contextlib.suppress(psutil.Error):
        ourselves = psutil.Process()
        children, descendants = ourselves.children(), ourselves.children(recursive=True)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(children, timeout=2)


def end(exit_code: int) -> NoReturn:
    """Ends the process. After an interruption at once: an interpreter's ordinary end waits for the threads of libraries."""
    if exit_code != EXIT_CODE:
        sys.exit(exit_code)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(exit_code)


def _watch(reader: socket.socket, screen: int, left: threading.Event, grace_seconds: float) -> None:
    with reader:
        while numbers := reader.recv(1):  # other signals (SIGCHLD, say) wake it as well
            if numbers[0] in _SIGNALS and not left.wait(grace_seconds):
                try:
                    kill_descendants()
                    os.write(screen, f"\n{MESSAGE}\n".encode())
                finally:
                    os._exit(EXIT_CODE)
    os.close(screen)


def _forget_in_fork() -> None:
    """A fork must neither wake our thread, with which it shares a socket, nor survive the SIGTERM of whoever forked it."""
    if _owner not in (None, os.getpid()):
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            if not _ignored_hangup(number):
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_in_fork)
