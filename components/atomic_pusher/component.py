"""The Pusher node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.components import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.atomic_pusher.executor import Executor
from components.atomic_pusher.inputs import AtomicPusherSpec
from components.uncached_driver import UncachedDriver


class AtomicPusher(Pusher):
    """The stock Pusher's inputs, parameters and output, and what the model came from, for a signed statement about it.

    `push_destination.filesystem.base_directory` is the model's directory, `serving.model_directory(base, model_name)`.
    `model` and `model_blessing` are needed: without a blessing nothing is pushed, and a blessing counts only with DeployGate's
    decision behind it (`binding.py`).

    Not cached: a cache hit is about inputs and parameters, but whether the model is in the serving directory is known to that
    directory alone.
    """

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = UncachedDriver

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        infra_blessing: types.BaseChannel | None = None,
        custom_config: Mapping[str, Any] | None = None,
        **origins: types.BaseChannel,
    ) -> None:
        """Makes the node.

        Args:
          model: channel of the Model to push.
          model_blessing: channel of DeployGate's ModelBlessing.
          push_destination: the model's serving directory.
          infra_blessing: channel of the stock InfraValidator's InfraBlessing.
          custom_config: see `spec`; `signing_key` is a path, never the key.
          origins: `inputs.ORIGINS`: channels of what the statement lists; nothing is decided by them.
        """
        made = AtomicPusherSpec(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=push_destination,
            custom_config=json_utils.dumps(dict(custom_config or {})),
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            **origins,
        )
        super(Pusher, self).__init__(spec=made)  # the stock one makes its own spec, which has no room for origins
