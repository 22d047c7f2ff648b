"""Runs a pipeline on this machine: `python local_runner.py --config examples/digits/config.yaml`."""

from __future__ import annotations

import argparse
import sys

from errors import FedtfxError
from pipeline import config as configuration
from pipeline.interruption import EXIT_CODE, MESSAGE, end, interruptible


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done and pushed, 10 refused by the gate, 2 bad config, 1 a node failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        with interruptible():
            return _run(options)
    except FedtfxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of a file that the user named: its text holds the path and the reason
        print(f"error: {error}", file=sys.stderr)
        return FedtfxError.exit_code
    except KeyboardInterrupt:
        print(MESSAGE, file=sys.stderr)
        return EXIT_CODE


def _run(options: argparse.Namespace) -> int:
    config = configuration.load(options.config, options.set)
    if options.print_config:
        print(configuration.resolved(config), end="")
        return 0
    from pipeline.local import run  # TFX takes seconds to import; a wrong config should not

    return run(config, options)


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
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as train.rounds=5"
    )
    parser.add_argument("--from", dest="again_from", metavar="NODE", help="execute NODE and all that depends on it again")
    parser.add_argument("--no-cache", action="store_true", help="execute every node again")
    parser.add_argument("--json", metavar="FILE", help="write the result for machines to FILE")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    return parser


if __name__ == "__main__":
    end(main())
