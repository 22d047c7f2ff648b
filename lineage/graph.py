"""What ML Metadata knows, as plain values: artifacts, the executions that made and used them, and the runs these belong to.

TFX's store holds more than one execution behind an artifact: a CACHED one has it for an output again, a FAILED or dead one
keeps its inputs. Only a COMPLETE execution made anything, and an artifact is what the first of them made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

Value = str | int | float
LIVE, DELETED = "live", "deleted"
COMPLETE, CACHED, FAILED, CANCELED, RUNNING, NEW = "complete", "cached", "failed", "canceled", "running", "new"
UNFINISHED = (NEW, RUNNING)

# Types of artifacts, stock TFX's and ours.
EXAMPLES, MODEL, MODEL_BLESSING, PUSHED_MODEL = "Examples", "Model", "ModelBlessing", "PushedModel"
FEDERATED_EXAMPLES, GATE_DECISION = "components.FederatedExamples", "components.GateDecision"
RUN_REPORT = "components.RunReport"


def whole(value: object) -> int | None:
    """Returns a property that should be a whole number, also from text; None if it is none, as after an edit by hand."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):  # text, NaN, infinity
        return None


@dataclass(frozen=True)
class Artifact:
    """A directory that a node published.

    Attributes:
      id: ML Metadata's.
      type: such as Model, Examples, components.FederatedExamples.
      uri: its directory.
      state: `live` or `deleted` as ML Metadata has it, not whether the directory is there; TFX leaves those that are gone live.
      name: what a node called it, mostly empty.
      properties: properties and custom properties; a custom one counts where both have a name.
      created: UTC.
    """

    id: int
    type: str
    uri: str
    state: str
    name: str
    properties: Mapping[str, Value]
    created: datetime

    @property
    def digest(self) -> str:
        """The tree digest it was published with; empty if none was recorded."""
        return str(self.properties.get("digest", ""))

    @property
    def own_digest(self) -> str:
        """The tree digest of its own directory: a PushedModel's `digest` is that of the version in the serving directory."""
        own = "" if self.type == PUSHED_MODEL else self.digest
        return str(self.properties.get("record_digest", "") or own)

    @property
    def short_type(self) -> str:
        """Its type without the package that it is in."""
        return self.type.rpartition(".")[2]

    @property
    def model_id(self) -> int | None:
        """Id of the Model that a PushedModel, finding, decision or ModelBlessing says it is about; None if it says nothing."""
        said = self.properties.get("model_id") or self.properties.get("current_model_id") or 0
        return (whole(said) or None) if isinstance(said, (int, float)) else None


@dataclass(frozen=True)
class Run:
    """A run of a pipeline: `facts` are config_digest, code_version, git_commit, lock_digest and more, if it recorded any."""

    id: int
    name: str
    pipeline: str
    facts: Mapping[str, Value]
    created: datetime


@dataclass(frozen=True)
class Execution:
    """One execution of a node. `node`, `pipeline` and `run` are empty if it was not filed under one; times are UTC."""

    id: int
    type: str
    node: str
    pipeline: str
    run: str
    state: str
    properties: Mapping[str, Value]
    created: datetime
    updated: datetime

    @property
    def label(self) -> str:
        """Its node, or else its type without the package that it is in."""
        return self.node or self.type.rpartition(".")[2]

    @property
    def seconds(self) -> float:
        """From its beginning to its last change."""
        return (self.updated - self.created).total_seconds()


@dataclass(frozen=True)
class Use:
    """An input or output of an execution: under which key, in which place of the list, and when (UTC)."""

    execution: int
    artifact: int
    key: str
    index: int
    output: bool
    time: datetime


