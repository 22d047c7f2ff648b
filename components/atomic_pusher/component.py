"""The Pusher node."""

from __future__ import annotations

from tfx.components import Pusher
from tfx.dsl.components.base import executor_spec

from components.atomic_pusher.driver import Driver
from components.atomic_pusher.executor import Executor


class AtomicPusher(Pusher):
    """The stock Pusher's inputs, parameters and output, with our own executor and without the cache.

    `push_destination.filesystem.base_directory` is the model's directory, `serving.model_directory(base, model_name)`.
    `model` and `model_blessing` are needed: without a blessing nothing is pushed.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver
