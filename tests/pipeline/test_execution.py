"""Tiny real TFX pipelines, run by pipeline.execution on a real ML Metadata file."""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
import shutil
import subprocess
import sys
from pathlib import Path

import ml_metadata as mlmd
import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, PushedModel

from errors import ConfigError, DataError, FedtfxError, IntegrityError
from lineage import audit_log
from lineage.digests import tree_digest
from pipeline import execution
from pipeline.environment import Environment
from pipeline.execution import NodeFailed, NodeResult

FAILURES = {"data": DataError("column 'age' is missing; add it."), "defect": ValueError("boom")}


@component
def Source(examples: OutputArtifact[Examples], text: Parameter[str]):
    (Path(examples.uri) / "text").write_text(text)


@component
def Left(examples: InputArtifact[Examples], model: OutputArtifact[Model], failure: Parameter[str]):
    if failure:
        raise FAILURES[failure]
    (Path(model.uri) / "model").touch()


@component
def Right(examples: InputArtifact[Examples], model: OutputArtifact[Model]):
    (Path(model.uri) / "model").touch()


@component
def Join(left: InputArtifact[Model], right: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing]):
    (Path(blessing.uri) / "BLESSED").touch()


@component
def Orphan(blessing: InputArtifact[ModelBlessing], model: OutputArtifact[Model]):
    (Path(model.uri) / "model").touch()


class DigestingExecutor(BaseExecutor):
    """Publishes a folder with its digest, and what a PushedModel says of another folder."""

    def Do(self, input_dict, output_dict, exec_properties):
        [examples], [pushed] = output_dict["examples"], output_dict["pushed"]
        (Path(examples.uri) / "Split-train").mkdir()
        for artifact, name in ((examples, "Split-train/a.gz"), (pushed, "pushed.json")):
            (Path(artifact.uri) / name).write_text("a")
            artifact.set_string_custom_property("digest", tree_digest(examples.uri))


class DigestingSpec(ComponentSpec):
    PARAMETERS, INPUTS = {}, {}
    OUTPUTS = {"examples": ChannelParameter(type=Examples), "pushed": ChannelParameter(type=PushedModel)}


class Digesting(BaseComponent):
    SPEC_CLASS = DigestingSpec
    EXECUTOR_SPEC = ExecutorClassSpec(DigestingExecutor)

    def __init__(self):
        channels = {"examples": tfx.dsl.Channel(type=Examples), "pushed": tfx.dsl.Channel(type=PushedModel)}
        super().__init__(DigestingSpec(**channels))


@component
def Undecided(blessing: OutputArtifact[ModelBlessing]):
    """As an Evaluator without thresholds: nothing is written."""


class Tampered(tfx.dsl.experimental.ResolverStrategy):
    """Finds altered bytes, as the resolver of the served model may."""

    def resolve_artifacts(self, store, input_dict):
        raise IntegrityError("the served model was altered; push it again.")


