"""The operations a model may use: allowed_ops.txt, by where each is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

ALLOWED_OPS = Path(__file__).with_name("allowed_ops.txt")


@dataclass(frozen=True)
class AllowList:
    """Names of operations: those allowed anywhere, and those allowed only under the conditions that `graphs` holds them to."""

    anywhere: frozenset[str]
    save: frozenset[str]
    restore: frozenset[str]
    asset: frozenset[str]

    def extended(self, names: Iterable[str]) -> AllowList:
        """This list with `names` allowed anywhere."""
        return replace(self, anywhere=self.anywhere | frozenset(names))


def read(path: Path = ALLOWED_OPS) -> AllowList:
    """Reads the file: `[section]` headings, one operation a line, comments from `#` on."""
    sections: dict[str, set[str]] = {}
    section: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            section = sections.setdefault(text.strip("[]"), set())
        elif text:
            section.add(text)
    return AllowList(**{name: frozenset(names) for name, names in sections.items()})
