"""The directories of artifacts inside a pipeline root: which may be touched at all, and how they go.

    {root}/{pipeline}/{node}/{output}/{execution}                    an artifact's; TFX's layout
    {root}/{pipeline}/{node}/.system/{purpose}/{execution}           what TFX keeps for itself
    {root}/{pipeline}/{node}/{output}/.gc-{batch}-{execution}        one that is being removed

Nothing else is ever removed: no training state, no ledger, no log, no key, nothing outside of the root, nothing behind a link.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from lineage.durable import sync_directory
from lineage.graph import CANCELED, FAILED, Artifact, Execution, Graph

_HIDDEN = re.compile(r"\.gc-([0-9a-f]{16})-(\d+)")
_SYSTEM = ".system"


def why_not(root: str, uri: str, maker: Execution | None) -> str:
    """Returns why an artifact's directory is not ours to remove; empty if it is, whether it is there or not.

    Args:
      root: the pipeline root.
      uri: that ML Metadata has, where anybody may have written it: only the maker's own directory is taken.
      maker: the execution that made the artifact.
    """
    path, base = Path(os.path.abspath(uri)), Path(os.path.realpath(root))
    # Behind a link, two dots lead elsewhere than their letters say.
    straight = os.path.isabs(uri) and ".." not in Path(uri).parts
    if not straight or maker is None or not _is_of(maker, _parts(path, root)):
        return "its directory is not where this root has its artifacts"
    if os.path.realpath(path) != str(base.joinpath(*_parts(path, root))):
        return "its directory is a symbolic link, or behind one"
    if os.path.lexists(path) and not path.is_dir():
        return "it is no directory"
    return ""


def orphans(root: str, graph: Graph) -> list[Path]:
    """Returns what executions that failed or were canceled left: directories that no artifact has."""
    uris = {os.path.abspath(one.uri) for one in graph.artifacts.values()}
    dead = [one for one in graph.executions.values() if one.state in (FAILED, CANCELED) and one.node and one.pipeline]
    found = []
    for execution in dead:
        node = Path(root, execution.pipeline, execution.node)
        for parent in (*_children(node), *_children(node / _SYSTEM)):
            path = parent / str(execution.id)
            if path.is_dir() and str(path) not in uris and os.path.realpath(path) == _real(path, root):
                found.append(path)
    return sorted(found)


def size(path: str | os.PathLike[str]) -> int:
    """Returns the bytes of all files below, each link as itself; 0 if nothing is there."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return total


def hide(path: Path, batch: str) -> Path:
    """Renames a directory so that no reader finds it any more, and returns what it is called then; parents are to be synced."""
    hidden = path.with_name(f".gc-{batch}-{path.name}")
    os.rename(path, hidden)
    return hidden


def hidden(root: str) -> list[tuple[Path, str]]:
    """Returns what `hide` hid and nobody removed or brought back, each with its batch."""
    base = Path(os.path.realpath(root))
    found = [*base.glob("*/*/*/.gc-*"), *base.glob(f"*/*/{_SYSTEM}/*/.gc-*")]
    named = [(path, _HIDDEN.fullmatch(path.name)) for path in sorted(found)]
    return [(path, name[1]) for path, name in named if name and path.is_dir() and not path.is_symlink()]


def bring_back(path: Path) -> None:
    """Undoes `hide`. If there is a directory of that name again, that one stays, and this one hidden."""
    name = _HIDDEN.fullmatch(path.name)
    if name and not os.path.lexists(path.with_name(name[2])):
        os.rename(path, path.with_name(name[2]))
        sync_directory(path.parent)


def remove(path: Path) -> None:
    """Removes a hidden directory; follows no link in it."""
    shutil.rmtree(path)


def is_there(artifact: Artifact) -> bool:
    """Whether the artifact's directory is there."""
    return os.path.isdir(artifact.uri)


def relative(root: str, path: str | os.PathLike[str]) -> str:
    """Returns a path as the log has it: below the root."""
    return os.path.relpath(os.path.realpath(path), os.path.realpath(root))


def _is_of(maker: Execution, parts: tuple[str, ...]) -> bool:
    own = (maker.pipeline, maker.node, str(maker.id))
    return len(parts) == 4 and (*parts[:2], parts[3]) == own and not any(part.startswith(".") for part in parts)


def _parts(path: Path, root: str) -> tuple[str, ...]:
    for base in (os.path.abspath(root), os.path.realpath(root)):
        if path.is_relative_to(base):
            return path.relative_to(base).parts
    return ()


def _real(path: Path, root: str) -> str:
    return str(Path(os.path.realpath(root)).joinpath(*_parts(path, root)))


def _children(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (entry for entry in folder.iterdir() if stat.S_ISDIR(entry.lstat().st_mode) and entry.name != _SYSTEM)
