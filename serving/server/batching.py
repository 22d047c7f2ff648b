"""Requests of different clients run together, in the way of TensorFlow Serving's batching.

Requests for the same outputs of the same signature of the same version join an open batch if their inputs are alike but for the
first dimension. A batch is run when it is full or its time is over, and a thread is free; until then others may still join.
Everything but `_run` happens in the event loop, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.server.batching_parameters import Parameters
from serving.server.execution import Alone, Arrays, Pool, attempt, settle, tell
from serving.server.servable import Servable
from serving.server.signature import Signature, TensorSpec
from serving.server.status import ApiError, invalid

# While a batch runs, another thread waits so long for more requests to join the next: most models' batches end sooner, and one
# large batch takes less than two small ones.
_JOIN_SECONDS = 0.001

Outcome = tuple[Arrays | None, Exception | None]


@dataclass(eq=False)
class _Task:
    inputs: Arrays
    size: int
    future: asyncio.Future[Arrays]


@dataclass(eq=False)
class _Batch:
    """What is run at once. `kind` is what its requests share, `open` whether more may join."""

    servable: Servable
    signature: Signature
    only: tuple[str, ...]
    kind: tuple[Any, ...]
    parameters: Parameters
    created: float
    tasks: list[_Task] = field(default_factory=list)
    size: int = 0
    open: bool = True

    @property
    def queue(self) -> tuple[Servable, str]:
        """What `max_enqueued_batches` counts over."""
        return self.servable, self.signature.name

    def due(self, least: float) -> float:
        """The loop's time from which it may run, if an open one waits for at least some seconds."""
        return self.created + max(self.parameters.batch_timeout_micros / 1e6, least) if self.open else self.created


class Batcher:
    """Joins requests into batches; a `Predictor`."""

    def __init__(
        self,
        threads: int,
        parameters: Callable[[Servable], Parameters | None],
        alone: Alone,
        observe: Callable[[int, int], None] = lambda size, waiting: None,
    ) -> None:
        """
        Args:
          threads: batches that run at once.
          parameters: of a version; None if its requests are to be run alone.
          alone: runs what cannot be joined.
          observe: is told the rows of each batch that is run, and how many batches are left waiting.
        """
        self._pool = Pool(threads, "batch")
        self._idle = self._threads = threads
        self._parameters = parameters
        self._alone = alone
        self._observe = observe
        self._observe = observe
        self._waiting: dict[_Batch, None] = {}  # in the order of their creation
        self._open: dict[tuple[Any, ...], _Batch] = {}
        self._enqueued: Counter[tuple[Servable, str]] = Counter()
        self._unfit: set[tuple[int, str, str]] = set()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, servable: Servable, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """See `Predictor`."""
        parameters, size = self._parameters(servable), _size(signature, inputs)
        if parameters is None or not size or not _joinable(signature, only):
            return self._alone.submit(servable, signature, inputs, only)
        if size > parameters.max_batch_size:
            raise invalid(f"Task size {size} is larger than maximum input batch size {parameters.max_batch_size}")
        kind = (servable, signature.name, only, *_alike(signature, inputs, parameters))
        future: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        batch = self._room(_Batch(servable, signature, only, kind, parameters, _now()), size)
        batch.tasks.append(_Task(inputs, size, future))
        batch.size += size
        if batch.size >= batch.parameters.execution_limit:
            self._close(batch)
        self._pump_soon()
        return future

    def _room(self, fresh: _Batch, size: int) -> _Batch:
        """The open batch of the kind, if there is one that has room for `size` more rows, else a new one."""
        batch = self._open.get(fresh.kind)
        if batch is not None and batch.size + size <= batch.parameters.execution_limit:
            return batch
        if self._enqueued[fresh.queue] >= fresh.parameters.max_enqueued_batches:
            self._forget_gone()
        if self._enqueued[fresh.queue] >= fresh.parameters.max_enqueued_batches:
            raise ApiError(
                "UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full; ask again later"
            )
        if batch is not None:
            self._close(batch)
        self._enqueued[fresh.queue] += 1
        self._waiting[fresh] = self._open[fresh.kind] = fresh  # type: ignore[assignment]
        return fresh

    def _close(self, batch: _Batch) -> None:
        batch.open = False
        if self._open.get(batch.kind) is batch:
            del self._open[batch.kind]

    def _pump_soon(self) -> None:
        if not self._pumping:  # once for all requests that this turn of the loop reads
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Runs the batches whose time has come, the oldest first, while there are threads."""
        self._pumping = False
        now = _now()
        for batch in list(self._waiting):
            if not self._idle:
                return  # whoever ends calls again
            if batch.due(self._least()) <= now:
                self._start(batch)
        if self._waiting:
            self._pump_at(min(batch.due(self._least()) for batch in self._waiting))

    def _least(self) -> float:
        return _JOIN_SECONDS if self._idle < self._threads else 0.0

    def _pump_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._pump_soon)

    def _take(self, batch: _Batch) -> list[_Task]:
        """Takes a batch out of the queue, and of it what somebody still waits for."""
        self._close(batch)
        del self._waiting[batch]
        self._enqueued[batch.queue] -= 1
        if not self._enqueued[batch.queue]:
            del self._enqueued[batch.queue]
        return [task for task in batch.tasks if not task.future.done()]

    def _forget_gone(self) -> None:
        for batch in [batch for batch in self._waiting if all(task.future.done() for task in batch.tasks)]:
            self._take(batch)

    def _start(self, batch: _Batch) -> None:
        tasks = self._take(batch)
        if not tasks:
            return
        self._idle -= 1
        self._observe(sum(task.size for task in tasks), len(self._waiting))
        self._pool.submit(self._run, asyncio.get_running_loop(), batch, tasks)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: _Batch, tasks: list[_Task]) -> None:
        try:
            outcomes = run_together(batch.servable, batch.signature, [t.inputs for t in tasks], batch.only, batch.parameters)
        except Exception as error:
            outcomes = [(None, error)] * len(tasks)
        tell(loop, self._done, tasks, outcomes)

    def _done(self, tasks: list[_Task], outcomes: Sequence[Outcome]) -> None:
        self._idle += 1
        for task, (outputs, error) in zip(tasks, outcomes, strict=True):
            settle(task.future, outputs, error)
        self._pump_soon()


def run_together(
    servable: Servable, signature: Signature, requests: Sequence[Arrays], only: tuple[str, ...], parameters: Parameters
) -> list[Outcome]:
    """Each request's own outputs, or its own error.

    Requests are run by themselves if they fail together, or if what they are given together cannot be told apart.
    """
    sizes = [_size(signature, inputs) for inputs in requests]
    total = sum(sizes)
    if len(requests) > 1 or parameters.padded_size(total) != total or total > parameters.execution_limit:
        outputs = _run_joined(servable, signature, _joined(signature, requests), only, parameters)
        if outputs is not None:
            return [(part, None) for part in _parts(outputs, sizes)]
    return [attempt(servable, signature, inputs, only) for inputs in requests]


def _run_joined(
    servable: Servable, signature: Signature, inputs: Arrays, only: tuple[str, ...], parameters: Parameters
) -> Arrays | None:
    """All rows' outputs, in runs of at most the execution limit; None if a run fails or gives not one row for each."""
    total, pieces = _size(signature, inputs), []
    for start in range(0, total, parameters.execution_limit):
        size = min(parameters.execution_limit, total - start)
        padded = parameters.padded_size(size)
        piece = {name: _with_rows(array[start : start + size], padded) for name, array in inputs.items()}
        outputs, error = attempt(servable, signature, piece, only)
        if error is not None or any(array.shape[:1] != (padded,) for array in outputs.values()):
            return None
        pieces.append({name: array[:size] for name, array in outputs.items()})
    return pieces[0] if len(pieces) == 1 else _concatenated(pieces)


