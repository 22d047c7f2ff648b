"""One run in a line: its state, which model came of it, what was decided, what was pushed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lineage import locking
from lineage.digests import regular_file
from lineage.graph import (
    CACHED,
    CANCELED,
    COMPLETE,
    FAILED,
    GATE_DECISION,
    MODEL,
    MODEL_BLESSING,
    PUSHED_MODEL,
    RUN_REPORT,
    RUNNING,
    UNFINISHED,
    Artifact,
    Execution,
    Graph,
    Run,
)
from lineage.jsonable import jsonable
from lineage.questions import judging, served
from lineage.questions.decisions import in_a_word
from lineage.questions.facts import Facts

DEAD, EMPTY = "dead", "empty"
STATES = (COMPLETE, CACHED, FAILED, CANCELED, RUNNING, DEAD, EMPTY)
_CANDIDATE = "candidate"


@dataclass(frozen=True)
class RunLine(Facts):
    """A run.

    Attributes:
      run: its name.
      pipeline: its pipeline; empty if nothing was filed under one.
      created: ISO 8601, UTC.
      updated: when its last node changed; ISO 8601, UTC.
      state: `complete`; `cached`, if its model was trained by an earlier run; `failed`, `canceled`, `running`; `dead`, if it
        says running and nothing runs; `empty`, without a node.
      nodes: state -> how many nodes.
      stopped_at: nodes that failed, were canceled or run.
      model: id of the Model that came of it; None if none did.
      decision: `blessed`, `refused`, or by an approval `forced` or `held back`; empty without one.
      pushed: `{model}/{version}` that it was pushed to; empty without.
      copied: whether that was a new version.
      metric: name of the first metric; empty if none is known.
      value: of this metric, on all evaluation examples; of `train_...` on training examples.
    """

    run: str
    pipeline: str
    created: str
    updated: str
    state: str
    nodes: Mapping[str, int]
    stopped_at: tuple[str, ...]
    model: int | None
    decision: str
    pushed: str
    copied: bool
    metric: str
    value: float | None


def line(run: Run, graph: Graph, last_of_pipeline: bool, root: str) -> RunLine:
    """Returns a run in a line.

    Args:
      run: the run.
      graph: what was executed in it.
      last_of_pipeline: whether no later run of its pipeline began.
      root: the pipeline root, whose lock tells whether a run goes on.
    """
    executions, made = graph.of_run(run.name), graph.outputs_of_run(run.name)
    model = model_of(made)
    decided = next((one for one in reversed(made) if one.type == GATE_DECISION and one.model_id == model), None)
    decided = decided or next((one for one in reversed(made) if one.type == MODEL_BLESSING and one.model_id == model), None)
    pushed = next((one for one in reversed(made) if one.type == PUSHED_MODEL and one.properties.get("pushed") == 1), None)
    place = served.place(pushed) if pushed else None
    metric, value = main_metric([one for one in made if one.id == model or one.model_id == model])
    return RunLine(
        run=run.name,
        pipeline=next((execution.pipeline for execution in executions), run.pipeline),
        created=jsonable(run.created),
        updated=jsonable(max((execution.updated for execution in executions), default=run.created)),
        state=_state(executions, graph, model, last_of_pipeline, root),
        nodes=dict(sorted(Counter(execution.state for execution in executions).items())),
        stopped_at=tuple(one.node or one.type for one in executions if one.state not in (COMPLETE, CACHED)),
        model=model,
        decision=in_a_word(decided.properties) if decided else "",
        pushed=f"{place[0]}/{place[1]}" if place else "",
        copied=pushed is not None and pushed.properties.get("already_served") != 1,
        metric=metric,
        value=value,
    )


def model_of(made: list[Artifact]) -> int | None:
    """Returns the id of the model that a run was about: pushed, or judged, or else the last that it made."""
    for kind in (PUSHED_MODEL, GATE_DECISION, MODEL_BLESSING):
        for one in reversed(made):
            if one.type == kind and (number := one.model_id) is not None:
                return number
    return next((one.id for one in reversed(made) if one.type == MODEL), None)


def main_metric(about: list[Artifact]) -> tuple[str, float | None]:
    """Returns name and value of the first metric that is told of a model.

    Args:
      about: the model and the findings about it, oldest first.
    """
    for kind in (RUN_REPORT, judging.SCORES):
        for finding in reversed([one for one in about if one.type == kind]):
            for name, value in judging.numbers(finding).get(_CANDIDATE, {}).items():
                return name, value
    for model in (one for one in about if one.type == MODEL):
        for name, value in judging.trained_numbers(model).items():
            return name, value
    return "", None


def _state(executions: list[Execution], graph: Graph, model: int | None, last: bool, root: str) -> str:
    states = {execution.state for execution in executions}
    if not states:
        return EMPTY
    for bad in (FAILED, CANCELED):
        if bad in states:
            return bad
    if states & set(UNFINISHED):
        return RUNNING if last and goes_on(root) else DEAD
    makers = [one for one in graph.publications(model) if one in executions] if model is not None else []
    trained_before = makers and all(one.state == CACHED for one in makers)
    return CACHED if trained_before or states == {CACHED} else COMPLETE


def goes_on(root: str) -> bool:
    """Whether a run may go on still: the process that its root's lock tells of is there, or no lock tells of one.

    The lock is not touched: a run that began just now would find it taken.
    """
    try:
        with regular_file(Path(root, locking.ROOT_LOCK)) as file:
            text = file.read().decode("utf-8", "replace")
    except (OSError, ValueError):  # another machine's, or an orchestrator's that has no such lock
        return True
    process = re.match(r"process (\d{1,9})\b", text)
    if process is None:
        return True
    try:
        os.kill(int(process[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
