"""`python -m serving serve ...`: the embedded model server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from errors import ConfigError, FedtfxError


def _serve(arguments: Sequence[str]) -> int:
    from serving.server.server import serve

    return serve(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"serve": _serve}


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns the exit code; an error is one line on stderr."""
    try:
        if not arguments or arguments[0] not in COMMANDS:
            got = repr(arguments[0]) if arguments else "none"
            raise ConfigError(f"expected a command ({', '.join(COMMANDS)}), got {got}; see `python -m serving serve --help`.")
        return COMMANDS[arguments[0]](arguments[1:])
    except FedtfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
