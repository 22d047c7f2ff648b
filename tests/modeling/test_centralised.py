import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from errors import TrainingError
from modeling import centralised
from modeling.export import WARMUP_FILE


@pytest.fixture
def train(flowers, flower_records, write_split, tmp_path):
    """Trains the flowers module and returns the loaded model."""
    files = {"train_files": write_split("train", flower_records(60)), "eval_files": write_split("eval", flower_records(9))}

    def run(name: str, seed: int, learning_rate: float = 0.1) -> tf.keras.Model:
        centralised.train(
            SimpleNamespace(
                **files,
                serving_model_dir=str(tmp_path / name),
                model_run_dir=str(tmp_path / f"{name}-run"),
                custom_config={"epochs": 4, "batch_size": 10, "learning_rate": learning_rate, "seed": seed},
            ),
            flowers(),
        )
        return tf.keras.models.load_model(str(tmp_path / name))

    return run


def test_a_trained_baseline_knows_its_flowers_and_is_exported_like_any_model(train, flower_records, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="modeling.centralised"):
        train("model", seed=1)
    served = tf.saved_model.load(str(tmp_path / "model"))
    scores = served.signatures["serve_examples"](examples=tf.constant(flower_records(9)))["scores"]
    assert np.mean(np.argmax(scores, axis=1) == np.arange(9) % 3) == 1.0
    assert (tmp_path / "model" / WARMUP_FILE).is_file()
    assert sorted(path.name for path in (tmp_path / "model-run").iterdir()) == ["train", "validation"]
    lines = [record.getMessage() for record in caplog.records if record.name == "modeling.centralised"]
    assert len(lines) == 4
    assert lines[-1].startswith("epoch 4/4: loss ")
    assert ", val_accuracy 1.0000, " in lines[-1]
    assert lines[-1].endswith("0 s left")


def test_the_same_seed_gives_the_same_baseline_and_another_one_another(train) -> None:
    first, second, other = (train(f"model{i}", seed).get_weights() for i, seed in enumerate([1, 1, 2]))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_baseline_that_diverges_is_one_line_and_no_model(train, tmp_path) -> None:
    with pytest.raises(TrainingError, match="weights are not finite after 4 epochs; expected finite numbers"):
        train("model", seed=1, learning_rate=float("inf"))
    assert not (tmp_path / "model").exists()
