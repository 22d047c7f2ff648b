"""What is known of one model, as plain values: each is None or empty where nothing was recorded, as by stock TFX."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineage.graph import Artifact, Execution, Run, Value
from lineage.jsonable import jsonable

AS_PUBLISHED, ALTERED, GONE, UNPROVEN, UNREAD = "as published", "altered", "gone", "unproven", "unread"


class Facts:
    """Base of what can be shown as JSON: its keys are the attributes, which docs/reference/lineage-json.md tells of."""

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout."""
        return {name: jsonable(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Thing(Facts):
    """An artifact.

    Attributes:
      id: in ML Metadata.
      type: of the artifact, such as Model.
      uri: its directory.
      digest: the tree digest that it was published with; empty if none was recorded.
      state: `live` or `deleted`, in ML Metadata.
      there: whether the directory is; None of one that is not on this machine, such as in a bucket.
      node: that made it; empty if it is not known.
      run: that made it.
      created: ISO 8601, UTC.
    """

    id: int
    type: str
    uri: str
    digest: str
    state: str
    there: bool | None
    node: str
    run: str
    created: str

    @property
    def short_type(self) -> str:
        """Its type without the package that it is in."""
        return self.type.rpartition(".")[2]


def thing(artifact: Artifact, maker: Execution | None) -> Thing:
    """Returns what to tell of an artifact, and of the execution that made it."""
    return Thing(
        artifact.id,
        artifact.type,
        artifact.uri,
        artifact.own_digest,
        artifact.state,
        is_there(artifact.uri),
        maker.node or maker.type if maker else "",
        maker.run if maker else "",
        jsonable(artifact.created),
    )


def is_there(uri: str) -> bool | None:
    """Whether an artifact's directory is there; None if that is not on this machine."""
    path = local(uri)
    return None if path is None else os.path.exists(path)


def local(uri: str) -> str | None:
    """Returns the path of a uri on this machine; None of one elsewhere, such as in a bucket."""
    path = uri.removeprefix("file://")
    return None if "://" in path else path


@dataclass(frozen=True)
class RunFacts(Facts):
    """A run, and with what it was made.

    Attributes:
      name: of the run.
      pipeline: of the run.
      created: ISO 8601, UTC.
      facts: what it recorded: config_digest, seed, code_version, git_commit, lock_digest, python, version_<package>.
    """

    name: str
    pipeline: str
    created: str
    facts: Mapping[str, Value]


def run_facts(run: Run) -> RunFacts:
    """Returns what to tell of a run."""
    return RunFacts(run.name, run.pipeline, jsonable(run.created), dict(sorted(run.facts.items())))


@dataclass(frozen=True)
class Push(Facts):
    """A push: what PushedModel says, and which run did it.

    Attributes:
      record: the PushedModel.
      version: number of the version, as text; empty of stock TFX's that do not tell.
      destination: directory of the version when it was pushed.
      digest: the tree digest of the version's bytes.
      copied: False if the version held these bytes already.
      live: whether it went live with this push; None if that was not recorded.
      held_at: the version that was live instead; empty without.
      override: what an approval did: `force`, `hold` or empty; `override_by`, `override_reason` and `override_until` tell more.
      audit_digest: digest of the newest line of the log of releases after it.
    """

    record: Thing
    version: str
    destination: str
    digest: str
    copied: bool
    live: bool | None
    held_at: str
    override: str
    override_by: str
    override_reason: str
    override_until: str
    audit_digest: str


@dataclass(frozen=True)
class Decided(Facts):
    """The gate's decision, or a stock Evaluator's blessing.

    Attributes:
      record: the GateDecision, or the ModelBlessing where there is none.
      blessed: whether the model might be pushed; None if a gate without thresholds said nothing.
      passed: what the checks alone say; None if that was not recorded.
      decided_at: ISO 8601, UTC.
      checks: all of them, as decision.json has them: id, judge, what, observed, required, verdict, forceable.
      failed_checks: ids of those that failed.
      reasons: the checks that decided it, in words.
      override: the approval that was applied: action, by, reason, expires; None without.
      approvals: what became of each approval in the file.
      served: the version that it was decided beside: version, digest, same_as_model; None without one.
      file: whether decision.json is `as published`, `altered`, `gone` or `unproven`; checks are told of the first only.
    """

    record: Thing
    blessed: bool | None
    passed: bool | None
    decided_at: str
    checks: tuple[Mapping[str, Any], ...] = ()
    failed_checks: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    override: Mapping[str, Any] | None = None
    approvals: tuple[Mapping[str, Any], ...] = ()
    served: Mapping[str, Any] | None = None
    file: str = GONE


@dataclass(frozen=True)
class Judgement(Facts):
    """Another decision about a model than the one that is told of it: a run that took it from the cache judged it too.

    Attributes:
      id: of the GateDecision, or of the ModelBlessing where there is none.
      run: that decided.
      created: ISO 8601, UTC.
      decision: `blessed`, `refused`, or by an approval `forced` or `held back`; empty if it says nothing.
      failed_checks: ids of those that failed.
      later: whether it came after the one that is told.
    """

    id: int
    run: str
    created: str
    decision: str
    failed_checks: tuple[str, ...]
    later: bool


@dataclass(frozen=True)
class Evaluation(Facts):
    """A finding about the model.

    Attributes:
      record: the artifact.
      compared_with: the served Model that it was measured beside; None without.
      examples: how many it was measured on; None if it is not told here.
      metrics: `candidate`, `baseline`, `served` -> metric -> value, means over all examples; of `training` what the
        trainer itself measured; empty if the numbers are in files that only TensorFlow Model Analysis can read.
      file: whether the file with the numbers is `as published`, `altered`, `gone` or `unproven`; `unread` if none is told from.
    """

    record: Thing
    compared_with: int | None
    examples: int | None
    metrics: Mapping[str, Mapping[str, float]]
    file: str


@dataclass(frozen=True)
class Training(Facts):
    """How a model was trained.

    Attributes:
      model: the Model.
      execution: that made it.
      algorithm: such as fedavg; `centralised` of a pooled training; empty of stock TFX.
      rounds: that were done; None of a centralised one.
      planned: rounds that the config asked for.
      clients: in all.
      clients_per_round: that were drawn.
      settings: all settings, nested names joined by a dot.
      in_effect: those of them that switch something on or set a number.
      recorded: what the trainer wrote down of it, such as attempts, exported, train_loss.
      sampling_digest: of all cohorts in their order.
      privacy: epsilon, epsilon_total, delta, privacy_unit, noise_multiplier and more; None without.
      seed: of the training.
      module: import path of the model's code, or a stock trainer's module file.
      module_digest: of that code.
      code_version: of the trainer's own code.
      base: the Model whose weights it began with; None without.
    """

    model: Thing
    execution: int
    algorithm: str
    rounds: int | None
    planned: int | None
    clients: int | None
    clients_per_round: int | None
    settings: Mapping[str, Any]
    in_effect: Mapping[str, Any]
    recorded: Mapping[str, Value]
    sampling_digest: str
    privacy: Mapping[str, Value] | None
    seed: int | None
    module: str
    module_digest: str
    code_version: str
    base: Thing | None


@dataclass(frozen=True)
class Split(Facts):
    """How examples were divided among clients: `parameters` as the node had them; no id of a client is told.

    `left_out` is how many clients were on the list of the forgotten ones; None if there was no list.
    """

    record: Thing
    strategy: str
    clients: int | None
    examples: int | None
    dropped: int | None
    eval_examples: int | None
    held_out_clients: int | None
    left_out: int | None
    seed: int | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Schema(Facts):
    """The schema of the training run: `made_by` is the type of the node, `inferred` whether it was."""

    record: Thing
    made_by: str
    inferred: bool | None


@dataclass(frozen=True)
class Validation(Facts):
    """What ExampleValidator found in the training run: by split whether it had no anomaly; empty if that was not recorded."""

    record: Thing
    no_anomalies: Mapping[str, bool]


@dataclass(frozen=True)
class Data(Facts):
    """Examples, and what they were read from.

    Attributes:
      record: the Examples.
      reader: type of the node that read the source.
      source: folder or address that it read; empty of data that comes with a package.
      patterns: by split, of the files read.
      format: of the files written.
      counts: by split, of examples; empty if they were not counted.
      span: of the source, and its `version`; None without.
      left_out: how many clients were on the list of the forgotten ones; None if there was no list.
      fingerprint: of the source's content, by our readers; stock CsvExampleGen's tells files, bytes and times only.
      seed: of the hash that makes the splits.
    """

    record: Thing
    reader: str
    source: str
    patterns: Mapping[str, str]
    format: str
    counts: Mapping[str, int]
    left_out: int | None
    span: int | None
    version: int | None
    fingerprint: str
    seed: int | None


@dataclass(frozen=True)
class Ancestor(Facts):
    """A model that a warm start went out from, nearest first: what it was trained on counts for all that came of it."""

    training: Training
    split: Split | None
    data: tuple[Data, ...]


@dataclass(frozen=True)
class Gone(Facts):
    """A directory that is not there any more: `deleted` if ML Metadata has it so, as gc leaves it."""

    id: int
    type: str
    uri: str
    deleted: bool
