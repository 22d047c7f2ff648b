"""The options of the questions: places, --json, and examples in --help."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from lineage import command_line, places


class Parser(command_line.Parser):
    """Parses the arguments of a question."""

    def __init__(self, command: str, description: str, examples: Sequence[tuple[str, str]]) -> None:
        """Makes it, with the options that every question has.

        Args:
          command: its name.
          description: what it answers, in a sentence or two.
          examples: arguments, and what they ask.
        """
        shown = "\n".join(f"  python -m lineage {command} {given}\n      {what}" for given, what in examples)
        super().__init__(
            prog=f"python -m lineage {command}",
            description=description,
            epilog=f"examples:\n{shown}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--json", action="store_true", help="for machines; the keys are in docs/reference/lineage-json.md")
        places.add_options(self)


def amount(text: str) -> int:
    """Reads a number of lines to show; 0 for all."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a number, 0 for all, got {text!r}")
    return int(text)


def as_text(value: Any) -> str:
    """Returns JSON as it is printed."""
    return json.dumps(value, indent=2, allow_nan=False)
