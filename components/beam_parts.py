"""Work in numbered parts on Beam, each of which leaves small arrays in a file that all workers can write.

What crosses Beam are numbers. A part that a runner works on twice leaves the same bytes, and parts are read in the order of
their numbers, so the result does not depend on the runner, on retries or on bundles.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Callable, Mapping

import apache_beam as beam
import numpy as np

from components.beam_errors import cause_of
from components.beam_workers import same_imports

Arrays = dict[str, np.ndarray]


def run(make_pipeline: Callable[[], beam.Pipeline], folder: str, count: int, work: Callable[[int], Arrays]) -> list[Arrays]:
    """Returns what `work` gives for 0, ..., count - 1.

    Args:
      make_pipeline: makes the pipeline that it is done on.
      folder: for the files meanwhile, on a file system that all workers share; removed at the end.
      count: how many parts.
      work: picklable; the same arrays, without objects, for the same number.

    Raises:
      FedtfxError: what `work` raised, however the runner wrapped it.
    """
    os.makedirs(folder)
    try:
        with same_imports(), make_pipeline() as pipeline:
            _ = (
                pipeline
                | "Parts" >> beam.Create(list(range(count)))
                | "Work" >> beam.Map(functools.partial(_write, work, folder))
            )
        return [_load(_path(folder, number)) for number in range(count)]
    except Exception as error:
        cause = cause_of(error)
        if cause is None:
            raise
        raise cause from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(work: Callable[[int], Arrays], folder: str, number: int) -> None:
    _save(_path(folder, number), work(number))


def _path(folder: str, number: int) -> str:
    return os.path.join(folder, f"part-{number:06d}.npz")


def _save(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """All at once or not at all."""
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def _load(path: str) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
