"""`python -m pipeline.gate explain --config F`: what the gate of a config requires, without running anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from errors import FedtfxError

_PIPE_CLOSED = 141  # what a shell makes of a process that died of SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 explained, 2 the config, the model module or the command is wrong, 141 nobody reads on."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow has nothing to say that belongs here
    from pipeline.gate.explain import as_text, explanation

    try:
        explained = explanation(options.config, options.set)
    except FedtfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    try:
        print(json.dumps(explained, indent=2) if options.json else as_text(explained), flush=True)
    except BrokenPipeError:  # such as by `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes when it ends
        return _PIPE_CLOSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gate", description="What lets a model go live.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="print what a config would require, without running anything")
    explain.add_argument("--config", required=True, metavar="F", help="the pipeline's YAML file")
    explain.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as gate.first_deploy=allow"
    )
    explain.add_argument("--json", action="store_true", help="print it for machines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
