"""Whether the model servers answer with what was pushed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from absl import logging

from components.atomic_pusher import spec
from errors import PushError, ReleaseError
from serving import servers
from serving.servers import Expected


def wait(custom_config: Mapping[str, Any], model_dir: str, version: int) -> None:
    """Waits until every model server that the Pusher was told of answers with a version.

    Args:
      custom_config: the Pusher's; see `spec`.
      model_dir: the directory that holds the version.
      version: what a request should get that names none.

    Raises:
      PushError: one of them does not. The version stays where it is, because some may serve it already.
    """
    addresses = custom_config.get(spec.MODEL_SERVERS) or []
    root, name = os.path.split(os.path.abspath(model_dir))
    seconds = float(custom_config.get(spec.SERVER_SECONDS, spec.WAIT_SECONDS))
    try:
        servers.wait(addresses, name, Expected(live=version), seconds, said=logging.info)
    except ReleaseError as error:
        back = ["python", "-m", "serving", "rollback", "--root", root, "--model_name", name]
        back += [part for address in addresses for part in ("--server", address)]
        raise PushError(
            f"version {version} is in {model_dir}, but is not what the model servers answer with: {error}; mend the server and"
            f" run again, or roll back with `{shlex.join(back)}`."
        ) from error
