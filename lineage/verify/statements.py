"""The signed statement beside a version: its signature, what it is about, and what it says of artifacts, decision and log."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from lineage import signing, statement
from lineage.questions.naming import Named
from lineage.questions.served import Version
from lineage.signing import PublicKey
from lineage.verify.hashing import Hashes
from lineage.verify.report import ALTERED, MISSING, STATEMENT, UNPROVEN, VERIFIED, Finding
from lineage.verify.run_log import RunLog
from lineage.verify.scope import Scope
from serving import statements

_REMEDY = "do not trust the version, or push it again, which states it anew"
_STATED = "statement_digest"


def default_key(pipeline_root: str) -> str:
    """Returns where the public half of the key is that runs on this machine sign with, if nobody gave another."""
    return os.path.join(pipeline_root, ".signing", signing.PUBLIC_FILE)


def load_key(path: str | None, pipeline_root: str) -> PublicKey | None:
    """Returns the public key to hold statements against; None if none was given and this machine made none.

    Raises:
      ConfigError: the file that was given holds none.
    """
    if path is None and not os.path.exists(default_key(pipeline_root)):
        return None
    return signing.load_public(path or default_key(pipeline_root))


def signed(hashes: Hashes, log: RunLog, scope: Scope, key: PublicKey | None) -> Iterator[Finding]:
    """Yields a finding per version that was asked about."""
    for one in scope.named:
        if one.version is not None:
            yield _checked(one, one.version, hashes, log, scope, key)


def _checked(named: Named, version: Version, hashes: Hashes, log: RunLog, scope: Scope, key: PublicKey | None) -> Finding:
    path = str(statements.path(os.path.dirname(version.path), version.number))
    subject = f"statement about {version.name}"
    pushed = {str(push.properties[_STATED]) for push in version.pushes if _STATED in push.properties}

    def found(state: str, expected: str, got: str = "", remedy: str = _REMEDY) -> Finding:
        return Finding(STATEMENT, subject, state, expected, got, remedy, path)

    try:
        content, _ = signing.read(path)
    except OSError as error:
        if pushed:
            return found(MISSING, "the statement that was made with the push", error.strerror or "none")
        return found(UNPROVEN, "a signed statement", "none: it was pushed before there were any, or by hand")
    if key is None:
        return found(UNPROVEN, "a public key", "none", "give the signer's with --public-key")
    digest, _ = hashes.tree(version.path)
    checked = statement.check(content, key, digest or None, name=version.name)
    if checked.problem:
        return found(ALTERED, *_sides(checked.problem, f"a statement signed with {key.key_id[:12]} about these files"))
    if pushed and hashlib.sha256(content).hexdigest() not in pushed:
        return found(ALTERED, "the statement that was made with the push", "another one, also signed")
    if checked.statement is not None and (problem := _contradiction(checked.statement, log, scope)):
        return found(ALTERED, *problem)
    return found(VERIFIED, f"key {key.key_id[:12]}", digest[:12], "")


def _sides(problem: str, expected: str) -> tuple[str, str]:
    """What a problem that says `expected ..., got ...` expected, and got; others say what there is."""
    wanted, _, got = problem.removeprefix("expected ").partition(", got ")
    return (wanted, got) if got and problem.startswith("expected ") else (expected, problem)


def _contradiction(said: Mapping[str, Any], log: RunLog, scope: Scope) -> tuple[str, str] | None:
    """In what ML Metadata or the log of runs says something else than the statement: expected, and got."""
    predicate = said["predicate"]
    for resource in predicate["buildDefinition"].get("resolvedDependencies", []):
        artifact = scope.graph.artifacts.get(int(resource.get("annotations", {}).get("artifact", 0)))
        digest = resource.get("digest", {}).get("sha256")
        if artifact is not None and digest and artifact.own_digest != digest:
            return f"{resource['name']} {artifact.id} with digest {digest[:12]}", f"{artifact.own_digest[:12]} in ML Metadata"
    for product in predicate["runDetails"].get("byproducts", []):
        digest = product.get("digest", {}).get("sha256", "")
        if product["name"] == "decision.json" and digest not in log.decisions:
            return f"a decision {digest[:12]}", "none in the log of runs"
        if product["name"] == "audit.jsonl" and digest not in log.lines:
            return f"the line {digest[:12]} in the log of runs", "none: it was cut off or written anew"
    return None
