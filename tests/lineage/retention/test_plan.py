"""What a plan never holds, on random graphs."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.graph import CACHED, COMPLETE, FAILED, RUNNING, Artifact, Execution, Graph, Run, Use
from lineage.retention import plan
from lineage.retention.served import Version

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
TYPES = ("Examples", "Model", "ModelEvaluation", "components.GateDecision", "PushedModel")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Runs whose executions take any artifacts of before, make some, or take some from the cache."""
    artifacts: dict[int, Artifact] = {}
    executions: dict[int, Execution] = {}
    uses: list[Use] = []
    runs = {name: Run(number, name, f"p{number % 2}", {}, NOW) for number, name in enumerate(("a", "b", "c", "d"), 1)}
    for number in range(1, draw(st.integers(1, 16)) + 1):
        run = draw(st.sampled_from(sorted(runs)))
        state = draw(st.sampled_from((COMPLETE, COMPLETE, COMPLETE, CACHED, FAILED, RUNNING)))
        executions[number] = Execution(number, "node", "node", runs[run].pipeline, run, state, {}, NOW, NOW)
        for one in draw(st.sets(st.sampled_from(sorted(artifacts)), max_size=3)) if artifacts else ():
            uses.append(Use(number, one, draw(st.sampled_from(("model", "served", "examples"))), 0, False, NOW))
        if state == CACHED and artifacts:
            uses.append(Use(number, draw(st.sampled_from(sorted(artifacts))), "out", 0, True, NOW))
        for index in range(draw(st.integers(0, 2)) if state == COMPLETE else 0):
            one = len(artifacts) + 1
            kind, there = draw(st.sampled_from(TYPES)), draw(st.sampled_from(("live", "live", "deleted")))
            artifacts[one] = Artifact(one, kind, f"/r/p/n/o/{one}", there, "", {}, NOW)
            uses.append(Use(number, one, "out", index, True, NOW))
    return Graph(artifacts, executions, tuple(uses), runs)


def trained_on(graph: Graph, artifact: int) -> set[int]:
    """What an artifact was made from, by the letter: inputs of what made it, but for those it was compared with."""
    found, ahead = set(), [artifact]
    while ahead:
        one = ahead.pop()
        if one in found:
            continue
        found.add(one)
        maker = graph.producer(one)
        for key, several in (graph.inputs(maker.id) if maker else {}).items():
            found.update(other.id for other in several if key == "served")
            ahead.extend(other.id for other in several if key != "served")
    return found


def version(artifact: int, *, live: bool) -> Version:
    return Version("m", artifact, f"/m/{artifact}", (artifact,), (), live, (), False, True)


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), data=st.data())
def test_nothing_that_a_served_version_or_a_kept_run_depends_on_may_go(graph: Graph, data: st.DataObject) -> None:
    known = sorted(graph.artifacts)
    served = data.draw(st.sets(st.sampled_from(known), max_size=2)) if known else set()
    newest, named = data.draw(st.integers(0, 2)), data.draw(st.sets(st.sampled_from(sorted(graph.runs)), max_size=1))
    runs = plan.kept_runs(graph, newest, None, named)
    found = plan.planned(graph, plan.roots_of(graph, [version(one, live=True) for one in served], runs))
    going = {one.id for one in found.remove}
    for one in served:
        assert not going & trained_on(graph, one)
    kept = {name for name in graph.runs if name in named} | {e.run for e in graph.executions.values() if e.state == RUNNING}
    for pipeline in ("p0", "p1"):
        kept.update(sorted((name for name, run in graph.runs.items() if run.pipeline == pipeline), reverse=True)[:newest])
    for execution in graph.executions.values():
        if execution.run in kept:
            for one in (other for several in graph.outputs(execution.id).values() for other in several):
                assert not going & trained_on(graph, one.id)
    assert not any(graph.artifacts[one].type in plan.RECORDS or graph.artifacts[one].state != "live" for one in going)


@settings(max_examples=60, deadline=None)
@given(graph=graphs())
def test_every_live_artifact_goes_or_stays_for_a_reason(graph: Graph) -> None:
    found = plan.planned(graph, plan.roots_of(graph, [], plan.kept_runs(graph, 1, None, ())))
    live = {one.id for one in graph.artifacts.values() if one.state == "live"}
    assert {one.id for one in found.remove} | found.kept.keys() == live
    assert not {one.id for one in found.remove} & found.kept.keys()
    assert all(found.kept.values())


@given(graph=graphs())
@settings(max_examples=30, deadline=None)
def test_only_artifacts_of_the_named_pipeline_go(graph: Graph) -> None:
    found = plan.planned(graph, {}, "p0")
    assert all((maker := graph.producer(one.id)) and maker.pipeline == "p0" for one in found.remove)
