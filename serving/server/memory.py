"""Keeps a process that loads and drops models from growing, and its answers from waiting for the garbage collector."""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # of glibc's malloc.h
_ARENAS = 2


def bound() -> None:
    """To be called before there are threads: glibc would give each a heap of its own, of which little comes back."""
    _call("mallopt", _M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Gives free memory back to the system; after a version was dropped."""
    _call("malloc_trim", 0)


def spare_imports() -> None:
    """Takes what is imported, which stays for ever, out of what the garbage collector looks through."""
    gc.collect()
    gc.freeze()


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)  # other C libraries have no need of it, or no such function
    if function is not None:
        function(*arguments)
