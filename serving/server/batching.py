"""Requests of different clients run together, in the way of TensorFlow Serving's batching.

Requests for the same outputs of the same signature of the same version join an open batch if their inputs are alike but for the
first dimension. A batch is run when it is full or its time is over, and a thread is free; until then others may still join.
Everything but `_run` happens in the event loop, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from serving.server.batching_parameters import Parameters
from serving.server.execution import Alone, Arrays, Held, Pool, attempt, settle, tell
from serving.server.servable import Servable
from serving.server.signature import Signature, TensorSpec
from serving.server.status import ApiError, invalid

_MAX_PADDED_BYTES, _MAX_PADDING = 1 << 24, 4  # so much, or so many times what was sent if that is more
_MAX_CHOICES = 64  # of outputs, that are remembered per signature
# While a batch of a signature runs, others of it wait so long in the hope that it ends: one large one takes less than two.
_PATIENCE_SECONDS = 0.005
# After a batch of several requests its clients are likely to ask again, so the next waits for half as many as there seem to be:
# one half is read while the other is run. It waits so long after each that came, and no longer than this in all. How many there
# are is tried every so many batches, by waiting for twice as many until they do not come.
_GAP_SECONDS, _LINGER_SECONDS = 0.002, 0.005
_MANY = 8  # requests at once; for fewer the waiting costs more than it saves
_PROBE_BATCHES = 100
_TICK_SECONDS = 0.001  # of uvloop's timers, whose own clock is no finer

Outcome = tuple[Arrays | None, Exception | None]


@dataclass(eq=False, slots=True)
class _Task:
    inputs: Arrays
    size: int
    future: asyncio.Future[Arrays]
    held: Held


@dataclass(eq=False)
class _Queue:
    """What is known of the requests of one signature of one version.

    Attributes:
      parameters: None if its requests are to be run alone.
      enqueued: batches that wait, which `max_enqueued_batches` limits.
      running: batches that run.
      expected: requests that the next batch waits for a moment for; 0 if it waits for none.
      most: requests that there seem to be at once.
      until_probe: batches until that is tried again.
      started, ended, asked: the time when a batch last began and ended, and when a request last came.
      joinable: whether requests for these outputs can be joined.
    """

    signature: Signature
    parameters: Parameters | None
    enqueued: int = 0
    running: int = 0
    expected: int = 0
    most: int = 0
    until_probe: int = 0
    started: float = 0.0
    ended: float = 0.0
    asked: float = 0.0
    joinable: dict[tuple[str, ...], bool] = field(default_factory=dict)

    def expect(self, count: int) -> None:
        """Learns from the number of requests in a batch how many the next is to wait for."""
        if self.until_probe <= 0 and count > 1 and count >= self.expected:
            self.expected = 2 * count  # so many came; perhaps more would
            return
        if self.until_probe <= 0:
            self.most, self.until_probe = count, _PROBE_BATCHES
        elif count < self.expected:
            self.most = 2 * count  # clients have left
        self.until_probe -= 1
        if self.until_probe <= 0 and count > 1:
            self.expected = 2 * count
        else:
            self.expected = self.most // 2 if self.most >= _MANY else 0


@dataclass(eq=False)
class _Batch:
    """What is run at once. `kind` is what its requests share, `open` whether more may join."""

    servable: Servable
    queue: _Queue
    parameters: Parameters
    only: tuple[str, ...]
    kind: tuple[Any, ...]
    created: float
    tasks: list[_Task] = field(default_factory=list)
    size: int = 0
    open: bool = True

    def due(self) -> float:
        """The time from which it may run, if a thread is free."""
        if not self.open:
            return self.created
        due, queue = self.created + self.parameters.batch_timeout_micros / 1e6, self.queue
        if queue.running:
            return max(due, queue.started + _PATIENCE_SECONDS, self.created + _GAP_SECONDS)
        if len(self.tasks) >= queue.expected:
            return due
        return max(due, min(max(queue.asked, queue.ended) + _GAP_SECONDS, queue.ended + _LINGER_SECONDS))


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
        self._idle = threads
        self._parameters = parameters
        self._alone = alone
        self._observe = observe
        self._waiting: dict[_Batch, None] = {}  # in the order of their creation
        self._open: dict[tuple[Any, ...], _Batch] = {}
        self._queues: WeakKeyDictionary[Servable, dict[str, _Queue]] = WeakKeyDictionary()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, held: Held, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """See `Predictor`."""
        queue, size = self._queue(held.servable, signature), _size(signature, inputs)
        parameters = queue.parameters
        if parameters is None or not size or not self._joinable(queue, only):
            return self._alone.submit(held, signature, inputs, only)
        if size > parameters.max_batch_size:
            limit = parameters.max_batch_size
            raise invalid(f"Task size {size} is larger than maximum input batch size {limit}; send at most {limit} at once")
        kind = (held.servable, signature.name, only, *_alike(signature, inputs, parameters))
        batch, queue.asked = self._room(kind, size) or self._fresh(held.servable, queue, parameters, only, kind), _now()
        future: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        batch.tasks.append(_Task(inputs, size, future, held.keep()))
        batch.size += size
        if batch.size >= parameters.execution_limit:
            self._close(batch)
        self._pump_soon()
        return future

    def _queue(self, servable: Servable, signature: Signature) -> _Queue:
        queues = self._queues.get(servable)
        if queues is None:
            queues = self._queues[servable] = {}
        if signature.name not in queues:
            queues[signature.name] = _Queue(signature, self._parameters(servable))
        return queues[signature.name]

    def _joinable(self, queue: _Queue, only: tuple[str, ...]) -> bool:
        found = queue.joinable.get(only)
        if found is None:
            found = _joinable(queue.signature, only)
            if len(queue.joinable) < _MAX_CHOICES:
                queue.joinable[only] = found
        return found

    def _room(self, kind: tuple[Any, ...], size: int) -> _Batch | None:
        """The open batch of the kind, if there is one that has room for `size` more rows."""
        batch = self._open.get(kind)
        return batch if batch is not None and batch.size + size <= batch.parameters.execution_limit else None

    def _fresh(
        self, servable: Servable, queue: _Queue, parameters: Parameters, only: tuple[str, ...], kind: tuple[Any, ...]
    ) -> _Batch:
        if queue.enqueued >= parameters.max_enqueued_batches:
            self._forget_gone()
        if queue.enqueued >= parameters.max_enqueued_batches:
            raise ApiError(
                "UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full; ask again later"
            )
        if kind in self._open:
            self._close(self._open[kind])
        batch = self._open[kind] = _Batch(servable, queue, parameters, only, kind, _now())
        self._waiting[batch] = None
        queue.enqueued += 1
        return batch

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
        now, next_due = _now(), math.inf
        for batch in list(self._waiting):
            if not self._idle:
                return  # whoever ends calls again
            due = batch.due()
            if due <= now:
                self._start(batch, now)
            else:
                next_due = min(next_due, due)
        if next_due < math.inf:
            self._pump_after(next_due - now)

    def _pump_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, _TICK_SECONDS), self._pump_soon)

    def _take(self, batch: _Batch) -> list[_Task]:
        """Takes a batch out of the queue, and of it what somebody still waits for."""
        self._close(batch)
        del self._waiting[batch]
        batch.queue.enqueued -= 1
        for task in batch.tasks:
            if task.future.done():
                task.held.let_go()
        return [task for task in batch.tasks if not task.future.done()]

    def _forget_gone(self) -> None:
        for batch in [batch for batch in self._waiting if all(task.future.done() for task in batch.tasks)]:
            self._take(batch)

    def _start(self, batch: _Batch, now: float) -> None:
        tasks, queue = self._take(batch), batch.queue
        if not tasks:
            return
        self._idle -= 1
        queue.running += 1
        queue.started = now
        queue.expect(len(tasks))
        self._observe(sum(task.size for task in tasks), len(self._waiting))
        self._pool.submit(self._run, asyncio.get_running_loop(), batch, tasks)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: _Batch, tasks: list[_Task]) -> None:
        signature, requests = batch.queue.signature, [task.inputs for task in tasks]
        try:
            outcomes = run_together(batch.servable, signature, requests, batch.only, batch.parameters)
        except Exception as error:
            outcomes = [(None, error)] * len(tasks)
        tell(loop, self._done, batch.queue, tasks, outcomes)

    def _done(self, queue: _Queue, tasks: list[_Task], outcomes: Sequence[Outcome]) -> None:
        self._idle += 1
        queue.running -= 1
        queue.ended = _now()
        for task, (outputs, error) in zip(tasks, outcomes, strict=True):
            settle(task.future, outputs, error)
            task.held.let_go()
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
        try:
            outputs = _run_joined(servable, signature, _joined(signature, requests), only, parameters)
        except (ValueError, MemoryError):  # too much when it is joined
            outputs = None
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
    """The arrays, filled up with zeros or empty strings to the greatest size in each dimension but the first.

    Raises:
      ValueError: that would be much more than they are: one long row among many short ones.
    """
    if len({array.shape[1:] for array in arrays}) == 1:
        return arrays
    greatest = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
    filled_bytes = sum(array.shape[0] * array.itemsize for array in arrays) * math.prod(greatest)
    if filled_bytes > max(_MAX_PADDED_BYTES, _MAX_PADDING * sum(array.nbytes for array in arrays)):
        raise ValueError(f"padding would make {filled_bytes} bytes")
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
    return sum(sizes.pop()) if len(sizes) == 1 else 0  # the sum over () is 0


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
    return time.perf_counter()
