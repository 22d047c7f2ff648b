"""A bank's models, sent through every judge, DeployGate and Pusher, with a real store and serving directory.

Twenty-four banks with 25 customers each. `x` tells the label without a mistake, `z` in 85 of 100 cases; a fifth of the
customers live in the south, and every eighth bank is odd. Models are given by their weights, so that what they get right is
known.
"""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model

from components.example_gens.component import example_gen
from components.federated_split.component import FederatedSplit
from lineage.digests import tree_digest
from modeling import contract
from modeling.export import export
from pipeline import dag, decision, execution
from pipeline.config import PipelineConfig, from_dict
from pipeline.environment import Environment
from pipeline.summary import outputs_of
from serving import layout

MODULE = """
import tensorflow as tf

LABEL_KEY = "default"
NUMBERS = ["x", "z", "south", "odd"]
FEATURES = {name: tf.io.FixedLenFeature([], tf.float32) for name in NUMBERS}
FEATURES |= {name: tf.io.FixedLenFeature([], tf.string) for name in ("bank", "region")}
FEATURES[LABEL_KEY] = tf.io.FixedLenFeature([], tf.int64)
CLASS_LABELS = ["no", "yes"]


def preprocess(raw):
    x, z, south, odd = (raw[name] for name in NUMBERS)
    return tf.stack([x, z, x * south, x * odd], axis=-1)


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([4]), tf.keras.layers.Dense(2)])


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return [tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def postprocess(outputs):
    return {"scores": tf.nn.softmax(outputs)}


def run_fn(fn_args):
    from modeling import centralised

    centralised.train(fn_args, __name__)
"""
READS_A_FILE = MODULE.replace(
    "tf.nn.softmax(outputs)",
    "tf.nn.softmax(outputs) + 0.0 * tf.cast(tf.strings.length(tf.io.read_file('/etc/hostname')), tf.float32)",
)
SLOW = MODULE.replace(
    "tf.nn.softmax(outputs)",
    "tf.nn.softmax(outputs) + 0.0 * tf.reduce_sum(tf.while_loop(lambda i, m: i < 100,"
    " lambda i, m: (i + 1, tf.tanh(tf.matmul(m, m))), (0, tf.random.stateless_normal([500, 500], [1, 2])))[1])",
)

# Has no answer for customers whose x is large: it looks them up in a table that is too short.
PICKY = MODULE.replace(
    "tf.nn.softmax(outputs)",
    "tf.nn.softmax(outputs) * tf.gather([[1.0]], tf.cast(tf.reduce_max(tf.abs(outputs), axis=-1) > 2.9, tf.int64))",
)


@component
def GivenModel(model: OutputArtifact[Model], source: Parameter[str], facts: Parameter[str]):
    """A trainer that has trained already: its Model is a copy of `source`, with `facts` for custom properties."""
    shutil.copytree(source, os.path.join(model.uri, "Format-Serving"), dirs_exist_ok=True)
    for key, value in json.loads(facts).items():
        setters = {
            float: model.set_float_custom_property,
            int: model.set_int_custom_property,
            str: model.set_string_custom_property,
        }
        setters[type(value)](key, value)
    model.set_string_custom_property("digest", tree_digest(model.uri))


class Silent:
    """Watches nothing."""

    def started(self, node_id: str) -> None: ...

    def ended(self, result: execution.NodeResult) -> None: ...


@dataclass
class Outcome:
    """What a run of the judges and the gate left."""

    decision: decision.Decision
    pushed: bool
    states: Mapping[str, str]
    store: Any

    def check(self, check_id: str) -> Mapping[str, Any]:
        found = [check for check in self.decision.checks if check["id"] == check_id]
        assert found, [check["id"] for check in self.decision.checks]
        return found[0]

    @property
    def failed(self) -> list[str]:
        return [check["id"] for check in self.decision.checks if check["verdict"] == "failed"]

    def __str__(self) -> str:
        return "\n".join(f"{check['verdict']:8} {check['id']}: {decision.in_words(check)}" for check in self.decision.checks)


