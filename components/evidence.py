"""What a judge's finding is about: the model's bytes and the served model's it was measured beside, and its own bytes.

Written by every judge with its finding and held by DeployGate against what lies there, so that a finding about another model,
an old one or an edited one decides nothing. Custom properties:

    digest          str, tree digest of the finding's directory
    model_id        int, the Model artifact that was judged
    model_digest    str, its tree digest when it was judged
    served_id       int, the Model artifact it was compared with; 0 if none was
    served_digest   str, its tree digest; empty if none was
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types

from errors import IntegrityError
from lineage.digests import tree_digest


def record(finding: types.Artifact, model: types.Artifact, served: types.Artifact | None = None) -> None:
    """Writes the properties above; the last thing a judge does, for `digest` covers the finding's files."""
    finding.set_int_custom_property("model_id", model.id)
    finding.set_string_custom_property("model_digest", tree_digest(model.uri))
    finding.set_int_custom_property("served_id", served.id if served else 0)
    finding.set_string_custom_property("served_digest", tree_digest(served.uri) if served else "")
    finding.set_string_custom_property("digest", tree_digest(finding.uri))


def problem(
    finding: types.Artifact, model: types.Artifact, served: types.Artifact | None = None, *, model_digest: str | None = None
) -> str | None:
    """Returns why a finding does not count for `model` beside `served`, in plain words; None if it does.

    `served` is looked at only if it is given: a judge that compares nothing records none. `model_digest` is the tree digest of
    the model's directory now; it is computed if it is not given, which for a large model takes as long as reading it.
    """
    try:
        if finding.get_string_custom_property("digest") != tree_digest(finding.uri):
            return "its files are not what was recorded"
        digest = model_digest or tree_digest(model.uri)
    except (OSError, ValueError) as error:
        return f"it cannot be read ({' '.join(str(error).split())})"
    if finding.get_int_custom_property("model_id") != model.id:
        return f"it is about model {finding.get_int_custom_property('model_id')}, not about model {model.id}"
    if finding.get_string_custom_property("model_digest") != digest:
        return "it is about other bytes than the model has now"
    if served is not None and finding.get_int_custom_property("served_id") != served.id:
        return "it was not measured beside the model that is served now"
    return None


def only(inputs: Mapping[str, Sequence[Any]], key: str) -> Any:
    """Returns the one artifact of an input, or None if the input is not wired or was resolved to nothing."""
    artifacts = inputs.get(key) or []
    return artifacts[0] if artifacts else None


def require_published(published: types.Artifact, made_by: str) -> None:
    """Refuses an input that was altered after it was published.

    Raises:
      IntegrityError: it has a digest that its files do not have, or they cannot be read.
    """
    expected = published.get_string_custom_property("digest")
    if not expected:
        return
    try:
        got = "other files" if tree_digest(published.uri) != expected else ""
    except (OSError, ValueError) as error:  # a tree with a link in it has no digest, so it was never published
        got = f"what cannot be read ({' '.join(str(error).split())})"
    if got:
        raise IntegrityError(
            f"expected {published.type_name} {published.id} at {published.uri} as published (digest {expected[:12]}), got"
            f" {got}; run again with --from {made_by}."
        )
