"""What a report's page is made of, whatever it is written in: sections of blocks, of plain text. Only pictures are markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


class Code(str):
    """Text that is set in a fixed width: digests, paths, names of keys."""


class Strong(str):
    """Text that stands out: the row or cell that it is about."""


class Interval(str):
    """A value with its interval, `0.9675 [0.9440, 0.9813]`, of which neither is broken over lines."""

    @property
    def value(self) -> str:
        return self.partition(" [")[0]

    @property
    def span(self) -> str:
        return self[len(self.value) :].strip()


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is empty, or one of good, bad and wait, which also has it stand in a frame."""

    KIND: ClassVar[str] = "text"
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Missing:
    """What is not available, and why."""

    KIND: ClassVar[str] = "missing"
    why: str


@dataclass(frozen=True)
class Items:
    """A list under a heading of its own."""

    KIND: ClassVar[str] = "items"
    title: str
    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    KIND: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under heads; a folded one is opened at will. `verdicts`: the first cell of a row is passed, failed or skipped."""

    KIND: ClassVar[str] = "table"
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    verdicts: bool = False


@dataclass(frozen=True)
class Figures:
    """Pictures beside each other where there is room: SVG that may stand in a page as it is; a wide one needs a row."""

    KIND: ClassVar[str] = "figures"
    pictures: Sequence[str]
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Diagram:
    """A picture that Markdown draws from a text, in Mermaid's language."""

    KIND: ClassVar[str] = "diagram"
    mermaid: str


Block = Text | Missing | Items | Facts | Table | Figures | Diagram


@dataclass(frozen=True)
class Section:
    """A part of the page; `id` is its anchor."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """All of it: headline, what became of the model in a sentence with its tone, some facts to see first, sections."""

    title: str
    description: str
    status: str
    tone: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    made: str
    styles: Sequence[str] = field(default=())
