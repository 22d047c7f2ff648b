"""Whether the disk has room, and a full one told in one line."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from errors import FedtfxError

# No space; over the user's quota; over the limit of a file's size.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_free(folder: str, needed: int) -> None:
    """Raises FedtfxError unless the file system of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FedtfxError(
            f"expected about {_mebibytes(needed)} free on the disk of {folder}, found {_mebibytes(free)}; make room there, or "
            "move the pipeline root to a larger disk."
        )


@contextmanager
def full_disk_is_one_line(folder: str) -> Iterator[None]:
    """Turns the operating system's error of a full disk into a FedtfxError that says where and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FedtfxError(
            f"expected room for the division's files in {folder}, found the disk full ({error.strerror}); make room there, or "
            "move the pipeline root to a larger disk."
        ) from error


def _mebibytes(size: int) -> str:
    return f"{-(-size >> 20):,} MiB"
