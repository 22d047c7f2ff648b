"""`python -m lineage COMMAND ...`: where a model came from, what came of some data, and whether it can be proved."""

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
    "list": ("runs and models: state, metrics, decision, what is served", "lineage.questions.commands:list_"),
    "show": ("where a model came from, from what is served back to the data", "lineage.questions.commands:show"),
    "impact": ("every model that came from some data or a client", "lineage.questions.commands:impact"),
    "diff": ("in what two runs or models differ", "lineage.questions.commands:diff"),
    "verify": ("recompute every digest on the way, and name what changed", "lineage.verify.command:verify"),
    "statement": ("show or verify the signed statement of a version, offline", "lineage.statement_commands:statement"),
    "keygen": ("make a pair of keys for statements", "lineage.statement_commands:keygen"),
    "export": ("the graph as JSON, OpenLineage, PROV, Graphviz or Mermaid", "lineage.export.command:export"),
    "card": ("a model's card, as one page", "lineage.card_command:card"),
    "console": ("all of this as a web page", "lineage.console.command:console"),
    "gc": ("remove artifacts that nothing needs any more", "lineage.retention.command:gc"),
    "forget": ("leave a client out from now on, and say what holds its data", "lineage.forgetting.command:forget"),
}


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns the exit code; an error is one line on stderr."""
    if arguments[:1] in (["-h"], ["--help"]):
        print("usage: python -m lineage COMMAND ...\n")
        print("\n".join(f"  {name:<10}{what}" for name, (what, _) in COMMANDS.items()))
        print(
            "\n`python -m lineage COMMAND --help` tells more. MODEL is a folder that is served, a NAME, NAME/VERSION or id:N."
        )
        return 0
    try:
        if not arguments or arguments[0] not in COMMANDS:
            got = repr(arguments[0]) if arguments else "none"
            raise ConfigError(f"expected a command ({', '.join(COMMANDS)}), got {got}; see `python -m lineage --help`.")
        # What gRPC and ML Metadata would write is in our errors too. They read this when they are loaded.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        os.environ.setdefault("GLOG_minloglevel", "3")
        module, _, function = COMMANDS[arguments[0]][1].partition(":")
        return int(getattr(import_module(module), function)(arguments[1:]))
    except FedtfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever reads has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _interrupt(number: int, _: object) -> NoReturn:
    """A time-out, or a terminal that is closed, ends a command as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    for _number in (signal.SIGTERM, signal.SIGHUP):  # servers set their own
        signal.signal(_number, _interrupt)
    sys.exit(main(sys.argv[1:]))
