"""Data of real people that do not fit: a run stops before it trains, says why, and names nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODULE = """
import tensorflow as tf

from modeling import centralised

LABEL_KEY = "sick"
FEATURES = {"age": tf.io.FixedLenFeature([], tf.float32), LABEL_KEY: tf.io.FixedLenFeature([], tf.int64)}
CLASS_LABELS = ["no", "yes"]


def preprocess(raw):
    return raw["age"][:, tf.newaxis]


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([1]), tf.keras.layers.Dense(2)])


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return []


def postprocess(outputs):
    return {"scores": tf.nn.softmax(outputs)}


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
"""
CONFIG = """
name: people
model: examples.people.people_model
data: {format: csv, path: data, splits: {train: train.csv, eval: eval.csv}}
split: {strategy: by_key, key: mail}
train: {rounds: 1, clients_per_round: 1}
gate: {thresholds: {SparseCategoricalAccuracy: {min: 0.1}}}
"""
HEADER = "mail,age,sick,diagnosis"


def rows(*people: str, diagnosis: str = "cold", age: str = "41.5") -> list[str]:
    return [f"{person}@example.org,{age},{number % 2},{diagnosis}" for number, person in enumerate(people)]


@pytest.fixture(scope="module")
def case(checkout: Any) -> Any:
    """Runs the case on rows of either split."""
    folder = checkout.path / "examples" / "people"
    (folder / "data").mkdir(parents=True)
    (folder / "people_model.py").write_text(MODULE)
    (folder / "config.yaml").write_text(CONFIG)

    def run(train: list[str], evaluation: list[str]) -> Any:
        for split, lines in (("train", train), ("eval", evaluation)):
            (folder / "data" / f"{split}.csv").write_text("\n".join([HEADER, *lines, ""]))
        return checkout.run("examples/people/config.yaml")

    return run


def written(run: Any) -> str:
    """All that a run said: on the screen, to machines, in the log, in schemas and in ML Metadata."""
    root = Path(run.result["paths"]["root"])
    files = [Path(run.result["paths"]["log"]), Path(run.result["paths"]["metadata"]), *root.rglob("schema.pbtxt")]
    assert len(files) > 2
    texts = [path.read_bytes().decode(errors="ignore") for path in files]
    return "\n".join([run.screen, run.errors, str(run.result), *texts])


def test_clients_of_the_eval_split_alone_are_no_anomaly_and_no_value_is_shown(case: Any) -> None:
    run = case(rows("alice", "bob", "carol"), rows("dave", "erin") + rows("frank", diagnosis="plague"))
    assert run.code == 1, run
    assert run.states["ExampleValidator"] == "failed"
    assert "eval/diagnosis: unexpected string values in 1 of 3 examples" in run.errors
    assert "mail" not in run.errors
    said = written(run)
    assert not [person for person in ("alice", "bob", "carol", "dave", "erin", "frank") if f"{person}@" in said]
    assert "plague" not in said


def test_a_text_where_the_model_wants_a_number_stops_the_run_before_training(case: Any) -> None:
    run = case(rows("alice", "bob") + rows("carol", age="NA"), rows("dave"))
    assert run.code == 1, run
    assert run.errors.startswith(
        "error: ExampleValidator failed: the data do not fit FEATURES: train/age: FEATURES says float32, the data hold text in"
        " 3 of 3 examples (1 of 3 values are no numbers): "
    )
    assert len(run.errors.splitlines()) == 1
    assert not {"FederatedSplit", "Trainer"} & run.states.keys()
