"""The arguments of a command, for every `python -m` of ours."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Parses arguments; what is wrong with them is one line and exit code 2, as every error, and no option can be shortened."""

    def __init__(self, *, allow_abbrev: bool = False, **options: Any) -> None:
        """Makes it; `options` are those of argparse."""
        super().__init__(allow_abbrev=allow_abbrev, **options)

    def error(self, message: str) -> NoReturn:
        """Refuses what was given.

        Raises:
          ConfigError: always.
        """
        raise ConfigError(f"{message}; see `{self.prog} --help`.")
