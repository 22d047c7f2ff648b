"""Served versions held against what was pushed, by ML Metadata, by the log of releases and by the model itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from errors import IntegrityError
from lineage import audit_log
from lineage.audit_log import Entry
from lineage.graph import Artifact
from lineage.questions.naming import Named
from lineage.questions.served import PRUNED, Version
from lineage.verify import folders
from lineage.verify.hashing import Hashes, written_since
from lineage.verify.report import ALTERED, DELETED, LOG, MISSING, SERVED, UNPROVEN, VERIFIED, Finding, joined
from serving import records

_BACK = "roll back to a version that is verified (`python -m serving rollback`), or push the model again"
_PUT_BACK = "put back a copy of it, or push the model again; versions are removed with `python -m serving prune`"
_REWRITE = "put back a copy of it; what it cannot tell any more is unproven"


class Releases:
    """The log of releases of a serving root."""

    def __init__(self, serving_root: str) -> None:
        self.path = os.path.join(serving_root, records.FILE)
        self.problem, self.entries = "", list[Entry]()
        try:
            self.entries = audit_log.read(self.path, strict=True)
        except IntegrityError as error:
            self.problem, self.entries = str(error), audit_log.intact(self.path)
        except OSError as error:
            self.problem = f"{self.path}: cannot be read ({error.strerror})"
        self.lines = {audit_log.digest(entry) for entry in self.entries}

    def digest_of(self, name: str, version: int) -> str:
        """Returns the digest with which a version was pushed or found, the newest word; empty without."""
        told = [entry.facts for entry in self.entries if entry.facts.get("model") == name and "digest" in entry.facts]
        return next((str(facts["digest"]) for facts in reversed(told) if facts.get("version") == version), "")


def versions(hashes: Hashes, releases: Releases, named: Sequence[Named]) -> Iterator[Finding]:
    """Yields a finding per version that was asked about."""
    for one in named:
        if one.version is not None:
            yield _checked(one, one.version, hashes, releases)


def elsewhere(releases: Releases, named: Sequence[Named], pushes: Sequence[Artifact]) -> Iterator[Finding]:
    """Yields a finding per other serving root that was pushed to: a wrong option must not pass for nothing to verify."""
    here = os.path.dirname(releases.path)
    seen = {push.id for one in named if one.version for push in one.version.pushes}
    folders_of = {push.id: Path(str(push.properties.get("pushed_destination", ""))) for push in pushes if push.id not in seen}
    roots = Counter(str(folder.parents[1]) for folder in folders_of.values() if len(folder.parents) > 1)
    for root, amount in sorted(roots.items()):
        if root != here:
            subject, got = f"{amount} pushed to {root}", f"--serving-root {here}, so that they were not looked at"
            yield Finding(SERVED, subject, UNPROVEN, "their serving root", got, f"verify with --serving-root {root} too", root)


def _checked(named: Named, version: Version, hashes: Hashes, releases: Releases) -> Finding:
    expected = _expected(named, version, hashes, releases)
    subject = f"version {version.name}" + ", live" * version.live
    if not version.there:
        state, got = _gone(version)
        return Finding(SERVED, subject, state, _first(expected), got, _PUT_BACK, version.path, version.live)
    got, problem = hashes.tree(version.path)
    if not expected:
        remedy = "push the model with the pipeline: nobody wrote down what this is"
        return Finding(SERVED, subject, UNPROVEN, "a push of it on record", got[:12], remedy, version.path)
    for digest, where in expected.items():
        if digest != got:
            since = written_since(version.path, _pushed_at(version))
            what = problem or joined([f"digest {got[:12]}", f"written since: {', '.join(since)}" if since else ""])
            return Finding(SERVED, subject, ALTERED, f"digest {digest[:12]} ({where})", what, _BACK, version.path)
    return Finding(SERVED, subject, VERIFIED, _first(expected), got[:12], path=version.path)


def _gone(version: Version) -> tuple[str, str]:
    if os.path.lexists(version.path):
        return ALTERED, folders.why_no_version(version.path)
    if version.how == PRUNED:
        return DELETED, "pruned, which was written down"
    return MISSING, "no such directory, though nobody pruned it"


def _expected(named: Named, version: Version, hashes: Hashes, releases: Releases) -> dict[str, str]:
    """Digest -> who says so."""
    told = {push.digest: f"PushedModel {push.id}" for push in version.pushes if push.digest}
    if logged := releases.digest_of(version.model, version.number):
        told.setdefault(logged, "the log of releases")
    if not told and named.model is not None:
        export, _ = hashes.tree(Path(named.model.uri, "Format-Serving"))
        return {export: f"model {named.model.id}"} if export else {}
    return told


def _first(expected: Mapping[str, str]) -> str:
    return next((f"digest {digest[:12]} ({where})" for digest, where in expected.items()), "a push of it on record")


def _pushed_at(version: Version) -> float:
    return version.pushes[0].created.timestamp() if version.pushes else float("inf")


def releases_log(releases: Releases, pushes: Sequence[Artifact], runs: Sequence[Entry]) -> Iterator[Finding]:
    """Yields what is to be said of the log of releases: whether it is whole, and holds what others say that it held.

    Args:
      releases: the log.
      pushes: PushedModel artifacts; those into other serving roots are passed over.
      runs: the log of runs.
    """
    anchors = {
        **{line: f"run {run}" for run, line in _held_by(runs, os.path.dirname(releases.path))},
        **{str(one.properties.get("audit_digest")): f"push {one.id}" for one in pushes if _is_here(one, releases)},
    }
    subject = "log of releases"
    if releases.problem:
        yield Finding(LOG, subject, ALTERED, "an unbroken chain", releases.problem, _REWRITE, releases.path)
    elif os.path.exists(releases.path):
        yield Finding(LOG, subject, VERIFIED, got=f"{len(releases.entries)} lines", path=releases.path)
    elif anchors:
        yield Finding(
            LOG, subject, MISSING, "the log that ML Metadata and the log of runs tell of", "none", _REWRITE, releases.path
        )
    for digest, who in anchors.items():
        if digest not in releases.lines:
            got = "no such line: the log was cut off or written anew, or the digest altered"
            expected = f"the line {digest[:12]}, the newest at the time of {who}"
            yield Finding(LOG, f"{who} in the log of releases", ALTERED, expected, got, _REWRITE, releases.path)


def _held_by(runs: Sequence[Entry], root: str) -> Iterator[tuple[str, str]]:
    """Run -> the newest line of the log of releases when it began, and when it ended."""
    for entry in runs:
        held = entry.facts.get("releases")
        if isinstance(held, dict) and held.get("root") == root:
            yield str(entry.facts.get("run")), str(held.get("line"))


def _is_here(push: Artifact, releases: Releases) -> bool:
    root = Path(str(push.properties.get("pushed_destination", ""))).parents
    return len(root) > 1 and bool(push.properties.get("audit_digest")) and str(root[1]) == os.path.dirname(releases.path)
