"""Runs a pipeline on this machine: `python local_runner.py --config examples/digits/config.yaml`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from errors import ConfigError, FedtfxError
from pipeline import config as configuration
from pipeline import local, places
from pipeline.config import PipelineConfig
from pipeline.interruption import EXIT_CODE, MESSAGE, end, interruptible


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done and pushed, 10 refused by the gate, 2 bad config, 1 a node failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        with interruptible():
            return _run(options)
    except FedtfxError as error:
        _say(f"error: {error}")
        return error.exit_code
    except OSError as error:  # of a file that the user named: its text holds the path and the reason
        _say(f"error: {error}")
        return FedtfxError.exit_code
    except KeyboardInterrupt:
        _say(MESSAGE)
        return EXIT_CODE


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal has been closed
        print(line, file=sys.stderr)


def _run(options: argparse.Namespace) -> int:
    _look_for_models_in(os.getcwd())
    if options.print_config:
        print(configuration.resolved(configuration.load(options.config, options.set)), end="")
        return 0
    return local.run(_checked(options), options)


def _look_for_models_in(folder: str) -> None:
    """Python looks beside this file only. Last, so that no file there hides a module of ours or of the stack."""
    if folder not in sys.path:
        sys.path.append(folder)


def _checked(options: argparse.Namespace) -> PipelineConfig:
    """The config, once it is sure that it and all that the options name can be used; machines are told if they cannot."""
    if None not in (options.json, options.summary) and os.path.realpath(options.json) == os.path.realpath(options.summary):
        raise ConfigError(f"--summary: expected another file than that of --json, got {options.summary} for both; give two.")
    for option, file in (("--json", options.json), ("--summary", options.summary)):
        if file is not None:
            places.check_file(option, file, options.config)
    try:
        config = configuration.load(options.config, options.set)
        local.check_places(config.name, options)
    except ConfigError as error:
        local.tell_refusal(options, str(error))
        raise
    return config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="local_runner.py",
        description="Runs a federated pipeline on this machine.",
        epilog="exit codes: 0 done and pushed; 10 done, but a gate refused and nothing was pushed; 2 bad config or usage;"
        " 1 a component failed; 130 interrupted",
    )
    parser.add_argument("--config", required=True, metavar="F", help="the pipeline's YAML file")
    parser.add_argument("--pipeline-root", default="pipeline_root", metavar="D", help="artifacts, metadata, logs (%(default)s)")
    parser.add_argument("--serving-root", default="serving/models", metavar="D", help="TF-Serving base folder (%(default)s)")
    parser.add_argument(
        "--model-server",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="gRPC of a model server that must answer with the pushed version; may be repeated",
    )
    parser.add_argument(
        "--signing-key",
        metavar="FILE",
        help="private key for the statement about the pushed model; see `python -m lineage keygen`"
        " (.signing/key.pem in the pipeline root, made if it is missing)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as train.rounds=5"
    )
    parser.add_argument("--from", dest="again_from", metavar="NODE", help="execute NODE and all that depends on it again")
    parser.add_argument("--no-cache", action="store_true", help="execute every node again")
    parser.add_argument("--json", metavar="FILE", help="write the result for machines to FILE")
    parser.add_argument("--summary", metavar="FILE", help="write the result as GitHub-style Markdown to FILE, for a CI job")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    return parser


if __name__ == "__main__":
    end(main())