class Bank:
    """Data, a module, a pipeline root and a serving directory; `run` sends a model through the gate."""

    READS_A_FILE, SLOW, PICKY = READS_A_FILE, SLOW, PICKY
    # What x, z, x in the south and x of odd banks weigh in a model.
    EXACT, ROUGH, NORTHERN, NOT_FOR_ODD = (3, 0, 0, 0), (0, 3, 0, 0), (3, 0, -3, 0), (3, 0, 0, -6)
    CONSTANT, NOT_A_NUMBER = (0, 0, 0, 0), (float("nan"), 0, 0, 0)

    def __init__(self, folder: Path) -> None:
        self.folder, self.module = folder, "bank_model"
        (folder / f"{self.module}.py").write_text(MODULE)
        self.environment = Environment.local(str(folder / "root"), str(folder / "serving"))
        self._write_examples(folder / "data")
        self._runs = 0

    @property
    def served(self) -> Path:
        return Path(self.environment.model_dir("bank"))

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """What is served is, byte for byte and version for version, what was served before."""
        before = (layout.versions(self.served), tree_digest(self.served))
        yield
        assert (layout.versions(self.served), tree_digest(self.served)) == before

    def model(self, weights: tuple[float, ...], source: str = MODULE) -> str:
        """Exports a model with such weights for `yes`; the same arguments give the same directory."""
        name = "bank_" + hashlib.sha256(repr((weights, source)).encode()).hexdigest()[:12]
        target = self.folder / "models" / name
        if not target.exists():
            (self.folder / f"{name}.py").write_text(source)
            module = contract.load(name)
            network = module.build_model()
            yes = np.array(weights, np.float32)
            network.set_weights([np.stack([-yes, yes], axis=1), np.array([0.01, -0.01], np.float32)])
            export(network, module, str(target))
        return str(target)

    def live_needs_a_column_of_the_past(self) -> None:
        """Makes what is served need a feature `age`; the store holds that for what was published, as if trained so."""
        import tensorflow as tf
        from tfx.orchestration import metadata

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def answer(examples: Any) -> dict[str, Any]:
            age = tf.io.parse_example(examples, {"age": tf.io.FixedLenFeature([], tf.float32)})["age"]
            return {"scores": tf.stack([age, 1 - age], axis=1)}

        network, old = tf.Module(), self.folder / "models" / "old"
        network.answer = answer
        tf.saved_model.save(network, str(old), signatures={"serve_examples": answer})
        with metadata.Metadata(self.environment.metadata_connection()) as handle:
            pushed = max(handle.store.get_artifacts_by_type("PushedModel"), key=lambda artifact: artifact.id)
            (model,) = handle.store.get_artifacts_by_id([pushed.custom_properties["model_id"].int_value])
            live = pushed.custom_properties["pushed_destination"].string_value
            for directory in (live, os.path.join(model.uri, "Format-Serving")):
                shutil.rmtree(directory)
                shutil.copytree(old, directory)
            pushed.custom_properties["digest"].string_value = tree_digest(live)
            model.custom_properties["digest"].string_value = tree_digest(model.uri)
            handle.store.put_artifacts([pushed, model])

    def config(self, gate: Mapping[str, Any], **sections: Any) -> PipelineConfig:
        quick = {"samples": 4, "requests": 20}
        return from_dict(
            {
                "name": "bank",
                "model": self.module,
                "data": {
                    "format": "tfrecord",
                    "path": str(self.folder / "data"),
                    "splits": {"train": "train*", "eval": "eval*"},
                },
                "split": {"strategy": "by_key", "key": "bank", "holdout": 0.4},
                "train": {"rounds": 5, "clients_per_round": 8, **sections.get("train", {})},
                "gate": {"first_deploy": "allow", **gate, "serving": {**quick, **gate.get("serving", {})}},
            }
        )

    def run(
        self,
        weights: tuple[float, ...],
        gate: Mapping[str, Any],
        *,
        source: str = MODULE,
        facts: Mapping[str, Any] | None = None,
        baseline_model: str | None = None,
        **sections: Any,
    ) -> Outcome:
        from tfx.orchestration import metadata

        config = self.config(gate, **sections)
        pipeline = self._pipeline(config, self.model(weights, source), facts or {}, baseline_model or self.model(self.EXACT))
        self._runs += 1
        results = execution.run(pipeline, self.environment, f"run-{self._runs}", Silent(), facts={})
        with metadata.Metadata(self.environment.metadata_connection()) as handle:
            outputs = {node.id: outputs_of(handle.store, node.execution_id) for node in results if node.execution_id}
            store = handle.store
        return Outcome(
            decision.read(outputs["DeployGate"]["decision"].uri),
            outputs["Pusher"]["pushed_model"].custom_properties["pushed"].int_value == 1,
            {node.id: node.state for node in results},
            store,
        )

    def _pipeline(self, config: PipelineConfig, candidate: str, facts: Mapping[str, Any], baseline: str) -> Any:
        module = contract.load(config.model)
        examples = example_gen(data_format="tfrecord", path=config.data.path, splits=config.data.splits, seed=config.seed)
        assert config.split is not None
        parameters = {**config.split.parameters(), "label": module.label_key}
        split = FederatedSplit(
            examples=examples.outputs["examples"], strategy="by_key", parameters=parameters, seed=config.seed
        )
        nodes = {
            "ExampleGen": examples,
            "FederatedSplit": split,
            "Trainer": GivenModel(source=baseline, facts="{}"),
            "FederatedTrainer": GivenModel(source=candidate, facts=json.dumps(facts)),
        }
        nodes |= dag.gate_nodes(config, self.environment, module, nodes)
        return tfx.dsl.Pipeline(
            pipeline_name=config.name,
            pipeline_root=self.environment.pipeline_root(config.name),
            components=[node.with_id(node_id) for node_id, node in nodes.items()],
            enable_cache=True,
            metadata_connection_config=self.environment.metadata_connection(),
        )

    @staticmethod
    def _write_examples(folder: Path) -> None:
        import tensorflow as tf

        folder.mkdir()
        drawn = np.random.default_rng(7)
        for split in ("train", "eval"):
            with tf.io.TFRecordWriter(str(folder / f"{split}.tfrecord")) as writer:
                for row in range(600):
                    bank, x = row % 24, drawn.uniform(0.1, 1.0) * drawn.choice([-1, 1])
                    south = row % 5 == 0
                    z = x * (1 if drawn.random() < 0.85 else -1)
                    numbers = {"x": x, "z": z, "south": south, "odd": bank % 8 == 0}
                    texts = {"bank": f"bank {bank}", "region": "south" if south else "north"}
                    example = tf.train.Example()
                    for key, number in numbers.items():
                        example.features.feature[key].float_list.value.append(number)
                    for key, text in texts.items():
                        example.features.feature[key].bytes_list.value.append(text.encode())
                    example.features.feature["default"].int64_list.value.append(int(x > 0))
                    writer.write(example.SerializeToString(deterministic=True))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bank")
    sys.path.insert(0, str(folder))
    yield Bank(folder)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def turned_away(bank: Bank) -> Outcome:
    """The rough model, while nothing is served and the config does not allow a first deploy."""
    refused = bank.run(bank.ROUGH, {"first_deploy": "refuse"})
    assert not bank.served.exists()
    return refused


@pytest.fixture(scope="module")
def live(bank: Bank, turned_away: Outcome) -> Outcome:
    """The rough model goes live first: right on about 85 of 100 customers, everywhere."""
    return bank.run(bank.ROUGH, {})
