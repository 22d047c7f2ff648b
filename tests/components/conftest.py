"""Small modules of every kind, models of them with given weights, and examples, for the tests of what asks models."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_MODULE = """
import tensorflow as tf

from modeling import centralised

LABEL_KEY = "y"
FEATURES = {{"x": tf.io.FixedLenFeature([3], tf.float32), LABEL_KEY: tf.io.FixedLenFeature([], tf.{label})}}
{more}

def preprocess(raw):
    return raw["x"]


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense({outputs})])


def build_loss():
    return tf.keras.losses.{loss}


def build_metrics():
    return []


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
"""
_SCORES = """
CLASS_LABELS = ["a", "b", "c"]


def postprocess(outputs):
    return {"scores": tf.nn.softmax(outputs)}

"""
_CHANCE = """

def postprocess(outputs):
    return {"predictions": tf.sigmoid(outputs)}

"""
_OF_KIND = {
    "classes": {
        "label": "int64",
        "outputs": 3,
        "loss": "SparseCategoricalCrossentropy(from_logits=True)",
        "more": _SCORES,
    },
    "binary": {"label": "int64", "outputs": 1, "loss": "BinaryCrossentropy(from_logits=True)", "more": _CHANCE},
    "regression": {"label": "float32", "outputs": 1, "loss": "MeanSquaredError()", "more": ""},
}


@pytest.fixture(scope="session")
def judged_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of the modules and models; importable."""
    folder = tmp_path_factory.mktemp("judged")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def judged_module(judged_folder: Path) -> Callable[[str], str]:
    """Import path of the module of a kind: a linear model of three numbers `x`, labels `y`."""

    def write(kind: str) -> str:
        path = judged_folder / f"judged_{kind}.py"
        if not path.exists():
            path.write_text(_MODULE.format(**_OF_KIND[kind]))
            importlib.invalidate_caches()
        return path.stem

    return write


@pytest.fixture(scope="session")
def judged_model(judged_folder: Path, judged_module: Callable[[str], str]) -> Callable[..., Any]:
    """A published Model artifact with these weights; made once for each name, whose number is its id."""
    made: dict[str, Any] = {}

    def export(kind: str, name: str, kernel: Any, bias: Any = 0.0) -> Any:
        from tfx.types import standard_artifacts

        from lineage.digests import tree_digest
        from modeling import contract
        from modeling.export import export

        if name in made:
            return made[name]
        module = contract.load(judged_module(kind))
        model = module.build_model()
        weights = [np.zeros(weight.shape, np.float32) for weight in model.get_weights()]
        model.set_weights([zeros + np.asarray(given, np.float32) for zeros, given in zip(weights, (kernel, bias), strict=True)])
        artifact = standard_artifacts.Model()
        artifact.uri, artifact.id = str(judged_folder / name), len(made) + 1
        export(model, module, str(judged_folder / name / "Format-Serving"))
        artifact.set_string_custom_property("digest", tree_digest(artifact.uri))
        made[name] = artifact
        return artifact

    return export


@pytest.fixture(scope="session")
def judged_records() -> Callable[..., list[bytes]]:
    """Serialized examples from x float [n, 3] and labels [n]."""

    def serialize(x: np.ndarray, y: Sequence[Any]) -> list[bytes]:
        import tensorflow as tf

        records = []
        for numbers, label in zip(np.asarray(x, np.float32).tolist(), np.asarray(y).tolist(), strict=True):
            example = tf.train.Example()
            example.features.feature["x"].float_list.value.extend(numbers)
            feature = example.features.feature["y"]
            (feature.int64_list if isinstance(label, int) else feature.float_list).value.append(label)
            records.append(example.SerializeToString(deterministic=True))
        return records

    return serialize


@pytest.fixture
def judged_examples(tmp_path: Path) -> Callable[..., Any]:
    """A published Examples artifact whose split `eval` has the given files: lists of records, by file name."""

    def write(name: str, files: dict[str, Sequence[bytes]]) -> Any:
        import tensorflow as tf
        from tfx.types import standard_artifacts

        from lineage.digests import tree_digest

        examples = standard_artifacts.Examples()
        examples.uri, examples.split_names = str(tmp_path / name), json.dumps(["train", "eval"])
        (tmp_path / name / "Split-eval").mkdir(parents=True)
        for file, records in files.items():
            with tf.io.TFRecordWriter(str(tmp_path / name / "Split-eval" / file), "GZIP") as writer:
                for record in records:
                    writer.write(record)
        examples.set_string_custom_property("digest", tree_digest(examples.uri))
        return examples

    return write


@pytest.fixture
def serving_report(tmp_path: Path) -> Callable[..., Any]:
    """ServingCheck's finding about a model, with nothing in it but whether it may be loaded."""

    def write(model: Any, loadable: bool) -> Any:
        from components import evidence
        from components.artifacts import ServingReport

        report = ServingReport()
        report.uri = str(tmp_path / f"report-{model.id}")
        Path(report.uri).mkdir()
        Path(report.uri, "serving_report.json").write_text(json.dumps({"format": 1, "loadable": loadable}))
        evidence.record(report, model)
        return report

    return write
