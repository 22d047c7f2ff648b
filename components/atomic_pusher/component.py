"""The Pusher node."""

from __future__ import annotations

from tfx.components import Pusher
from tfx.dsl.components.base import executor_spec

from components.atomic_pusher.executor import Executor
from components.uncached_driver import UncachedDriver


class AtomicPusher(Pusher):
    """The stock Pusher's inputs, parameters and output, with our own executor and without the cache.

    `push_destination.filesystem.base_directory` is the model's directory, `serving.model_directory(base, model_name)`.
    `model` and `model_blessing` are needed: without a blessing nothing is pushed, and a blessing counts only with DeployGate's
    decision behind it (`binding.py`).

    Not cached: a cache hit is about inputs and parameters, but whether the model is in the serving directory is known to that
    directory alone.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = UncachedDriver