class Notes:
    """A Watcher that remembers."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.results: list[NodeResult] = []

    def started(self, node_id: str) -> None:
        self.begun.append(node_id)

    def ended(self, result: NodeResult) -> None:
        self.results.append(result)

    @property
    def states(self) -> dict[str, str]:
        return {result.id: result.state for result in self.results}


class Runs:
    """Runs variants of one pipeline in one root."""

    def __init__(self, root: Path) -> None:
        self.environment = Environment.local(str(root / "root"), str(root / "served"))
        Path(self.environment.root).mkdir()
        self.count = 0

    def run(self, components: list, *, again_from: str | None = None, facts: dict | None = None) -> Notes:
        """Returns what the watcher was told; it is there as `self.notes` even if the run fails."""
        self.count, self.notes = self.count + 1, Notes()
        dag = tfx.dsl.Pipeline(
            pipeline_name="tiny",
            pipeline_root=self.environment.pipeline_root("tiny"),
            components=components,
            enable_cache=self.environment.cache,
            metadata_connection_config=self.environment.metadata_connection(),
        )
        run_id = f"run-{self.count}"
        results = execution.run(dag, self.environment, run_id, self.notes, facts=facts or {}, again_from=again_from)
        assert results == self.notes.results
        return self.notes

    @property
    def store(self) -> mlmd.MetadataStore:
        return mlmd.MetadataStore(self.environment.metadata_connection())


def diamond(text: str = "a", failure: str = "") -> list:
    """Source -> Left, Right -> Join."""
    source = Source(text=text)
    left = Left(examples=source.outputs["examples"], failure=failure)
    right = Right(examples=source.outputs["examples"])
    return [source, left, right, Join(left=left.outputs["model"], right=right.outputs["model"])]


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_nodes_complete_at_first_and_are_cached_when_nothing_changed(runs):
    first, again = runs.run(diamond()), runs.run(diamond())
    assert first.begun == again.begun
    assert (first.begun[0], set(first.begun[1:3]), first.begun[3]) == ("Source", {"Left", "Right"}, "Join")
    assert set(first.states.values()) == {"complete"}
    assert set(again.states.values()) == {"cached"}
    assert all(result.seconds > 0 for result in first.results)
    recorded = {found.id for found in runs.store.get_executions()}
    assert {result.execution_id for result in first.results + again.results} == recorded


def test_log_of_runs_tells_every_node_of_every_run(runs):
    runs.run(diamond(), facts={"seed": 42})
    with pytest.raises(NodeFailed):
        runs.run(diamond(text="b", failure="data"))
    told = audit_log.read(Path(runs.environment.root, "audit.jsonl"))
    assert [(entry.event, entry.facts.get("seed")) for entry in told if entry.event != "node"] == [
        ("run_started", 42),
        ("run_started", None),
    ]
    states = {(entry.facts["run"], entry.facts["node"]): entry.facts["state"] for entry in told if entry.event == "node"}
    assert {states["run-1", node] for node in ("Source", "Left", "Right", "Join")} == {"complete"}
    assert (states["run-2", "Source"], states["run-2", "Left"]) == ("complete", "failed")


def test_nothing_runs_without_the_log_of_runs(runs):
    Path(runs.environment.root, "audit.jsonl").mkdir()
    with pytest.raises(FedtfxError, match=r"audit\.jsonl: expected the log of runs, got a file that cannot be read"):
        runs.run(diamond())
    assert runs.notes.begun == []
    assert not Path(runs.environment.metadata_path).exists()


def test_again_from_executes_the_node_and_what_depends_on_it_and_nothing_else(runs):
    runs.run(diamond())
    again = runs.run(diamond(), again_from="Left")
    assert again.states == {"Source": "cached", "Left": "complete", "Right": "cached", "Join": "complete"}


def test_again_from_an_unknown_node_is_refused_with_a_guess_before_anything_runs(runs):
    with pytest.raises(ConfigError) as refused:
        runs.run(diamond(), again_from="left")
    assert str(refused.value) == "--from: no node 'left'; did you mean 'Left'? known: Source, Left, Right, Join"
    assert runs.notes.begun == []
    assert runs.store.get_executions() == []


def test_exception_in_a_node_stops_the_run_and_is_the_cause(runs):
    with pytest.raises(NodeFailed) as failed:
        runs.run(diamond(failure="data"))
    assert (failed.value.node_id, str(failed.value)) == ("Left", "Left failed")
    assert isinstance(failed.value.cause, DataError)
    assert runs.notes.results[-1].id == "Left"
    assert runs.notes.results[-1].state == "failed"
    assert "Join" not in runs.notes.begun
    assert not list(Path(runs.environment.root).glob("tiny/Left/model/*"))


def test_failed_run_goes_on_where_it_failed_once_the_cause_is_mended(runs):
    with pytest.raises(NodeFailed):
        runs.run(diamond(failure="defect"))
    mended = runs.run(diamond())
    assert mended.states["Source"] == "cached"
    assert (mended.states["Left"], mended.states["Join"]) == ("complete", "complete")


def test_node_whose_inputs_cannot_be_resolved_fails_the_run(runs):
    nobody = tfx.dsl.Channel(type=ModelBlessing, producer_component_id="Nobody")
    with pytest.raises(NodeFailed, match=r"^Orphan did not complete$") as failed:
        runs.run([Orphan(blessing=nobody)])
    assert failed.value.cause is None
    assert runs.notes.states == {"Orphan": "failed"}


def test_error_in_a_resolver_fails_the_run_and_keeps_its_words(runs):
    resolver = tfx.dsl.Resolver(strategy_class=Tampered, model=tfx.dsl.Channel(type=Model)).with_id("ServedModel")
    with pytest.raises(NodeFailed) as failed:
        runs.run([resolver])
    assert "errors.IntegrityError: the served model was altered; push it again." in failed.value.recorded
    assert runs.notes.states == {"ServedModel": "failed"}


def test_skipped_node_is_no_success(runs):
    source = Source(text="a")
    with tfx.dsl.Cond(source.outputs["examples"].future()[0].custom_property("wanted") == "yes"):
        right = Right(examples=source.outputs["examples"])
    with pytest.raises(NodeFailed):
        runs.run([source, right])
    assert runs.notes.states == {"Source": "complete", "Right": "failed"}


def alter(folder: Path) -> None:
    (folder / "Split-train" / "a.gz").write_text("b")


def add(folder: Path) -> None:
    (folder / "Split-train" / "b.gz").touch()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def link(folder: Path) -> None:
    (folder / "Split-train" / "b.gz").symlink_to("a.gz")


@pytest.mark.parametrize("damage", [alter, add, empty, link])
def test_cached_output_with_another_digest_than_the_published_one_fails_its_node(runs, damage):
    runs.run([Digesting()])
    (folder,) = Path(runs.environment.root).glob("tiny/Digesting/examples/*")
    published = tree_digest(folder)
    damage(folder)
    with pytest.raises(NodeFailed, match=r"^Digesting failed$") as failed:
        runs.run([Digesting()])
    assert isinstance(failed.value.cause, IntegrityError)
    told = str(failed.value.cause)
    assert told.startswith(f"Digesting's examples at {folder} is not what was published (digest {published}, found ")
    assert told.endswith("); run again with --from Digesting")
    assert "\n" not in told
    assert runs.notes.states == {"Digesting": "failed"}
    assert runs.run([Digesting()], again_from="Digesting").states == {"Digesting": "complete"}
    assert runs.run([Digesting()]).states == {"Digesting": "cached"}


def test_digest_of_a_pushed_model_is_not_that_of_its_record(runs):
    runs.run([Digesting()])
    (folder,) = Path(runs.environment.root).glob("tiny/Digesting/pushed/*")
    assert tree_digest(folder) != runs.store.get_artifacts_by_type("PushedModel")[0].custom_properties["digest"].string_value
    assert runs.run([Digesting()]).states == {"Digesting": "cached"}


def test_cached_output_without_a_digest_that_was_emptied_fails_its_node(runs):
    runs.run(diamond())
    (folder,) = Path(runs.environment.root).glob("tiny/Left/model/*")
    empty(folder)
    with pytest.raises(NodeFailed) as failed:
        runs.run(diamond())
    words = f"Left's model at {folder} is not what was published (no file is left there); run again with --from Left"
    assert (type(failed.value.cause), str(failed.value.cause)) == (IntegrityError, words)
    assert "Join" not in runs.notes.begun
    assert runs.run(diamond(), again_from="Left").states["Join"] == "complete"


def test_blessing_without_a_decision_may_be_empty(runs):
    runs.run([Undecided()])
    assert runs.run([Undecided()]).states == {"Undecided": "cached"}


def test_facts_are_custom_properties_of_the_run(runs):
    runs.run(diamond()[:1], facts={"git_commit": "abc+changes", "seed": 42})
    properties = runs.store.get_context_by_type_and_name("pipeline_run", "run-1").custom_properties
    assert properties["git_commit"].string_value == "abc+changes"
    assert properties["seed"].int_value == 42


def test_executions_of_a_run_are_not_those_of_another(runs):
    for text in ("a", "b"):
        runs.run(diamond(text)[:1])
    found = [execution.executions_of_run(runs.store, f"run-{number}") for number in (1, 2, 3)]
    assert [sorted(nodes) for nodes in found] == [["Source"], ["Source"], []]
    assert found[0]["Source"].id < found[1]["Source"].id


HOLDER = """
import sys, time
from pipeline import execution
from pipeline.environment import Environment
with execution.exclusive(Environment.local(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the root."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_run_is_told_who_holds_the_root_and_gets_it_when_the_holder_was_killed(holder, tmp_path):
    environment = Environment.local(str(tmp_path))
    with pytest.raises(FedtfxError) as refused, execution.exclusive(environment):
        pass
    told = str(refused.value)
    assert "\n" not in told
    assert f"another run (process {holder.pid}, since 2" in told
    assert "--pipeline-root" in told
    holder.kill()
    holder.wait()
    with execution.exclusive(environment):
        pass


def test_root_can_be_held_again_after_it_was_let_go(tmp_path):
    environment = Environment.local(str(tmp_path / "new" / "root"))
    for _ in range(2):
        with execution.exclusive(environment):
            pass


def test_root_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    told = r"^--pipeline-root: cannot write to .*file \(File exists\); give another folder\.$"
    with pytest.raises(ConfigError, match=told), execution.exclusive(Environment.local(str(tmp_path / "file"))):
        pass