@dataclass(frozen=True)
class Graph:
    """A part of what ML Metadata knows, or all of it; by id, runs by name. A use may point out of the part."""

    artifacts: Mapping[int, Artifact]
    executions: Mapping[int, Execution]
    uses: tuple[Use, ...]
    runs: Mapping[str, Run]

    @cached_property
    def _by_artifact(self) -> Mapping[int, tuple[Use, ...]]:
        return _grouped(self.uses, lambda use: use.artifact)

    @cached_property
    def _by_execution(self) -> Mapping[int, tuple[Use, ...]]:
        return _grouped(self.uses, lambda use: use.execution)

    def producer(self, artifact: int) -> Execution | None:
        """Returns the execution that made an artifact: the first COMPLETE one; None if it is not in this graph."""
        made = [self.executions[use.execution] for use in self._uses(artifact, output=True)]
        return min((one for one in made if one.state == COMPLETE), key=lambda one: one.id, default=None)

    def publications(self, artifact: int) -> list[Execution]:
        """Returns all executions that have it for an output, the one that made it and those that took it from the cache."""
        return sorted((self.executions[use.execution] for use in self._uses(artifact, output=True)), key=lambda one: one.id)

    def users(self, artifact: int) -> list[Execution]:
        """Returns the executions that have it for an input, in whichever state, oldest first."""
        found = {use.execution: self.executions[use.execution] for use in self._uses(artifact, output=False)}
        return [found[number] for number in sorted(found)]

    def inputs(self, execution: int) -> dict[str, list[Artifact]]:
        """Returns what an execution took in, by key, in the order in which it had it."""
        return self._sides(execution, output=False)

    def outputs(self, execution: int) -> dict[str, list[Artifact]]:
        """Returns what an execution put out, by key; of a cached one, what it took from the cache."""
        return self._sides(execution, output=True)

    def of_run(self, run: str) -> list[Execution]:
        """Returns the executions of a run, oldest first."""
        return [self.executions[number] for number in self._runs_executions.get(run, ())]

    def outputs_of_run(self, run: str) -> list[Artifact]:
        """Returns what the executions of a run put out, oldest execution first; also what they took from the cache."""
        return [one for execution in self.of_run(run) for several in self.outputs(execution.id).values() for one in several]

    def model_of(self, artifact: int) -> int | None:
        """Returns the id of the Model that an artifact is about; None if that is not known.

        It is the one that it names, or of a stock PushedModel, which names none, the one that its Pusher took in.
        """
        one = self.artifacts[artifact]
        maker = None if one.model_id or one.type != PUSHED_MODEL else self.producer(artifact)
        return one.model_id or (next((taken.id for taken in self.inputs(maker.id).get("model", ())), None) if maker else None)

    def of_type(self, *types: str) -> list[Artifact]:
        """Returns the artifacts of any of these types, oldest first."""
        return [artifact for _, artifact in sorted(self.artifacts.items()) if artifact.type in types]

    def upstream(self, artifacts: Iterable[int]) -> set[int]:
        """Returns what these were made from, and they themselves.

        Of a Model that is its training data, and what these came from. Of a finding it is also the model that it was measured
        beside, and so on through all that were ever served; so ask for a model's.
        """
        return self._closure(artifacts, self._made_from)

    def downstream(self, artifacts: Iterable[int]) -> set[int]:
        """Returns what was made from these, and they themselves.

        Findings about later models are among it where these were compared with; a Model only if it was trained on them.
        """
        return self._closure(artifacts, self._made_into)

    def _made_from(self, artifact: int) -> Iterable[int]:
        maker = self.producer(artifact)
        return () if maker is None else (use.artifact for use in self._by_execution.get(maker.id, ()) if not use.output)

    def _made_into(self, artifact: int) -> Iterable[int]:
        users = (execution.id for execution in self.users(artifact) if execution.state == COMPLETE)
        return (use.artifact for user in users for use in self._by_execution[user] if use.output)

    def _closure(self, start: Iterable[int], step: Callable[[int], Iterable[int]]) -> set[int]:
        found: set[int] = set()
        ahead = [artifact for artifact in start if artifact in self.artifacts]
        while ahead:
            one = ahead.pop()
            if one not in found and one in self.artifacts:
                found.add(one)
                ahead.extend(step(one))
        return found

    @cached_property
    def _runs_executions(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for number in sorted(self.executions):
            found[self.executions[number].run].append(number)
        return found

    def _uses(self, artifact: int, *, output: bool) -> list[Use]:
        uses = self._by_artifact.get(artifact, ())
        return [use for use in uses if use.output == output and use.execution in self.executions]

    def _sides(self, execution: int, *, output: bool) -> dict[str, list[Artifact]]:
        uses = [use for use in self._by_execution.get(execution, ()) if use.output == output and use.artifact in self.artifacts]
        sides: dict[str, list[Artifact]] = defaultdict(list)
        for use in sorted(uses, key=lambda use: (use.key, use.index)):
            sides[use.key].append(self.artifacts[use.artifact])
        return dict(sides)


def _grouped(uses: Iterable[Use], key: Callable[[Use], int]) -> dict[int, tuple[Use, ...]]:
    groups: dict[int, list[Use]] = defaultdict(list)
    for use in uses:
        groups[key(use)].append(use)
    return {number: tuple(group) for number, group in groups.items()}
