"""Whether a blessing has a decision behind it: one that says blessed, about this very model, beside what is served now.

`blessed=1` in ML Metadata, a file BLESSED, or both, can be written by hand, and a blessing of another gate knows less. So a
model goes live only by a decision.json whose digest the blessing carries twice, and which says the same as the blessing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.types import artifact
from tfx.types import standard_component_specs as keys

from components.atomic_pusher import spec
from components.deploy_gate import decision, recording
from components.deploy_gate.case import digest_of
from errors import IntegrityError
from lineage.digests import tree_digest
from serving import layout


@dataclass(frozen=True)
class Bound:
    """A decision that a blessing is bound to: where it is, its digest and what it says."""

    uri: str
    digest: str
    content: Mapping[str, Any]

    def facts(self) -> dict[str, str]:
        """Returns what the PushedModel records of it."""
        said = recording.override_facts(self.content.get("override"))
        return {
            recording.DECISION_URI: self.uri,
            recording.DECISION_DIGEST: self.digest,
            **({name: value for name, value in said.items() if value}),
        }


def bound(blessing: artifact.Artifact, model: artifact.Artifact) -> Bound:
    """Returns the decision behind a blessing that says blessed.

    Raises:
      IntegrityError: there is none, it was altered, it does not say blessed, or it is about another model or other bytes.
    """
    digest = blessing.get_string_custom_property(recording.DECISION_DIGEST)
    uri = blessing.get_string_custom_property(recording.DECISION_URI)
    if not digest or not uri:
        raise _unbound(blessing, "a decision of DeployGate behind it", "none")
    try:
        content, said = decision.read(uri)
    except ValueError as error:
        raise _unbound(blessing, "a decision that can be read", str(error)) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise _unbound(blessing, f"the decision with digest {digest[:12]}", f"another one at {uri}")
    if _blessed_file(blessing) != digest:
        raise _unbound(blessing, "the digest of its decision in the file BLESSED", "something else")
    if said.get("blessed") is not True:
        raise _unbound(blessing, "a decision that says blessed", f"a refusal at {uri}")
    _check_about(blessing, model, said)
    return Bound(uri, digest, said)


def refusal(bound_to: Bound, model: artifact.Artifact, export_digest: str | None, model_dir: str) -> str:
    """Returns why a decision that was right when it was made does not count any more; empty if it still does.

    That is so when another version is served than it was made beside (unless that is this very model), or when the approval
    that it rests on has expired.

    Args:
      bound_to: the decision.
      model: the model to push.
      export_digest: tree digest of what would be served of it; None if that cannot be read.
      model_dir: the serving directory.
    """
    override, then = bound_to.content.get("override"), bound_to.content.get("served")
    if override and datetime.now(timezone.utc) >= datetime.fromisoformat(override["expires"]):
        return f"the approval of {override['by']} that model {model.id} was blessed by expired at {override['expires']}"
    now, lost = layout.live_version(model_dir), layout.lost_version(model_dir)
    if _holds(model_dir, now, export_digest) or (lost and lost[1] and lost[1] == export_digest):
        return ""  # it is live already, or should be and is gone, so nothing is replaced
    now = lost[0] if lost else now
    unchanged = now is None if then is None else now == then["version"] and _has_still(model_dir, now, then["digest"])
    if unchanged:
        return ""
    was = "nothing" if then is None else f"version {then['version']}"
    got = "nothing" if now is None else f"version {now}" + ", altered" * (then is not None and now == then["version"])
    return f"what is served has changed since model {model.id} was judged beside it: expected {was}, got {got}; run again"


def _has_still(model_dir: str, version: object, digest: str) -> bool:
    """Whether a version is as it was looked at; an empty digest means that it could not be read then."""
    return (digest_of(os.path.join(model_dir, str(version))) or "") == digest


def _holds(model_dir: str, version: int | None, digest: str | None) -> bool:
    return version is not None and digest is not None and layout.holds(os.path.join(model_dir, str(version)), digest)


def _blessed_file(blessing: artifact.Artifact) -> str:
    try:
        return Path(blessing.uri, constants.BLESSED_FILE_NAME).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _check_about(blessing: artifact.Artifact, model: artifact.Artifact, said: Mapping[str, Any]) -> None:
    about = said.get("model") or {}
    if about.get("id") != model.id:
        raise _unbound(blessing, f"a decision about model {model.id}", f"one about model {about.get('id')}")
    try:
        digest = tree_digest(model.uri)
    except (OSError, ValueError) as error:
        raise _unbound(blessing, "the model that was decided on", f"one that cannot be read ({error})") from error
    if about.get("digest") != digest:
        raise _unbound(blessing, "the bytes that were decided on", f"others at {model.uri}")


def _unbound(blessing: artifact.Artifact, expected: str, got: str) -> IntegrityError:
    node = spec.MADE_BY[keys.MODEL_BLESSING_KEY]
    return IntegrityError(f"blessing {blessing.id}: expected {expected}, got {got}; run again with --from {node}.")
