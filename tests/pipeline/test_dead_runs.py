"""Runs that were killed in the middle of a node: real child processes, real ML Metadata."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from lineage import audit_log
from pipeline import dead_runs, execution
from pipeline.environment import Environment
from pipeline.interruption import EXIT_CODE

ROOT = Path(__file__).parents[2]
REASON = "its process had died"
State = metadata_store_pb2.Execution.State

# A run of Prepare -> Train, as pipeline.local makes it. Train writes half its output, says so, and blocks if it is told to.
PROGRAM = """
import sys, time
from pathlib import Path
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from pipeline import dead_runs, execution
from pipeline.environment import Environment
from pipeline.interruption import EXIT_CODE, end, interruptible
from pipeline.progress import Progress

root, name, block = sys.argv[1:]

@component
def Prepare(examples: OutputArtifact[Examples]):
    (Path(examples.uri) / "examples").touch()

@component
def Train(examples: InputArtifact[Examples], model: OutputArtifact[Model]):
    (Path(model.uri) / "half").touch()
    if block == "block":
        print("training", flush=True)
        time.sleep(600)
    (Path(model.uri) / "whole").touch()

environment = Environment.local(root)
prepare = Prepare()
dag = tfx.dsl.Pipeline(
    pipeline_name=name, pipeline_root=environment.pipeline_root(name), enable_cache=True,
    components=[prepare, Train(examples=prepare.outputs["examples"])],
    metadata_connection_config=environment.metadata_connection(),
)
exit_code = 0
try:
    with interruptible(), execution.exclusive(environment):
        print("cleared", dead_runs.clean(environment, name, "its process had died"))
        try:
            with Progress(sys.stdout) as progress:
                execution.run(dag, environment, f"{name}-{time.time()}", progress, facts={})
        except KeyboardInterrupt:
            dead_runs.clean(environment, name, "interrupted")
            raise
except KeyboardInterrupt:
    exit_code = EXIT_CODE
end(exit_code)
"""


class Runs:
    """Starts runs in one root and looks at what is there."""

    def __init__(self, root: Path) -> None:
        self.environment = Environment.local(str(root))
        self.program = root / "program.py"
        self.program.write_text(PROGRAM)

    def start(self, name: str, block: str = "") -> subprocess.Popen:
        command = [sys.executable, str(self.program), self.environment.root, name, block]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )

    def stop_while_training(self, name: str, number: signal.Signals) -> int:
        """Starts a run, sends it the signal while it trains, and returns its exit code."""
        process = self.start(name, "block")
        assert any(line.startswith("training") for line in process.stdout)
        process.send_signal(number)
        process.communicate(timeout=10)
        return process.returncode

    def finish(self, name: str) -> str:
        process = self.start(name)
        said, _ = process.communicate()
        assert process.returncode == 0
        return said

    def executions(self, name: str) -> list:
        """A pipeline's executions, oldest first."""
        store = mlmd.MetadataStore(self.environment.metadata_connection())
        pipeline = store.get_context_by_type_and_name("pipeline", name)
        return sorted(store.get_executions_by_context(pipeline.id), key=lambda execution: execution.id)

    def states(self, name: str) -> list[str]:
        return [State.Name(execution.last_known_state) for execution in self.executions(name)]

    def files(self, name: str) -> list[str]:
        """A pipeline's files, without TFX's own."""
        root = Path(self.environment.pipeline_root(name))
        paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        return sorted(str(path) for path in paths if ".system" not in path.parts)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@pytest.mark.slow
def test_killed_run_is_cleared_by_the_next_one_which_completes_and_other_pipelines_are_left_alone(runs):
    for name in ("other", "mine"):
        assert runs.stop_while_training(name, signal.SIGKILL) == -signal.SIGKILL
        assert runs.states(name) == ["COMPLETE", "RUNNING"]
    died = runs.executions("mine")[1]
    notes = Path(runs.environment.pipeline_root("mine"), "Train", "model", "notes.txt")
    notes.touch()

    assert runs.finish("mine").splitlines()[0] == "cleared ['Train']"

    assert runs.states("mine") == ["COMPLETE", "CANCELED", "CACHED", "COMPLETE"]
    canceled = runs.executions("mine")[1]
    [told] = [entry.facts for entry in audit_log.read(runs.environment.root + "/audit.jsonl") if entry.event == "canceled"]
    assert (told["pipeline"], told["reason"], list(told["executions"])) == ("mine", REASON, [str(canceled.id)])
    assert (canceled.id, canceled.custom_properties["canceled_because"].string_value) == (died.id, REASON)
    prepare, train = runs.executions("mine")[0].id, runs.executions("mine")[3].id
    outputs = [f"Prepare/examples/{prepare}/examples", *(f"Train/model/{train}/{file}" for file in ("half", "whole"))]
    assert runs.files("mine") == sorted([*outputs, "Train/model/notes.txt"])
    assert not list(Path(runs.environment.pipeline_root("mine")).glob(f"Train/.system/*/{died.id}"))

    assert runs.states("other") == ["COMPLETE", "RUNNING"]
    other, dead = (execution.id for execution in runs.executions("other"))
    assert runs.files("other") == [f"Prepare/examples/{other}/examples", f"Train/model/{dead}/half"]
    assert dead_runs.clean(runs.environment, "other", REASON) == ["Train"]
    assert dead_runs.clean(runs.environment, "other", REASON) == []
    assert runs.states("other") == ["COMPLETE", "CANCELED"]
    assert runs.files("other") == [f"Prepare/examples/{other}/examples"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_canceled_at_once_and_lets_go_of_the_root(runs, number):
    assert runs.stop_while_training("mine", number) == EXIT_CODE
    assert runs.states("mine") == ["COMPLETE", "CANCELED"]
    assert runs.executions("mine")[1].custom_properties["canceled_because"].string_value == "interrupted"
    assert runs.files("mine") == [f"Prepare/examples/{runs.executions('mine')[0].id}/examples"]
    with execution.exclusive(runs.environment):
        assert dead_runs.clean(runs.environment, "mine", REASON) == []


def test_there_is_nothing_to_clear_without_a_database_or_the_pipeline(runs):
    assert dead_runs.clean(runs.environment, "mine", REASON) == []
    assert not Path(runs.environment.metadata_path).exists()
    mlmd.MetadataStore(runs.environment.metadata_connection(), enable_upgrade_migration=True)
    assert dead_runs.clean(runs.environment, "mine", REASON) == []
