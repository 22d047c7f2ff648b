"""What is stated about a pushed model, signed, beside its version before the version is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from tfx.types import artifact
from tfx.types import standard_component_specs as keys

from components import digested
from components.atomic_pusher import spec
from components.atomic_pusher.binding import Bound
from lineage import audit_log, signing, statement
from lineage.signing import BadEnvelope, SigningKey
from lineage.statement import Origin, Resource
from serving import statements

_Artifacts = Mapping[str, Sequence[artifact.Artifact]]

# Custom properties of any Model that say nothing about how it was made; TRAINED_BY's are said elsewhere.
_NOT_FACTS = {digested.DIGEST, "tfx_version", "is_external", "name", "pipeline_name", "producer_component", "state"}
_LONGEST = 256  # characters; what is longer is no fact but a document


def state(inputs: _Artifacts, decision: Bound, config: Mapping[str, Any], *, model_name: str, run: str) -> statements.State:
    """Returns what tells `serving.layout` the statement about a version; without a key there is none.

    Args:
      inputs: the Pusher's.
      decision: what the model is pushed by.
      config: the Pusher's custom_config; see `spec`.
      model_name: under which it is served.
      run: name of this run in ML Metadata.

    Raises:
      ConfigError: the key cannot be used.
      IntegrityError: the run's log was altered.
    """
    if not config.get(spec.SIGNING_KEY):
        logging.warning("No signing key: %s is pushed without a signed statement of where it came from.", model_name)
        return lambda version, digest, there: None
    key = signing.load_private(config[spec.SIGNING_KEY])
    origin = _origin(inputs, decision, config, run)

    def stated(version: int, digest: str, there: bytes | None) -> bytes:
        name = f"{model_name}/{version}"
        if there is not None and _stands(there, key, name, digest):
            return there
        return signing.seal(statement.build(name, digest, origin), key)

    return stated


def recorded(stated: bytes | None) -> dict[str, str]:
    """Returns what the PushedModel records of the statement's file."""
    if stated is None:
        return {}
    return {spec.STATEMENT_DIGEST: hashlib.sha256(stated).hexdigest(), spec.KEY_ID: statement.unproven(stated)[1]}


def _stands(there: bytes, key: SigningKey, name: str, digest: str) -> bool:
    """Whether the statement that is there is about this model: with our key, or with one that we cannot judge."""
    problem = statement.check(there, signing.public_of(key), digest, name=name).problem
    if not problem:
        return True
    try:
        said, key_id = statement.unproven(there)
    except BadEnvelope:
        key_id = key.key_id
    else:
        if key_id != key.key_id and statement.about(said) == (name, digest):
            logging.warning("The statement about %s names another key, %s; it is left as it is.", name, key_id[:16])
            return True
    logging.warning("The statement about %s did not prove it (%s); it is made anew.", name, problem)
    return False


def _origin(inputs: _Artifacts, decision: Bound, config: Mapping[str, Any], run: str) -> Origin:
    facts = dict(config.get(spec.RUN_FACTS) or {})
    model = _properties(inputs[keys.MODEL_KEY][0])
    return Origin(
        external={"pipeline": config.get(spec.PIPELINE, ""), **_picked(facts, "config_digest", "seed")},
        internal={
            "model_node": config.get(spec.MODEL_NODE, ""),
            **_picked(facts, "code_version", "python"),
            "training": _picked(model, *spec.TRAINED_BY),
        },
        dependencies=[*_artifacts(inputs), *_code(facts)],
        versions={name.removeprefix("version_"): str(value) for name, value in facts.items() if name.startswith("version_")},
        run=run,
        byproducts=[_decision(decision), *_log(config.get(spec.RUN_LOG))],
        model={name: value for name, value in model.items() if name not in _NOT_FACTS | set(spec.TRAINED_BY)},
    )


def _artifacts(inputs: _Artifacts) -> list[Resource]:
    """The inputs, as their digests were when they were published."""
    return [_published(name, each) for name, given in sorted(inputs.items()) for each in given]


def _published(name: str, each: artifact.Artifact) -> Resource:
    expected = digested.recorded(each)
    facts = {"type": each.type_name, "artifact": each.id, **_picked(_properties(each), "input_fingerprint")}
    return Resource(name, {"sha256": expected} if expected else {}, facts, uri=f"urn:fedtfx:artifact:{each.id}")


def _code(facts: Mapping[str, Any]) -> list[Resource]:
    """Our sources as they were when this run began, and the lock file of the stack."""
    commit, _, changes = str(facts.get("git_commit", "")).partition("+")
    about = {**_picked(facts, "code_version"), **({"uncommitted_changes": bool(changes)} if commit else {})}
    uri = f"urn:fedtfx:code:{facts.get('code_version', '')}"
    code = [Resource("fedtfx", {"gitCommit": commit} if commit else {}, about, uri)] if about else []
    lock = facts.get("lock_digest")
    return [*code, *([Resource("requirements.txt", {"sha256": str(lock)})] if lock else [])]


def _decision(decision: Bound) -> Resource:
    override = {name: value for name, value in decision.facts().items() if name.startswith("override")}
    said = _picked(decision.content, "blessed", "passed", "decided_at")
    return Resource("decision.json", {"sha256": decision.digest}, {**said, **override})


def _log(path: str | None) -> list[Resource]:
    """Where the log of runs stood: its newest line, which holds the digest of the one before."""
    entries = audit_log.read(path) if path else []
    if not entries:
        return []
    newest = entries[-1]
    return [Resource("audit.jsonl", {"sha256": audit_log.digest(newest)}, {"line": newest.number})]


def _properties(each: artifact.Artifact) -> dict[str, Any]:
    values = {}
    for name, value in each.mlmd_artifact.custom_properties.items():
        kind = value.WhichOneof("value")
        if kind in ("int_value", "double_value", "string_value"):
            values[name] = getattr(value, kind)
    return {name: value for name, value in values.items() if not isinstance(value, str) or 0 < len(value) <= _LONGEST}


def _picked(facts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: facts[name] for name in names if name in facts}
