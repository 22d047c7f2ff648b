"""Tables for people: columns below each other where they fit into the terminal, else a block of lines per row."""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

_LEAST, _MOST = 40, 160


def width() -> int:
    """Returns how many characters fit into a line; 160 where nobody looks, as in a pipe."""
    return max(_LEAST, min(_MOST, shutil.get_terminal_size((_MOST, 24)).columns))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Returns lines of `columns` characters at most, but for words that are longer; empty columns are left out."""
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
    header, rows = [header[index] for index in kept], [[row[index] for index in kept] for row in rows]
    widths = _widths([*zip(header, *rows, strict=True)], columns - 2 * (len(header) - 1))
    if widths is not None:
        return [line for row in (header, *rows) for line in _lines(row, widths)]
    return [line for row in rows for line in _block(header, row, columns)]


def labelled(pairs: Iterable[tuple[str, str]], columns: int, indent: int = 0) -> Iterator[str]:
    """Yields a line per pair of name and text, and more for what is too long."""
    pairs = [(name, printable(text)) for name, text in pairs if text]
    left = max((len(name) for name, _ in pairs), default=0) + 2
    for name, text in pairs:
        yield from wrapped(text, columns, " " * indent + f"{name:<{left}}", " " * (indent + left))


def when(time: str, *, seconds: bool = False) -> str:
    """Returns an ISO 8601 time as people read it, to the minute or second; without its zone, which is UTC everywhere here."""
    return time[: 19 if seconds else 16].replace("T", " ")


def wrapped(text: str, columns: int, first: str, later: str) -> list[str]:
    """Returns a text's lines after `first`, and `later` from the second on; paths and digests are not cut."""
    return textwrap.wrap(
        text,
        max(columns, len(later) + 20),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def printable(text: str) -> str:
    """Returns a text as one line in which nothing is left that a terminal takes for a command: names of files may hold such."""
    return "".join(sign if sign.isprintable() else "?" if sign not in "\t\n" else " " for sign in text)


def _widths(cells: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """Width of each column, the widest made narrower while their words fit; None if they do not."""
    widths = [max(map(len, column)) for column in cells]
    least = [max((len(word) for cell in column for word in cell.split()), default=0) for column in cells]
    while sum(widths) > available:
        spare = [size - smallest for size, smallest in zip(widths, least, strict=True)]
        if not any(spare):
            return None
        widest = max((index for index, left in enumerate(spare) if left), key=lambda index: widths[index])
        widths[widest] -= 1
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """A row; what is too long for its column goes on below."""
    cells = [textwrap.wrap(cell, max(size, 1), break_on_hyphens=False) or [""] for cell, size in zip(row, widths, strict=True)]
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        yield "  ".join(f"{part:<{size}}" for part, size in zip(parts, widths, strict=True)).rstrip()


def _block(header: Sequence[str], row: Sequence[str], columns: int) -> Iterator[str]:
    yield row[0] or "-"
    yield from labelled(zip(header[1:], row[1:], strict=True), columns, indent=2)
