"""`python -m serving predict`: one sample, files, or a stream, asked of a model."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from errors import ConfigError, DataError
from serving.client import report, sources
from serving.client.answers import RequestError
from serving.client.client import Client, connect
from serving.client.labels import ClassNames, rank
from serving.client.sources import Source
from serving.client.streams import in_order
from serving.server.signature import DEFAULT_SIGNATURE


def predict(arguments: Sequence[str]) -> int:
    """Asks for each input and prints the answers in order; 1 if any was not answered.

    Raises:
      FedtfxError: arguments that cannot be used.
    """
    given = _parse(arguments)
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

    def _ask(self, source: Source) -> str:
        given, started = self._given, time.perf_counter()
        signature = self._client.signature(given.model_name, given.signature or DEFAULT_SIGNATURE, given.version, given.label)
        inputs = source.inputs(signature)
        options = {"signature": given.signature, "version": given.version, "label": given.label}
        example = _first_sample(inputs, next(iter(signature.inputs), ""))
        answer, names = self._names.predict(given.model_name, inputs, example, **options)
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
    if given.image:
        return sources.pictures(given.image)
    if given.watch:
        return sources.watched(given.watch, stop)
    if given.jsonl:
        return sources.lines(given.jsonl)
    if given.row:
        return [sources.row(given.row)]
    return [Source("text", given.text)] if given.text is not None else [Source("json", given.json.encode())]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    given = _parser().parse_args(arguments)
    if given.version is not None and given.label:
        raise ConfigError("both --version and --label are given; expected at most one, so drop one.")
    if given.in_flight < 1 or given.top < 1:
        raise ConfigError("--in_flight and --top: expected numbers from 1 on; change them.")
    return given


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m serving predict", description="Asks a model.", allow_abbrev=False)
    add = parser.add_argument
    add("--server", required=True, metavar="ADDRESS", help="grpc://, grpcs://, http:// or https:// and host:port; or a path")
    add("--model_name", required=True, help="the model's name on the server")
    add("--signature", default="", help="serving_default unless given")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--label", default="", help="such as stable or canary")
    which.add_argument("--version", type=int, help="a version's number")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", nargs="+", metavar="FILE", help="encoded pictures, sent as they are")
    what.add_argument("--watch", metavar="DIRECTORY", help="each new picture there, until Ctrl-C")
    what.add_argument("--text", help="a text")
    what.add_argument("--row", nargs="+", metavar="KEY=VALUE", help="one sample by input name")
    what.add_argument("--json", help="a sample, or a list of them, as JSON")
    what.add_argument("--jsonl", metavar="FILE", help="one sample a line, as JSON; - is standard input")
    add("--json_lines", action="store_true", help="print one JSON object an answer instead of a table")
    add("--top", type=int, default=3, help="how many classes to show (3)")
    add("--in_flight", type=int, default=8, help="requests at once in a stream (8)")
    add("--timeout", type=float, default=30.0, help="seconds for a request with its retries (30)")
    add("--retries", type=int, default=3, help="when the server is not reached or busy (3)")
    add("--ca_file", help="PEM file of authorities to trust instead of the system's")
    add("--certificate_file", help="PEM file of this client's certificate")
    add("--key_file", help="PEM file of its key")
    return parser
