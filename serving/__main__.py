"""`python -m serving COMMAND ...`: what serves models, asks them, and decides which version is live."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from errors import ConfigError, FedtfxError

# Command -> what it does, and the function that does it: arguments -> exit code. Each loads only what it needs.
COMMANDS = {
    "serve": ("run the embedded model server", "serving.server.server:serve"),
    "status": ("what is served, held, labelled and complete", "serving.releases.commands:status"),
    "history": ("what was pushed and released, when and by whom", "serving.releases.commands:history"),
    "promote": ("give a version a label, stable by default", "serving.releases.commands:promote"),
    "canary": ("serve a version beside the stable one", "serving.releases.commands:canary"),
    "unlabel": ("take a label away", "serving.releases.commands:unlabel"),
    "rollback": ("serve an earlier version", "serving.releases.commands:rollback"),
    "pin": ("hold what is served at a version", "serving.releases.commands:pin"),
    "unpin": ("serve the newest version again", "serving.releases.commands:unpin"),
    "prune": ("remove old versions that nothing refers to", "serving.releases.commands:prune"),
    "predict": ("ask a model, over REST, gRPC or from its files", "serving.client.commands:predict"),
    "gateway": ("run the web service in front of a model server", "serving.gateway.commands:gateway"),
}


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns the exit code; an error is one line on stderr."""
    if arguments[:1] in (["-h"], ["--help"]):
        print("usage: python -m serving COMMAND ...\n")
        print("\n".join(f"  {name:<10}{what}" for name, (what, _) in COMMANDS.items()))
        print("\n`python -m serving COMMAND --help` tells more.")
        return 0
    try:
        if not arguments or arguments[0] not in COMMANDS:
            got = repr(arguments[0]) if arguments else "none"
            raise ConfigError(f"expected a command ({', '.join(COMMANDS)}), got {got}; see `python -m serving --help`.")
        # What gRPC would write is in our errors too. It reads this when it is loaded.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        module, _, function = COMMANDS[arguments[0]][1].partition(":")
        return int(getattr(import_module(module), function)(arguments[1:]))
    except FedtfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        taken_back = "; what was half done is taken back" if ".releases." in COMMANDS[arguments[0]][1] else ""
        print(f"interrupted{taken_back}", file=sys.stderr)
        return 130


def _interrupt(number: int, _: object) -> NoReturn:
    """A time-out, or a terminal that is closed, ends a command as Ctrl-C does: a release is taken back."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    for _number in (signal.SIGTERM, signal.SIGHUP):  # servers set their own
        signal.signal(_number, _interrupt)
    sys.exit(main(sys.argv[1:]))
