"""The files of artifacts held against the digests that they were published with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lineage.graph import DELETED as MARKED
from lineage.graph import Artifact
from lineage.verify.hashing import Hashes, written_since
from lineage.verify.report import ALTERED, DELETED, FILES, MISSING, UNPROVEN, VERIFIED, Finding, joined
from lineage.verify.run_log import RunLog
from lineage.verify.scope import Scope


def files(hashes: Hashes, log: RunLog, scope: Scope, root: str) -> Iterator[Finding]:
    """Yields a finding per artifact that ML Metadata knows.

    What lies outside of the pipeline root is not looked at: of a copied root, that would be the files of the original.
    """
    for number in sorted(scope.artifacts & scope.graph.artifacts.keys()):
        artifact = scope.graph.artifacts[number]
        yield _checked(artifact, hashes, log, root, scope.node(number), needed=number in scope.needed)


def _checked(artifact: Artifact, hashes: Hashes, log: RunLog, root: str, node: str, *, needed: bool) -> Finding:
    subject = joined([f"{artifact.type} {artifact.id}", f"made by {node}" if node else ""])
    expected, path = artifact.own_digest, artifact.uri.removeprefix("file://")

    def found(state: str, got: str, remedy: str = "") -> Finding:
        return Finding(FILES, subject, state, expected and f"digest {expected[:12]}", got, remedy, path, needed)

    if "://" in path:
        return found(UNPROVEN, "files that are not on this machine", "verify it where they are")
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        got = f"a place outside of the pipeline root {root}, which was not looked at"
        return found(
            UNPROVEN, got, "give the --pipeline-root that it lies in; a copy of a root is verified at the path of the original"
        )
    if not os.path.isdir(path):
        return found(*_gone(artifact, log, node))
    if not expected:
        return found(UNPROVEN, "no digest on record", f"run again{_from(node)}: an older release recorded none")
    got, problem = hashes.tree(path)
    if got == expected:
        return found(VERIFIED, got[:12])
    since = written_since(path, artifact.created.timestamp())
    what = problem or joined([f"digest {got[:12]}", f"written since: {', '.join(since)}" if since else ""])
    return found(ALTERED, what, f"put back a copy of {path}, or run again{_from(node)}")


def _gone(artifact: Artifact, log: RunLog, node: str) -> tuple[str, str, str]:
    if artifact.id in log.deleted:
        return DELETED, "removed by gc, which wrote it down", f"run again{_from(node)} if it is needed"
    marked = " though ML Metadata says that it was deleted, no gc wrote that down;" if artifact.state == MARKED else ""
    return MISSING, f"no directory;{marked}".rstrip(";"), f"put back a copy, or run again{_from(node)}"


def _from(node: str) -> str:
    return f" with --from {node}" if node else ""
