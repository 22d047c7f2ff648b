"""A small pipeline's runs in a real ML Metadata store, with the directories that they leave; each test adds its trap."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.digests import tree_digest
from lineage.places import Places
from serving import layout

STATES = mlmd.Execution.State
FACTS = {
    "config_digest": "c0",
    "seed": 42,
    "code_version": "5eed",
    "git_commit": "abc123",
    "lock_digest": "10c",
    "python": "3.10.13",
}


class Pipelines:
    """Writes runs. Digests, decisions and serving directory are what the product itself would leave."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self.writer, self.root, self.serving = writer, folder / "root", folder / "models"
        self.source = folder / "data" / "reviews"
        for made in (self.root, self.serving, self.source):
            made.mkdir(parents=True)
        self.places = Places(str(self.root), str(self.serving), str(writer.path))
        self.count = 0

    def put(
        self, run: str, node: str, inputs: dict[str, list[int]], outputs: Mapping[str, Any], **options: Any
    ) -> dict[str, int]:
        """Executes a node; of each output a type, content and properties. Returns output key -> artifact id."""
        self.count += 1
        artifacts = {}
        for key, given in outputs.items():
            if isinstance(given, int):
                artifacts[key] = [given]
                continue
            kind, content, properties = given
            uri = self.root / "p" / node / key / str(self.count)
            for name, text in content.items():
                (uri / name).parent.mkdir(parents=True, exist_ok=True)
                (uri / name).write_text(text, encoding="utf-8")
            digest = {"digest": tree_digest(uri)} if content else {}
            artifacts[key] = [self.writer.artifact(kind, str(uri), **{**digest, **properties})]
        pipeline = options.pop("pipeline", "p")
        _, made = self.writer.execute(pipeline, run, node, inputs, artifacts, **{"facts": FACTS, **options})
        return {key: ids[0] for key, ids in made.items()}

    def data(self, run: str, text: str = "1", **options: Any) -> dict[str, int]:
        """ExampleGen to FederatedSplit; returns examples, schema, anomalies and federated_examples."""
        config = json.dumps({"splits": [{"name": "all", "pattern": "*.csv"}]})
        counts = {"num_examples_train": 90, "num_examples_eval": 10, "span": 3, "input_fingerprint": f"f{text}"}
        source = {"input_base": str(self.source), "input_config": config}
        made = self.put(run, "ExampleGen", {}, {"examples": ("Examples", {"data": text}, counts)}, **source, **options)
        examples = {"examples": [made["examples"]]}
        made |= self.put(run, "StatisticsGen", examples, {"statistics": ("ExampleStatistics", {"s": text}, {})}, **options)
        statistics = {"statistics": [made["statistics"]]}
        made |= self.put(run, "InferredSchema", statistics, {"schema": ("Schema", {"schema.pbtxt": text}, {})}, **options)
        checked = {**statistics, "schema": [made["schema"]]}
        found = ("ExampleAnomalies", {"a": text}, {"blessed": json.dumps({"train": 1, "eval": 1})})
        made |= self.put(run, "ExampleValidator", checked, {"anomalies": found}, **options)
        told = {"strategy": "by_key", "clients": 4, "examples": 90, "dropped": 0, "seed": 7}
        divided = ("components.FederatedExamples", {"partition.json": text}, told)
        parameters = json.dumps({"key": "user", "min_examples": 1})
        made |= self.put(
            run,
            "FederatedSplit",
            examples,
            {"federated_examples": divided},
            strategy="by_key",
            parameters=parameters,
            **options,
        )
        return made

    def cached(self, run: str, before: Mapping[str, int]) -> None:
        """The nodes of `data` once more, answered from the cache."""
        examples = {"examples": [before["examples"]]}
        self.put(run, "ExampleGen", {}, {"examples": before["examples"]}, state=STATES.CACHED)
        self.put(run, "StatisticsGen", examples, {"statistics": before["statistics"]}, state=STATES.CACHED)
        self.put(
            run, "InferredSchema", {"statistics": [before["statistics"]]}, {"schema": before["schema"]}, state=STATES.CACHED
        )
        self.put(run, "FederatedSplit", examples, {"federated_examples": before["federated_examples"]}, state=STATES.CACHED)

    def train(self, run: str, split: int, base: int | None = None, **properties: Any) -> int:
        """FederatedTrainer; returns the Model."""
        settings = json.dumps(
            {"rounds": 5, "clients_per_round": 2, "algorithm": "fedavg", "privacy": None, "nested": {"on": True}}
        )
        inputs = {"federated_examples": [split], **({"base_model": [base]} if base else {})}
        told = {"algorithm": "fedavg", "rounds": 5, "clients": 4, "sampling_digest": "5a", "train_accuracy": 0.9, **properties}
        content = {"Format-Serving/saved_model.pb": f"model {self.count}"}
        code = {"module": "examples.m", "module_digest": "d1", "code_version": "c1"}
        made = self.put(
            run, "FederatedTrainer", inputs, {"model": ("Model", content, told)}, settings=settings, seed=42, **code
        )
        return made["model"]

    def judge(
        self, run: str, model: int, examples: int, served: int | None = None, accuracy: float = 0.9, blessed: bool = True
    ) -> int:
        """PairedEvaluator and DeployGate; returns the ModelBlessing."""
        summary = {"metrics": ["Accuracy"], "means": {"candidate": {"Accuracy": accuracy}}, "examples": 10}
        about = {"model_id": model, "served_id": served or 0}
        inputs = {"model": [model], "examples": [examples], **({"served": [served]} if served else {})}
        scores = ("components.PairedScores", {"summary.json": json.dumps(summary)}, about)
        found = self.put(run, "PairedEvaluator", inputs, {"paired_scores": scores})
        verdict = "passed" if blessed else "failed"
        check = {"id": "value", "what": "Accuracy", "observed": str(accuracy), "required": "at least 0.8", "forceable": True}
        content = json.dumps(
            {"blessed": blessed, "passed": blessed, "checks": [{**check, "judge": "J", "verdict": verdict}], "override": None}
        )
        self.decision_uri = self.root / "p" / "DeployGate" / "decision" / str(self.count + 1)
        told = {"blessed": int(blessed), "passed": int(blessed), "model_id": model, "failed_checks": "" if blessed else "value"}
        bound = {"decision_digest": hashlib.sha256(content.encode()).hexdigest(), "decision_uri": str(self.decision_uri)}
        decided = self.put(
            run,
            "DeployGate",
            {"model": [model], "paired_scores": [found["paired_scores"]]},
            {
                "decision": ("components.GateDecision", {"decision.json": content}, told),
                "blessing": ("ModelBlessing", {"B": "1"}, {"blessed": int(blessed), "current_model_id": model, **bound}),
            },
        )
        return decided["blessing"]

    def push(self, run: str, model: int, blessing: int, name: str = "p", **facts: Any) -> int:
        """Pusher; returns the version."""
        export = Path(self.writer.store.get_artifacts_by_id([model])[0].uri) / "Format-Serving"
        published = layout.publish(export, self.serving / name)
        told = {
            "pushed": 1,
            "live": 1,
            "already_served": int(not published.pushed),
            "model_id": model,
            "pushed_version": str(published.version),
            "pushed_destination": published.path,
            "digest": published.digest,
            "decision_uri": str(self.decision_uri),
            **facts,
        }
        inputs = {"model": [model], "model_blessing": [blessing]}
        self.put(run, "Pusher", inputs, {"pushed_model": ("PushedModel", {"pushed.json": "{}"}, told)})
        return published.version

    def whole(self, run: str, base: int | None = None, served: int | None = None, **data: Any) -> dict[str, int]:
        """A run from data to push; returns what it made, with `version`."""
        made = self.data(run, **data)
        made["model"] = self.train(run, made["federated_examples"], base)
        made["blessing"] = self.judge(run, made["model"], made["examples"], served)
        made["version"] = self.push(run, made["model"], made["blessing"])
        return made

    def judged_again(self, run: str, before: Mapping[str, int], blessed: bool = False) -> None:
        """A run whose training comes from the cache, and whose gate judges the same model anew."""
        self.cached(run, before)
        trained = {"federated_examples": [before["federated_examples"]]}
        self.put(run, "FederatedTrainer", trained, {"model": before["model"]}, state=STATES.CACHED)
        self.judge(run, before["model"], before["examples"], blessed=blessed)

    def remove(self, artifact: int) -> None:
        """Deletes an artifact's directory."""
        shutil.rmtree(self.writer.store.get_artifacts_by_id([artifact])[0].uri)


@pytest.fixture(scope="module")
def two_runs(new_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    """Two whole runs, r-1 and r-2; to be read only."""
    folder = tmp_path_factory.mktemp("two")
    made = Pipelines(new_store(folder / "metadata.sqlite"), folder / "places")
    made.whole("r-1", text="1")
    made.whole("r-2", text="2")
    return made


@pytest.fixture(scope="module")
def again(new_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    """r-1 pushed a model, r-2 refused the same, r-3 blessed it once more; to be read only."""
    folder = tmp_path_factory.mktemp("again")
    made = Pipelines(new_store(folder / "metadata.sqlite"), folder / "places")
    first = made.whole("r-1")
    made.judged_again("r-2", first)
    made.judged_again("r-3", first, blessed=True)
    return made


@pytest.fixture
def pipelines(store_writer: Any, tmp_path: Path) -> Pipelines:
    return Pipelines(store_writer, tmp_path / "places")
