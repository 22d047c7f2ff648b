"""`python -m serving predict`: one sample, files, or a stream, asked of a model."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from errors import ConfigError, DataError
from lineage.command_line import Parser
from serving.client import report, sources
from serving.client.answers import RequestError
from serving.client.client import Client, connect
from serving.client.labels import ClassNames, rank
from serving.client.pictures import Fitting
from serving.client.sources import Source
from serving.client.streams import in_order
from serving.flag_types import seconds, size, within
from serving.gateway.settings import FITS, MODES
from serving.server.signature import DEFAULT_SIGNATURE

_AS_THEY_ARE = (
    "pictures are sent as they are; give --image_size WxH (and --image_mode) to make them what the model takes, or ask through"
    " the gateway, which has the same flags"
)


def predict(arguments: Sequence[str]) -> int:
    """Asks for each input and prints the answers in order; 1 if any was not answered.

    Raises:
      FedtfxError: arguments that cannot be used.
    """
    given = _parse(arguments)
    # What gRPC writes on its own is said by the error as well. It reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    stop = threading.Event()
    with connect(
        given.server,
        timeout=given.timeout,
        retries=given.retries,
        ca_file=given.ca_file,
        certificate_file=given.certificate_file,
        key_file=given.key_file,
    ) as client:
        try:
            return _Run(client, given).all(_sources(given, stop), stop)
        except BrokenPipeError:
            # Whoever read has enough, as `head` has. Python would complain again when it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        finally:
            stop.set()


class _Run:
    """One run of the command."""

    def __init__(self, client: Client, given: argparse.Namespace) -> None:
        self._client = client
        self._given = given
        self._names = ClassNames(client)
        self._plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        self._failures = 0

    def all(self, items: Iterable[Source], stop: threading.Event) -> int:
        try:
            for source, future in in_order(items, self._ask, self._given.in_flight, stop):
                self._tell(source, future)
        except KeyboardInterrupt:
            if not self._given.watch:
                raise
        return 1 if self._failures else 0

    def _tell(self, source: Source | None, future: Any) -> None:
        try:
            print(future.result(), flush=True)
        except (DataError, RequestError) as error:
            self._failures += 1
            name = source.name if source else "input"
            if self._given.json_lines:
                print(report.error_as_json(name, str(error)), flush=True)
            print(f"error: {report.printable(name)}: {report.printable(str(error))}", file=sys.stderr, flush=True)

    def _hinted(self, error: RequestError) -> RequestError:
        given = self._given
        if error.code != "INVALID_ARGUMENT" or given.image_size or not (given.image or given.watch):
            return error
        return RequestError(error.address, error.code, error.reason, remedy=_AS_THEY_ARE)

    def _ask(self, source: Source) -> str:
        given, started = self._given, time.perf_counter()
        signature = self._client.signature(given.model_name, given.signature or DEFAULT_SIGNATURE, given.version, given.label)
        inputs = source.inputs(signature)
        options = {"signature": given.signature, "version": given.version, "label": given.label}
        example = _first_sample(inputs, next(iter(signature.inputs), ""))
        try:
            answer, names = self._names.predict(given.model_name, inputs, example, **options)
        except RequestError as error:
            raise self._hinted(error) from None
        milliseconds = 1000 * (time.perf_counter() - started)
        rows = min((len(array) if array.ndim else 1 for array in answer.outputs.values()), default=0)
        ranked = [rank(answer.outputs, row, names, given.top) for row in range(rows)]
        if given.json_lines:
            return report.as_json(source.name, answer, ranked, milliseconds)
        return report.as_table(source.name, answer, ranked, milliseconds, plain=self._plain)


def _first_sample(inputs: Any, only_input: str) -> Mapping[str, Any]:
    """One sample by feature name."""
    first = inputs[0] if isinstance(inputs, list) and inputs else inputs
    return first if isinstance(first, dict) and first.keys() != {"b64"} else {only_input: first}


def _sources(given: argparse.Namespace, stop: threading.Event) -> Iterable[Source]:
    fitting = Fitting(given.image_size, given.image_mode, given.image_fit)
    if given.image:
        return sources.pictures(given.image, fitting)
    if given.watch:
        return sources.watched(given.watch, fitting, stop)
    if given.jsonl:
        return sources.lines(given.jsonl)
    if given.row:
        return [sources.row(given.row)]
    return [Source("text", given.text)] if given.text is not None else [Source("json", given.json.encode())]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    given = _parser().parse_args(arguments)
    if given.version is not None and given.label:
        raise ConfigError("both --version and --label are given; expected at most one, so drop one.")
    return given


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m serving predict", description="Asks a model.")
    add = parser.add_argument
    add(
        "--server", required=True, metavar="ADDRESS", help="host:port (gRPC), grpc://, grpcs://, http:// or https://, or a path"
    )
    add("--model_name", required=True, help="the model's name on the server")
    add("--signature", default="", help="name of the signature to call (serving_default)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--label", default="", help="ask for the version with this label, such as stable (none: the server's choice)"
    )
    which.add_argument("--version", type=within(0), help="ask for the version of this number (the server's choice)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", nargs="+", metavar="FILE", help="encoded pictures")
    what.add_argument("--watch", metavar="DIRECTORY", help="each new picture there, until Ctrl-C")
    what.add_argument("--text", help="a text, such as a review")
    what.add_argument("--row", nargs="+", metavar="KEY=VALUE", help="one sample by input name")
    what.add_argument("--json", help="a sample, or a list of them, as JSON")
    what.add_argument("--jsonl", metavar="FILE", help="one sample a line, as JSON; - is standard input")
    add("--image_size", type=size, metavar="WxH", help="make pictures this size, such as 28x28 (sent as they are)")
    add(
        "--image_mode",
        choices=MODES,
        default="",
        help="make pictures grey or colour (sent as they are; with --image_size colour)",
    )
    add("--image_fit", choices=FITS, default="stretch", help="what to do with pictures of other proportions (stretch)")
    add("--json_lines", action="store_true", help="print one JSON object an answer instead of a table (off)")
    add("--top", type=within(1), default=3, help="how many classes to show (3)")
    add("--in_flight", type=within(1), default=8, help="requests at once in a stream (8)")
    add("--timeout", type=seconds, default=30.0, help="seconds for a request with its retries (30)")
    add("--retries", type=within(0), default=3, help="how often to ask again when the server is not reached or busy (3)")
    add("--ca_file", help="PEM file of the authorities to trust for grpcs:// and https:// (the system's)")
    add("--certificate_file", help="PEM file of this client's certificate (none)")
    add("--key_file", help="PEM file of its key (none)")
    return parser
