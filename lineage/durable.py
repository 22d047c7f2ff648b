"""What makes a write survive a power cut."""

import os


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Makes the directory's entries (names created, renamed, removed) as lasting as the files' contents."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
