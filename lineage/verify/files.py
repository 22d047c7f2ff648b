"""The files of artifacts held against the digests that they were published with."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lineage.graph import DELETED as MARKED
from lineage.graph import Artifact
from lineage.questions.served import PUSHED_MODEL
from lineage.verify.hashing import Hashes, written_since
from lineage.verify.report import ALTERED, DELETED, FILES, MISSING, UNPROVEN, VERIFIED, Finding, joined
from lineage.verify.told import Told
from lineage.verify.way import Way


def files(hashes: Hashes, told: Told, way: Way) -> Iterator[Finding]:
    """Yields a finding per artifact that ML Metadata knows."""
    for number in sorted(way.artifacts & way.graph.artifacts.keys()):
        artifact = way.graph.artifacts[number]
        yield _checked(artifact, hashes, told, way.node(number), needed=number in way.needed)


def recorded(artifact: Artifact) -> str:
    """Returns the digest that an artifact's own directory was published with; empty if there is none."""
    other = artifact.type == PUSHED_MODEL  # whose `digest` is that of the version in the serving directory
    return str(artifact.properties.get("record_digest", "") or ("" if other else artifact.digest))


def _checked(artifact: Artifact, hashes: Hashes, told: Told, node: str, *, needed: bool) -> Finding:
    subject = joined([f"{artifact.type} {artifact.id}", f"made by {node}" if node else ""])
    expected, path = recorded(artifact), artifact.uri.removeprefix("file://")

    def found(state: str, got: str, remedy: str = "") -> Finding:
        return Finding(FILES, subject, state, expected and f"digest {expected[:12]}", got, remedy, path, needed)

    if "://" in path:
        return found(UNPROVEN, "files that are not on this machine", "verify it where they are")
    if not os.path.isdir(path):
        return found(*_gone(artifact, told, node))
    if not expected:
        return found(UNPROVEN, "no digest on record", f"run again{_from(node)}: an older release recorded none")
    got, problem = hashes.tree(path)
    if got == expected:
        return found(VERIFIED, got[:12])
    since = written_since(path, artifact.created.timestamp())
    what = problem or joined([f"digest {got[:12]}", f"written since: {', '.join(since)}" if since else ""])
    return found(ALTERED, what, f"put back a copy of {path}, or run again{_from(node)}")


def _gone(artifact: Artifact, told: Told, node: str) -> tuple[str, str, str]:
    if artifact.id in told.deleted:
        return DELETED, "removed by gc, which wrote it down", f"run again{_from(node)} if it is needed"
    marked = " though ML Metadata says that it was deleted, no gc wrote that down;" if artifact.state == MARKED else ""
    return MISSING, f"no directory;{marked}".rstrip(";"), f"put back a copy, or run again{_from(node)}"


def _from(node: str) -> str:
    return f" with --from {node}" if node else ""
