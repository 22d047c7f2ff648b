"""Child processes that cannot outlive us: the kernel kills them when their parent dies, whatever it died of."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None]:
    """Returns a `preexec_fn` that asks the kernel to send SIGKILL when the parent ends: PR_SET_PDEATHSIG of prctl(2).

    The kernel ties the child to the *thread* that started it, so start it from one that lives as long as the child should.
    libc is loaded here rather than in the forked child, where only async-signal-safe work is allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask_kernel
