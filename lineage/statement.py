"""Signed statements: what a pushed model was made of, how, and why it was let through.

An in-toto Statement (v1) with SLSA provenance (v1) as its predicate, in the envelope of `lineage.signing`, beside the version:

    {serving root}/{model}/{version}.intoto.jsonl

Its subject is `{model}/{version}` with the tree digest of the version's directory. Names, numbers and digests only: no client's
id, no secret, no example. The fields are described in docs/reference/statement.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from lineage import signing
from lineage.signing import BadEnvelope, PublicKey

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
BUILD_TYPE = "urn:fedtfx:pipeline:v1"
BUILDER = "urn:fedtfx:pusher:v1"
MODEL_FACTS = "fedtfx_model"  # SLSA wants extensions to carry a vendor's prefix
_EXACT = 2**53  # JSON's numbers are doubles to most readers


@dataclass(frozen=True)
class Resource:
    """Something a model depends on, or that was made with it: digests are hex, by algorithm; annotations say what it is.

    SLSA wants a URI where there is no digest.
    """

    name: str
    digest: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    uri: str = ""


@dataclass(frozen=True)
class Origin:
    """What a statement says.

    Attributes:
      external: what a user chose: pipeline, config digest, seed.
      internal: what follows from that: node, module, stack.
      dependencies: artifacts, code, lock file.
      versions: of the parts that made it.
      run: name of the run in ML Metadata.
      byproducts: the decision, and where the run's log stood.
      model: the model's own facts: algorithm, rounds, clients, epsilon.
    """

    external: Mapping[str, Any] = field(default_factory=dict)
    internal: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Sequence[Resource] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    byproducts: Sequence[Resource] = ()
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """What came of looking at a statement.

    Attributes:
      problem: why it proves nothing, in plain words; empty if it proves what it says.
      statement: what it says; None if that cannot be read, or is not signed by the key.
      key_id: of the key that it was held against.
    """

    problem: str
    statement: Mapping[str, Any] | None
    key_id: str

    @property
    def verified(self) -> bool:
        """Whether it was signed by the key, and is about these bytes."""
        return not self.problem


def build(name: str, tree_digest: str, origin: Origin, *, now: datetime | None = None) -> bytes:
    """Returns the text of a statement, to be signed.

    Args:
      name: `{model}/{version}`.
      tree_digest: hex sha256 tree digest of the version's directory.
      origin: what is to be said of it.
      now: when it was finished; the time now.

    Raises:
      ValueError: in-toto's or SLSA's schema does not hold it.
    """
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    predicate = _predicate(origin, now or datetime.now(timezone.utc))
    json_format.ParseDict(predicate, provenance_pb2.Provenance(), ignore_unknown_fields=True)  # extensions
    made = Statement([ResourceDescriptor(name, digest={"sha256": tree_digest}).pb], PREDICATE_TYPE, predicate)
    made.validate()
    said = {**json_format.MessageToDict(made.pb), "predicate": predicate}  # which has its integers still
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def check(content: bytes, key: PublicKey, tree_digest: str | None, *, name: str | None = None) -> Checked:
    """Holds a statement's file against a public key and the served bytes.

    Args:
      content: of the file.
      key: that must have signed it.
      tree_digest: of the version's directory; None if only the signature is asked for.
      name: `{model}/{version}` that it must be about; None for any, so that one beside another version would pass.
    """
    said: Mapping[str, Any] | None = None
    try:
        said = _parsed(signing.unseal(content, key))
        _check_about(said, tree_digest, name)
    except BadEnvelope as problem:
        return Checked(str(problem), said, key.key_id)
    return Checked("", said, key.key_id)


def unproven(content: bytes) -> tuple[Mapping[str, Any], str]:
    """Returns what a statement says, and the id of the key that it names, without looking at the signature.

    Raises:
      BadEnvelope: it is not a statement of ours.
    """
    payload, key_id = signing.peek(content)
    return _parsed(payload), key_id


def about(said: Mapping[str, Any]) -> tuple[str, str]:
    """Returns name and tree digest of what a statement is about."""
    (subject,) = said["subject"]
    return str(subject["name"]), str(subject["digest"]["sha256"])


def _predicate(origin: Origin, now: datetime) -> dict[str, Any]:
    finished = now.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _plain(origin.external),
            "internalParameters": _plain(origin.internal),
            "resolvedDependencies": [_resource(each) for each in origin.dependencies],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {name: str(value) for name, value in origin.versions.items()}},
            "metadata": {"invocationId": origin.run, "finishedOn": finished},
            "byproducts": [_resource(each) for each in origin.byproducts],
        },
        MODEL_FACTS: _plain(origin.model),
    }


def _resource(resource: Resource) -> dict[str, Any]:
    said: dict[str, Any] = {"name": resource.name}
    if resource.uri:
        said["uri"] = resource.uri
    if resource.digest:
        said["digest"] = dict(resource.digest)
    if resource.annotations:
        said["annotations"] = _plain(resource.annotations)
    return said


def _plain(value: Any) -> Any:
    """The value as JSON's numbers can hold it: what they would round, and infinity, becomes text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    inexact = isinstance(value, int) and abs(value) > _EXACT
    return str(value) if inexact or (isinstance(value, float) and not math.isfinite(value)) else value


def _parsed(payload: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(payload.decode("utf-8"), object_pairs_hook=signing.once)
    except BadEnvelope:
        raise
    except (ValueError, RecursionError):
        raise BadEnvelope("expected a statement in JSON, got something else") from None
    if not isinstance(said, dict) or said.get("_type") != STATEMENT_TYPE:
        got = said.get("_type") if isinstance(said, dict) else said
        raise BadEnvelope(f"expected a statement of type {STATEMENT_TYPE}, got {str(got)[:60]!r}")
    if said.get("predicateType") != PREDICATE_TYPE:
        raise BadEnvelope(f"expected a predicate of type {PREDICATE_TYPE}, got {str(said.get('predicateType'))[:60]!r}")
    _check_schema(said)
    return said


def _check_schema(said: dict[str, Any]) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    try:
        Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement())).validate()
        json_format.ParseDict(said["predicate"], provenance_pb2.Provenance(), ignore_unknown_fields=True)
        name, digest = about(said)
        build = said["predicate"]["buildDefinition"]["buildType"]
    except (json_format.ParseError, ValueError, KeyError, TypeError, RecursionError):
        raise BadEnvelope(
            "expected a statement about one model with its sha256 and its provenance, got something else"
        ) from None
    if build != BUILD_TYPE:
        raise BadEnvelope(f"expected a build of type {BUILD_TYPE}, got {str(build)[:60]!r}")
    if len(said["subject"][0]["digest"]) != 1 or not name or len(digest) != 64:
        raise BadEnvelope("expected a statement about one model with its sha256, got another digest")


def _check_about(said: Mapping[str, Any], tree_digest: str | None, name: str | None) -> None:
    got_name, got_digest = about(said)
    if name is not None and got_name != name:
        raise BadEnvelope(f"expected a statement about {name}, got one about {got_name[:150]!r}")
    if tree_digest is not None and got_digest != tree_digest:
        raise BadEnvelope(f"expected files with tree digest {got_digest}, got others, with {tree_digest}")
