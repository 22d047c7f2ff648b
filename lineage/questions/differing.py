"""In what two runs or models differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from errors import ConfigError
from lineage import reading
from lineage.graph import CACHED, COMPLETE, Execution, Graph
from lineage.jsonable import jsonable
from lineage.places import Places
from lineage.questions import naming, origin
from lineage.questions.decisions import in_a_word, otherwise
from lineage.questions.facts import Facts, run_facts
from lineage.questions.making import flattened, parsed
from lineage.questions.naming import Named
from lineage.questions.origin import Origin

PARAMETERS, CODE, DATA, ENVIRONMENT, METRICS, DECISION = "parameters", "code", "data", "environment", "metrics", "decision"
GROUPS = (PARAMETERS, CODE, DATA, ENVIRONMENT, METRICS, DECISION)
_CODE = ("code_version", "module", "module_digest", "module_file", "module_path", "run_fn", "git_commit")
_DATA = ("input_fingerprint", "input_base", "span", "version")
_NAMED = ("forgotten",)
_OF_THE_RUN = ("execution_token", "failed_nodes")
"""Parameters that differ between any two executions and say nothing of what was done."""


@dataclass(frozen=True)
class Fact(Facts):
    """A fact of both sides.

    Attributes:
      name: of a parameter `{node}.{parameter}`.
      a: what the first has; None if it has none.
      b: what the second has.
      difference: b - a of metrics that both have.
    """

    name: str
    a: Any
    b: Any
    difference: float | None = None

    @property
    def same(self) -> bool:
        """Whether both have the same."""
        return bool(self.a == self.b)


@dataclass(frozen=True)
class Differences(Facts):
    """Two runs or models side by side.

    Attributes:
      a: what the first is, in words.
      b: the second.
      same: whether they differ in nothing that was recorded, but for their names and times.
      groups: parameters, code, data, environment, metrics, decision -> facts by name.
    """

    a: str
    b: str
    same: bool
    groups: Mapping[str, tuple[Fact, ...]]

    def only_different(self) -> Differences:
        """Returns the same without the facts in which they are the same."""
        groups = {name: tuple(fact for fact in facts if not fact.same) for name, facts in self.groups.items()}
        return Differences(self.a, self.b, self.same, groups)


@dataclass(frozen=True)
class Side:
    """All that is told of one: in words what it is, and group -> name -> value."""

    title: str
    facts: Mapping[str, Mapping[str, Any]]


def of_texts(a: str, b: str, store: Any, places: Places) -> Differences:
    """Returns in what two MODELs differ; a run may be one that made no model.

    Raises:
      ConfigError: see `naming.resolve`.
    """
    return between(side(a, store, places), side(b, store, places))


def between(a: Side, b: Side) -> Differences:
    """Returns two sides side by side."""
    groups = {name: tuple(_facts(name, a.facts[name], b.facts[name])) for name in GROUPS}
    same = all(fact.same for facts in groups.values() for fact in facts)
    return Differences(a.title, b.title, same, groups)


def side(text: str, store: Any, places: Places) -> Side:
    """Returns all that is told of a run or a model.

    Raises:
      ConfigError: see `naming.resolve`; or it is a version whose bytes nobody here pushed.
    """
    named = _named(text, store, places)
    if named.run is not None and named.model is None:
        return _of_run(named, store)
    if named.model is None:
        raise ConfigError(
            f"{text}: expected a model that ML Metadata knows, got one whose bytes nobody here pushed; name another."
        )
    return _of_model(named, store)


def _named(text: str, store: Any, places: Places) -> Named:
    try:
        return naming.resolve(text, store, places)
    except ConfigError:
        if not text.startswith("run:"):
            raise
        return Named(text, None, None, naming.run_named(store, text.removeprefix("run:"), text))


def _of_run(named: Named, store: Any) -> Side:
    """A run that made no model: how far it came."""
    assert named.run is not None
    graph = reading.of_runs(store, [named.run.name])
    executions = graph.of_run(named.run.name)
    facts = _empty()
    _add_parameters(facts, executions)
    _add_environment(facts, named.run.facts)
    facts[DECISION] |= {f"{execution.node}": execution.state for execution in executions}
    return Side(f"run {named.run.name}, which made no model", facts)


def _of_model(named: Named, store: Any) -> Side:
    """By the nodes on its way. Of a run it is those that made what came of it, in it or before it."""
    graph = origin.gathered(store, named)
    told = origin.of_graph(named, graph)
    facts = _empty()
    _add_parameters(facts, _makers(graph, told))
    run = run_facts(named.run) if named.run else told.trained_by
    _add_environment(facts, run.facts if run else {})
    _add_data(facts, told)
    _add_metrics(facts, told)
    _add_decision(facts, told)
    trained = f", trained by {told.model.run}" if told.model and told.model.run else ""
    by_run = f"run {named.run.name}, " if named.run else ""
    return Side(f"{by_run}{named.name} (id:{told.model.id if told.model else ''}{trained})", facts)


def _empty() -> dict[str, dict[str, Any]]:
    return {name: {} for name in GROUPS}


def _makers(graph: Graph, told: Origin) -> Iterator[Execution]:
    """Executions that made what is on the way, the decision among them."""
    pushes = {push.record.id for push in told.pushes}  # their parameters are places and addresses
    found = {maker.id: maker for one in told.things if one.id not in pushes and (maker := graph.producer(one.id)) is not None}
    ancestors = {ancestor.training.execution for ancestor in told.ancestors}
    return (found[number] for number in sorted(found) if number not in ancestors)


def _add_parameters(facts: dict[str, dict[str, Any]], executions: Iterable[Execution]) -> None:
    for execution in executions:
        if execution.state not in (COMPLETE, CACHED) and not execution.properties:
            continue
        node = execution.label
        for key, value in sorted(execution.properties.items()):
            nested = parsed(value)
            whose = key if key in _NAMED else ""  # else the parameter's name says less than what is in it
            told = flattened(nested, whose) if isinstance(nested, dict) else {key: value if nested is None else nested}
            for name, one in told.items():
                last = name.rpartition(".")[2]
                if key not in _OF_THE_RUN:
                    group = CODE if last in _CODE else DATA if last in _DATA else PARAMETERS
                    facts[group].setdefault(f"{node}.{name}", jsonable(one))


def _add_environment(facts: dict[str, dict[str, Any]], recorded: Mapping[str, Any]) -> None:
    for name, value in sorted(recorded.items()):
        if name in ("code_version", "git_commit"):
            facts[CODE][name] = value
        elif name in ("config_digest", "seed"):
            facts[PARAMETERS][name] = value
        elif name == "python" or name.startswith(("version_", "lock_")):
            facts[ENVIRONMENT][name.removeprefix("version_")] = value


def _add_data(facts: dict[str, dict[str, Any]], told: Origin) -> None:
    data = facts[DATA]
    for number, one in enumerate(told.data):
        name = "examples" if not number else f"examples {number + 1}"
        data |= {f"{name}.digest": one.record.digest, f"{name}.fingerprint": one.fingerprint, f"{name}.source": one.source}
        data |= {f"{name}.{split}": count for split, count in one.counts.items()}
    if (split := told.split) is not None:
        counts = ("clients", "examples", "dropped", "eval_examples", "left_out")
        data |= {f"split.{name}": jsonable(getattr(split, name)) for name in counts}
        data["split.digest"] = split.record.digest
    if told.schema is not None:
        data["schema.digest"] = told.schema.record.digest
    if told.validation is not None:
        data |= {f"anomalies.{name}": "none" if good else "found" for name, good in told.validation.no_anomalies.items()}
    if told.training is not None:
        facts[PARAMETERS]["warm start"] = told.training.base.digest if told.training.base else None


def _add_metrics(facts: dict[str, dict[str, Any]], told: Origin) -> None:
    for finding in told.evaluations:
        for model, values in finding.metrics.items():
            for name, value in values.items():
                title = name if model in ("candidate", "training") else f"{name} of the {model} model"
                facts[METRICS].setdefault(title, value)
    if told.training is not None:
        facts[METRICS] |= {name: value for name, value in (told.training.privacy or {}).items() if isinstance(value, float)}


def _add_decision(facts: dict[str, dict[str, Any]], told: Origin) -> None:
    if (decided := told.decision) is None:
        return
    override = decided.override or {}
    said = {"blessed": int(bool(decided.blessed)), "override": override.get("action", "")}
    facts[DECISION] |= {"verdict": in_a_word(said), "failed checks": ", ".join(decided.failed_checks)}
    facts[DECISION] |= {f"approval.{key}": str(override.get(key, "")) for key in ("by", "reason") if override}
    facts[DECISION] |= {check["id"]: check["verdict"] for check in decided.checks}
    if since := otherwise(facts[DECISION]["verdict"], told.other_decisions):
        facts[DECISION]["judged since"] = ", ".join(f"{one.decision} by {one.run or 'a run'}" for one in since)


def _facts(group: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Fact]:
    for name in dict.fromkeys((*a, *b)):
        one, other = a.get(name), b.get(name)
        numbers = [float(value) for value in (one, other) if group == METRICS and isinstance(value, (int, float))]
        yield Fact(name, jsonable(one), jsonable(other), numbers[1] - numbers[0] if len(numbers) == 2 else None)
