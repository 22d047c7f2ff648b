"""After a gc, TFX's cache gives nothing that is gone: real runs, real cache lookups."""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
from pathlib import Path

import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from lineage.places import Places
from lineage.retention import collecting
from lineage.retention.command import gc
from pipeline import execution
from pipeline.environment import Environment

pytestmark = pytest.mark.slow


@component
def Data(examples: OutputArtifact[Examples], text: Parameter[str]):
    (Path(examples.uri) / "text").write_text(text)


@component
def Train(examples: InputArtifact[Examples], model: OutputArtifact[Model]):
    (Path(model.uri) / "model").write_text((Path(examples.uri) / "text").read_text())


@component
def Decide(model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing]):
    (Path(blessing.uri) / "BLESSED").touch()


class Silent:
    def started(self, node_id):
        pass

    def ended(self, result):
        pass


@pytest.fixture
def run(tmp_path):
    """A function: text, name of the run -> node -> state."""
    environment = Environment.local(str(tmp_path / "root"), str(tmp_path / "served"))
    Path(environment.root).mkdir()

    def once(text: str, name: str) -> dict[str, str]:
        data = Data(text=text)
        train = Train(examples=data.outputs["examples"])
        dag = tfx.dsl.Pipeline(
            pipeline_name="tiny",
            pipeline_root=environment.pipeline_root("tiny"),
            components=[data, train, Decide(model=train.outputs["model"])],
            enable_cache=True,
            metadata_connection_config=environment.metadata_connection(),
        )
        return {result.id: result.state for result in execution.run(dag, environment, name, Silent(), facts={})}

    return once


def collected(tmp_path, keep: int) -> None:
    assert gc(["--keep-runs", str(keep), "--apply", "--pipeline-root", str(tmp_path / "root")]) == 0


def test_run_after_a_gc_computes_again_what_is_gone_and_is_cached_then(run, tmp_path) -> None:
    assert set(run("a", "run-1").values()) == {"complete"}
    assert set(run("a", "run-2").values()) == {"cached"}
    collected(tmp_path, 0)
    assert not list((tmp_path / "root" / "tiny" / "Train" / "model").iterdir())
    assert set(run("a", "run-3").values()) == {"complete"}
    assert set(run("a", "run-4").values()) == {"cached"}


def test_what_a_kept_run_took_from_the_cache_of_an_old_one_is_still_there(run, tmp_path) -> None:
    run("a", "run-1")
    run("b", "run-2")
    run("a", "run-3")
    collected(tmp_path, 1)
    assert set(run("a", "run-4").values()) == {"cached"}
    assert set(run("b", "run-5").values()) == {"complete"}


@pytest.mark.parametrize(("step", "states"), [("hidden", "cached"), ("logged", "complete"), ("marked", "complete")])
def test_run_after_a_gc_that_was_broken_off_is_never_given_what_is_hidden(run, tmp_path, step, states) -> None:
    run("a", "run-1")
    environment = Environment.local(str(tmp_path / "root"), str(tmp_path / "served"))
    where = Places(environment.root, environment.serving_root, environment.metadata_path)
    graph = collecting.graph_of(where)
    goes = collecting.what_goes(where.root, graph.of_type("Examples", "Model"), graph, {})

    def stop(done: str) -> None:
        if done == step:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        collecting.collect(where, goes, stop)
    with execution.exclusive(environment):
        again = run("a", "run-2")
    assert {again["Data"], again["Train"]} == {states}
    assert all(Path(one.uri).is_dir() for one in collecting.graph_of(where).artifacts.values() if one.state == "live")
