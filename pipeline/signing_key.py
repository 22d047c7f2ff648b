"""The key that statements about pushed models are signed with on this machine: one that is given, or one made once."""

from __future__ import annotations

import os

from errors import ConfigError
from lineage import signing
from pipeline.environment import Environment

OPTION = "--signing-key"


def default(root: str) -> str:
    """Returns where the key of a pipeline root is: `{root}/.signing/key.pem`."""
    return os.path.join(os.path.abspath(root), ".signing", signing.KEY_FILE)


def check(given: str | None, root: str) -> str:
    """Returns the key's file, once it is sure that it can be used; the default one need not be there yet.

    Args:
      given: on the command line; None for the default.
      root: the pipeline root.

    Raises:
      ConfigError: it cannot.
    """
    path = default(root) if given is None else given
    if given is not None or os.path.lexists(path):
        try:
            signing.load_private(path)
        except ConfigError as error:
            raise ConfigError(f"{OPTION}: {error}") from None
    return path


def prepare(environment: Environment) -> None:
    """Makes the default key, if that is the one to use and it is not there yet. The caller holds the root.

    Raises:
      ConfigError: it cannot be made.
    """
    if environment.signing_key == default(environment.root):
        signing.ensure(os.path.dirname(environment.signing_key))
