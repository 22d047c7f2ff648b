"""What gc removes, what stays and why, for machines and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lineage.retention import directories
from lineage.retention.collecting import Removal
from lineage.retention.unseen import Unseen

_NAMED = 5


@dataclass(frozen=True)
class Considered:
    """What goes, why the rest stays, and what stays because nobody can tell whether it is served."""

    goes: Removal
    kept: dict[int, str]
    unseen: list[Unseen]


def as_json(found: Considered, applied: bool) -> dict[str, object]:
    """Returns the documented layout."""
    goes = found.goes
    return {
        "applied": applied,
        "bytes": goes.bytes,
        "removed" if applied else "would_remove": [
            {"id": one.id, "type": one.type, "path": one.uri, "bytes": goes.sizes[one.uri], "digest": one.digest}
            for one in goes.artifacts
        ],
        "directories": [{"path": str(path), "bytes": goes.sizes[str(path)]} for path in goes.orphans],
        "gone_already": [one.id for one in goes.gone],
        "kept": {str(one): why for one, why in sorted(found.kept.items())},
        "not_found": [{"version": one.name, "folder": one.folder, "pushed": one.pushed[0]} for one in found.unseen],
    }


def as_text(found: Considered, root: str, applied: bool) -> str:
    """Returns it in lines."""
    goes, kept = found.goes, found.kept
    rows = [_row(str(one.id), one.type, goes.sizes[one.uri], directories.relative(root, one.uri)) for one in goes.artifacts]
    rows += [_row("-", "of a dead execution", goes.sizes[str(path)], directories.relative(root, path)) for path in goes.orphans]
    count = len(goes.artifacts) + len(goes.orphans)
    verb = "removed" if applied else "would remove"
    lines = [_row("id", "type", "bytes", "directory"), *rows, ""] if rows else []
    lines.append(f"{verb} {count} directories, {_amount(goes.bytes)}" if count else "nothing to remove")
    if goes.gone:
        lines.append(f"{len(goes.gone)} more that nothing needs have no directory any more, though ML Metadata has them live")
    lines += ["", f"{len(kept)} artifacts stay:"]
    lines += [f"  {number:>6}  {why}" for why, number in Counter(kept.values()).most_common()]
    if rows and not applied:
        lines += ["", "with --apply they go"]
    return "\n".join([*lines, *_not_found(found.unseen)])


def _not_found(unseen: Sequence[Unseen]) -> list[str]:
    """A line, if something stays because nobody can tell whether it is served."""
    if not unseen:
        return []
    folders = ", ".join(sorted({one.folder for one in unseen if one.folder})) or "a place that ML Metadata does not tell"
    named = sorted({one.name for one in unseen})
    names = ", ".join(named[:_NAMED]) + ", ..." * (len(named) > _NAMED)
    return [
        "",
        f"not found, and not pruned: {names}, pushed to {folders}; what they were made from stays: name the place where they"
        " are with --serving-root, or let those that are gone for good go with --let-go MODEL/VERSION",
    ]


def _row(artifact: str, kind: str, size: int | str, path: str) -> str:
    return f"{artifact:>6}  {kind:<28}  {size if isinstance(size, str) else _amount(size):>10}  {path}"


def _amount(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
