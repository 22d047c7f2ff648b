"""What the worker processes that Beam starts on this machine need to find."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def same_imports() -> Iterator[None]:
    """Lets worker processes started meanwhile import what this process can, wherever it was started.

    Beam hands them the environment, but not `sys.path`. Workers that somebody else starts (EXTERNAL, DOCKER, a cluster's) need
    the project installed or on their own PYTHONPATH.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, [str(_ROOT), *sys.path])))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
