"""A real ML Metadata store as TFX and the pipeline leave it after many runs, made without running any."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.digests import tree_digest
from lineage.places import Places
from serving import layout

STATES = mlmd.Execution.State
# Node -> input key -> (node, output key), and its outputs: key -> type. As pipeline/dag.py wires them.
NODES: dict[str, tuple[dict[str, tuple[str, str]], dict[str, str]]] = {
    "ExampleGen": ({}, {"examples": "Examples"}),
    "StatisticsGen": ({"examples": ("ExampleGen", "examples")}, {"statistics": "ExampleStatistics"}),
    "SchemaGen": ({"statistics": ("StatisticsGen", "statistics")}, {"schema": "Schema"}),
    "ExampleValidator": (
        {"statistics": ("StatisticsGen", "statistics"), "schema": ("SchemaGen", "schema")},
        {"anomalies": "ExampleAnomalies"},
    ),
    "FederatedSplit": ({"examples": ("ExampleGen", "examples")}, {"federated_examples": "components.FederatedExamples"}),
    "Trainer": ({"examples": ("ExampleGen", "examples")}, {"model": "Model", "model_run": "ModelRun"}),
    "BaselineEvaluator": (
        {"examples": ("ExampleGen", "examples"), "model": ("Trainer", "model")},
        {"evaluation": "ModelEvaluation", "blessing": "ModelBlessing"},
    ),
    "FederatedTrainer": (
        {"federated_examples": ("FederatedSplit", "federated_examples")},
        {"model": "Model", "model_run": "ModelRun"},
    ),
    "ServingCheck": (
        {"examples": ("ExampleGen", "examples"), "model": ("FederatedTrainer", "model")},
        {"serving_report": "components.ServingReport"},
    ),
    "FederatedEvaluator": (
        {"federated_examples": ("FederatedSplit", "federated_examples"), "model": ("FederatedTrainer", "model")},
        {"client_metrics": "components.ClientMetrics"},
    ),
    "PairedEvaluator": (
        {"examples": ("ExampleGen", "examples"), "model": ("FederatedTrainer", "model"), "baseline": ("Trainer", "model")},
        {"paired_scores": "components.PairedScores"},
    ),
    "Evaluator": (
        {"examples": ("ExampleGen", "examples"), "model": ("FederatedTrainer", "model")},
        {"evaluation": "ModelEvaluation"},
    ),
    "DeployGate": (
        {
            "model": ("FederatedTrainer", "model"),
            "serving_report": ("ServingCheck", "serving_report"),
            "client_metrics": ("FederatedEvaluator", "client_metrics"),
            "paired_scores": ("PairedEvaluator", "paired_scores"),
            "evaluation": ("Evaluator", "evaluation"),
        },
        {"decision": "components.GateDecision", "blessing": "ModelBlessing"},
    ),
    "Pusher": (
        {"model": ("FederatedTrainer", "model"), "model_blessing": ("DeployGate", "blessing")},
        {"pushed_model": "PushedModel"},
    ),
}
DATA_NODES = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "FederatedSplit")


def value(given: int | float | str) -> mlmd.Value:
    kind = {str: "string_value", int: "int_value", float: "double_value"}[type(given)]
    return mlmd.Value(**{kind: given})


@dataclass
class StoreWriter:
    """Writes runs as TFX does: contexts for pipeline, run and node, events with keys and indexes, caching as second outputs."""

    path: Path
    clock: itertools.count = field(default_factory=lambda: itertools.count(1_700_000_000_000, 1000))

    def __post_init__(self) -> None:
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.path)
        self.store = metadata_store.MetadataStore(config)
        self._types: dict[tuple[str, str], int] = {}
        self._contexts: dict[tuple[str, str], mlmd.Context] = {}

    def type_id(self, kind: str, name: str) -> int:
        """The id of an artifact, execution or context type, which is made when it is first asked for."""
        if (kind, name) not in self._types:
            proto = {"artifact": mlmd.ArtifactType, "execution": mlmd.ExecutionType, "context": mlmd.ContextType}[kind](
                name=name
            )
            self._types[kind, name] = getattr(self.store, f"put_{kind}_type")(proto)
        return self._types[kind, name]

    def context(self, kind: str, name: str, **facts: int | float | str) -> mlmd.Context:
        """A context, which is made when it is first asked for."""
        if (kind, name) not in self._contexts:
            context = mlmd.Context(type_id=self.type_id("context", kind), name=name)
            for key, fact in facts.items():
                context.custom_properties[key].CopyFrom(value(fact))
            self._contexts[kind, name] = self.store.get_contexts_by_id(self.store.put_contexts([context]))[0]
        return self._contexts[kind, name]

    def artifact(self, kind: str, uri: str, **properties: int | float | str) -> mlmd.Artifact:
        """An artifact that is not in the store yet."""
        made = mlmd.Artifact(type_id=self.type_id("artifact", kind), uri=uri, state=mlmd.Artifact.LIVE)
        for key, fact in properties.items():
            made.custom_properties[key].CopyFrom(value(fact))
        return made

    def execute(
        self,
        pipeline: str,
        run: str,
        node: str,
        inputs: Mapping[str, Sequence[int]] | None = None,
        outputs: Mapping[str, Sequence[mlmd.Artifact | int]] | None = None,
        state: int = STATES.COMPLETE,
        facts: Mapping[str, int | float | str] | None = None,
        **properties: int | float | str,
    ) -> tuple[int, dict[str, list[int]]]:
        """Writes one execution and returns its id and those of its outputs; an output given as a number is there already.

        `facts` are those of the run, `properties` the execution's parameters.
        """
        made = mlmd.Execution(type_id=self.type_id("execution", f"components.{node}"), last_known_state=state)
        for key, fact in properties.items():
            made.custom_properties[key].CopyFrom(value(fact))
        pairs: list[tuple[mlmd.Artifact, mlmd.Event]] = []
        for kind, side in ((mlmd.Event.INPUT, inputs or {}), (mlmd.Event.OUTPUT, outputs or {})):
            for key, artifacts in side.items():
                for index, one in enumerate(artifacts):
                    event = mlmd.Event(type=kind, milliseconds_since_epoch=next(self.clock))
                    event.path.steps.add().key = key
                    event.path.steps.add().index = index
                    there = self.store.get_artifacts_by_id([one])[0] if isinstance(one, int) else one
                    pairs.append((there, event))
        contexts = [
            self.context("pipeline", pipeline),
            self.context("pipeline_run", run, **(facts or {})),
            self.context("node", f"{pipeline}.{node}"),
        ]
        number, artifacts, _ = self.store.put_execution(made, pairs, contexts)
        ids = iter(artifacts)
        sides = [{key: [next(ids) for _ in some] for key, some in (side or {}).items()} for side in (inputs, outputs)]
        return number, sides[1]


@dataclass(frozen=True)
class ManyRuns:
    """A store of many runs and what is served of it.

    Attributes:
      places: the store and the serving root; of the artifacts' directories there is none, as after a move.
      runs: names, oldest first.
      models: name of a run -> id of its federated Model, of those that came so far.
      pushed: version -> id of its Model, of those whose version is there; the last one of each pipeline is live.
    """

    places: Places
    runs: tuple[str, ...]
    models: Mapping[str, int]
    pushed: Mapping[tuple[str, int], int]


def _properties(kind: str, node: str, model: int | None, uri: str, number: int) -> dict[str, Any]:
    digest = hashlib.sha256(uri.encode()).hexdigest()
    about = {"model_id": model or 0, "model_digest": "d" * 64}
    known: dict[str, dict[str, Any]] = {
        "Examples": {
            "span": 0,
            "input_fingerprint": f"{number // 5:064x}",
            "num_examples_train": 1000,
            "num_examples_eval": 200,
        },
        "components.FederatedExamples": {"strategy": "dirichlet", "clients": 20, "examples": 1000, "dropped": 0, "seed": 42},
        "components.GateDecision": {"blessed": int(number % 3 != 2), "passed": int(number % 3 != 2), "checks": 20, **about},
        "components.ServingReport": {"loadable": 1, **about},
    }
    if kind == "Model" and node == "FederatedTrainer":
        known["Model"] = {"algorithm": "fedavg", "rounds": 40, "clients": 20, "train_accuracy": 0.9 + number / 10_000}
    if kind == "ModelBlessing" and node == "DeployGate":
        known["ModelBlessing"] = {"blessed": int(number % 3 != 2), "current_model_id": model or 0}
    return {"digest": digest, "tfx_version": "1.15.1", **known.get(kind, {})}


class _Many:
    """Runs of two pipelines in turn: of ten, two take their data from the cache, one in three is refused, some fail or die."""

    def __init__(self, folder: Path, amount: int) -> None:
        self.root, self.serving = folder / "root", folder / "models"
        self.root.mkdir()
        self.serving.mkdir()
        memory = Path("/dev/shm")  # thousands of commits, each of which a disk would be waited for
        self.written = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else folder))
        self.writer = StoreWriter(self.written / "metadata.sqlite")
        self.amount = amount
        self.models: dict[str, int] = {}
        self.pushed: dict[tuple[str, int], int] = {}
        self.cached: dict[str, dict[tuple[str, str], int]] = {"digits": {}, "reviews": {}}

    def build(self) -> ManyRuns:
        runs = tuple(self._run(number) for number in range(self.amount))
        shutil.move(self.writer.path, self.root / "metadata.sqlite")
        self.written.rmdir()
        places = Places(str(self.root), str(self.serving), str(self.root / "metadata.sqlite"))
        return ManyRuns(places, runs, self.models, self.pushed)

    def _run(self, number: int) -> str:
        pipeline = ("digits", "reviews")[number % 2]
        run = f"20260101-{number:06d}.000000"
        facts = {
            "config_digest": f"{number // 10:064x}",
            "seed": 42,
            "code_version": f"{number // 20:016x}",
            "python": "3.10.13",
        }
        made: dict[tuple[str, str], int] = {}
        for node, (wanted, outputs) in NODES.items():
            inputs = {key: [made[source]] for key, source in wanted.items()}
            if node in DATA_NODES and number % 10 in (6, 7) and self.cached[pipeline]:
                there = {key: [self.cached[pipeline][node, key]] for key in outputs}
                self.writer.execute(pipeline, run, node, inputs, there, STATES.CACHED, facts)
                made |= {(node, key): ids[0] for key, ids in there.items()}
                continue
            if node == "FederatedTrainer" and number % 40 in (17, 33):
                state = STATES.FAILED if number % 40 == 17 else STATES.RUNNING
                self.writer.execute(pipeline, run, node, inputs, {}, state, facts, rounds=40)
                return run
            made |= self._complete(pipeline, run, node, inputs, outputs, facts, made.get(("FederatedTrainer", "model")), number)
        self.cached[pipeline] = {key: artifact for key, artifact in made.items() if key[0] in DATA_NODES}
        self.models[run] = made["FederatedTrainer", "model"]
        return run

    def _complete(
        self,
        pipeline: str,
        run: str,
        node: str,
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, str],
        facts: Mapping[str, Any],
        model: int | None,
        number: int,
    ) -> dict[tuple[str, str], int]:
        folder = f"{self.root}/{pipeline}/{node}"
        artifacts = {}
        for key, kind in outputs.items():
            uri = f"{folder}/{key}/{number}"
            properties = _properties(kind, node, model, uri, number)
            if kind == "PushedModel":
                properties = self._push(pipeline, model or 0, number)
            artifacts[key] = [self.writer.artifact(kind, uri, **properties)]
        _, made = self.writer.execute(
            pipeline, run, node, inputs, artifacts, STATES.COMPLETE, facts, code_version="c0de", seed=42
        )
        return {(node, key): ids[0] for key, ids in made.items()}

    def _push(self, pipeline: str, model: int, number: int) -> dict[str, Any]:
        if number % 3 == 2:
            return {"pushed": 0, "model_id": model, "reason": f"model {model} was not blessed"}
        version = 1000 + number
        facts = {"pushed": 1, "live": 1, "model_id": model, "pushed_version": str(version)}
        destination = str(self.serving / pipeline / str(version))
        if number < self.amount - 12:  # removed since
            return {**facts, "digest": f"{number:064x}", "pushed_destination": destination}
        export = self.root / "export"
        export.mkdir()
        (export / "saved_model.pb").write_bytes(b"model %d" % number)
        published = layout.publish(export, self.serving / pipeline, expected_digest=tree_digest(export))
        shutil.rmtree(export)
        self.pushed[pipeline, published.version] = model
        there = {"pushed_version": str(published.version), "pushed_destination": published.path, "digest": published.digest}
        return {**facts, **there, "audit_digest": published.audit_digest}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever needs the many runs waits seconds for them."""
    for item in items:
        if "two_hundred_runs" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def two_hundred_runs(tmp_path_factory: pytest.TempPathFactory) -> ManyRuns:
    """200 runs of two pipelines in one store, with served versions; to be read only."""
    return _Many(tmp_path_factory.mktemp("many"), 200).build()


@pytest.fixture
def store_writer(tmp_path: Path) -> StoreWriter:
    """An empty real store to write executions into as TFX does."""
    return StoreWriter(tmp_path / "metadata.sqlite")


@pytest.fixture(scope="session")
def new_store() -> type[StoreWriter]:
    """Makes stores for fixtures that more than one test uses: `new_store(path of the sqlite file)`."""
    return StoreWriter
