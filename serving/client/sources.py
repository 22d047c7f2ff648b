"""Where the inputs of `python -m serving predict` come from: each has a name to report it by, and inputs for the model."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from errors import ConfigError, DataError
from serving.client.pictures import Fitting
from serving.client.watching import new_pictures
from serving.server.signature import Signature

_LONGEST_LINE = 256 << 20
_ONE = """give a sample as '{"name": value}', or a list of such, in quotes for the shell"""
_ONE_A_LINE = "give one value a line, such as an object of input name to value"


@dataclass(frozen=True)
class Source:
    """One request to be.

    Attributes:
      name: of a file, or `line 7`; what is reported.
      content: a path to a picture, JSON as bytes, a text, or a row.
      fitting: what becomes of a picture.
    """

    name: str
    content: Path | bytes | str | dict[str, str]
    fitting: Fitting = field(default_factory=Fitting)

    def inputs(self, signature: Signature) -> Any:
        """What Client.predict takes.

        Raises:
          DataError: a file that cannot be read, or a line that is no JSON.
        """
        if isinstance(self.content, Path):
            return self.fitting.inputs(self.content, signature)
        if isinstance(self.content, bytes):
            return _json(self.content, _ONE_A_LINE if self.name.startswith("line ") else _ONE)
        if isinstance(self.content, dict):
            return {name: _typed(name, text, signature) for name, text in self.content.items()}
        return self.content


def pictures(paths: list[str], fitting: Fitting) -> Iterator[Source]:
    """One for each file."""
    return (Source(path, Path(path), fitting) for path in paths)


def watched(directory: str, fitting: Fitting, stop: threading.Event) -> Iterator[Source]:
    """One for each new picture in a directory, until `stop` is set.

    Raises:
      ConfigError: no such directory.
    """
    if not Path(directory).is_dir():
        raise ConfigError(f"--watch {directory}: no such directory; make it first.")
    paths = new_pictures(Path(directory), stop)
    print(f"watching {directory} for new pictures; Ctrl-C ends.", file=sys.stderr, flush=True)
    return (Source(str(path), path, fitting) for path in paths)


def lines(path: str) -> Iterator[Source]:
    """One for each line of a file, or of standard input if `path` is `-`; empty lines are left out.

    Raises:
      ConfigError: the file cannot be read.
    """
    try:
        opened = nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb")  # noqa: SIM115 - _lines closes it
    except OSError as error:
        raise ConfigError(f"--jsonl {path}: {error.strerror}; give a file of JSON lines, or - for standard input.") from None
    return _lines(opened)


def row(pairs: list[str]) -> Source:
    """One from `key=value` arguments.

    Raises:
      ConfigError: an argument without `=`, or a key twice.
    """
    content: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in content:
            raise ConfigError(f"--row {pair}: expected key=value, each key once; correct it.")
        content[key] = value
    return Source("row", content)


def _lines(opened: Any) -> Iterator[Source]:
    with opened as file:
        stream: BinaryIO = file
        number = 0
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                raise DataError(f"line {number} is longer than {_LONGEST_LINE} bytes; expected one JSON object a line.")
            if line.strip():
                yield Source(f"line {number}", line)


def _json(text: bytes, remedy: str) -> Any:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # a wrong encoding is a ValueError too
        reason = f"{error}" if isinstance(error, json.JSONDecodeError) else "not UTF-8, or nested too deeply"
        raise DataError(f"no JSON: {reason}; {remedy}.") from None
    if isinstance(content, dict) and content.keys() in ({"instances"}, {"inputs"}):
        return next(iter(content.values()))  # the body of a REST request
    return content


def _typed(name: str, text: str, signature: Signature) -> Any:
    """A command line's text as the type that the input has; lists as JSON."""
    if name not in signature.inputs or signature.inputs[name].dtype == "DT_STRING":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise DataError(f"--row {name}={text}: expected a number, true, false, or a list like [1, 2]; correct it.") from None