def _concatenated(pieces: Sequence[Arrays]) -> Arrays | None:
    if any(len({piece[name].shape[1:] for piece in pieces}) > 1 for name in pieces[0]):
        return None
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _joined(signature: Signature, requests: Sequence[Arrays]) -> Arrays:
    if len(requests) == 1:
        return requests[0]
    return {name: np.concatenate(_same_inner([inputs[name] for inputs in requests])) for name in signature.inputs}


def _same_inner(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The arrays, filled up with zeros or empty strings to the greatest size in each dimension but the first."""
    if len({array.shape[1:] for array in arrays}) == 1:
        return arrays
    greatest = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
    filled = []
    for array in arrays:
        empty: Any = b"" if array.dtype == object else 0
        larger = np.full((array.shape[0], *greatest), empty, array.dtype)
        larger[tuple(slice(size) for size in array.shape)] = array
        filled.append(larger)
    return filled


def _with_rows(array: np.ndarray, count: int) -> np.ndarray:
    """The array with its last row repeated, which the model takes since it takes the others, up to `count` rows."""
    missing = count - array.shape[0]
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _parts(outputs: Arrays, sizes: Sequence[int]) -> list[Arrays]:
    ends = np.cumsum(sizes)
    return [{name: array[end - size : end] for name, array in outputs.items()} for size, end in zip(sizes, ends, strict=True)]


def _size(signature: Signature, inputs: Arrays) -> int:
    """The first dimension that all inputs share; 0 if they do not."""
    sizes = {inputs[name].shape[:1] for name in signature.inputs}
    return int(next(iter(sizes))[0]) if len(sizes) == 1 and () not in sizes else 0


def _alike(signature: Signature, inputs: Arrays, parameters: Parameters) -> list[Any]:
    """What must be equal in requests that are joined: types, and inner shapes or, if they may be padded, ranks."""
    arrays = [inputs[name] for name in signature.inputs]
    if parameters.pad_variable_length_inputs:
        return [(array.dtype.char, array.ndim) for array in arrays]
    return [(array.dtype.char, array.shape[1:]) for array in arrays]


def _joinable(signature: Signature, only: tuple[str, ...]) -> bool:
    """Whether all inputs take and all outputs give any number of rows, as far as the signature tells."""
    outputs = [spec for name, spec in signature.outputs.items() if not only or name in only]
    return bool(signature.inputs) and all(_any_rows(spec) for spec in [*signature.inputs.values(), *outputs])


def _any_rows(spec: TensorSpec) -> bool:
    return spec.shape is None or spec.shape[:1] == (None,)


def _now() -> float:
    return asyncio.get_running_loop().time()
