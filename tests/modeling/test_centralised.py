import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from errors import ConfigError, TrainingError
from modeling import batches, centralised, contract
from modeling.export import WARMUP_FILE
from modeling.stopping import stopping_metric

pytestmark = pytest.mark.slow


@pytest.fixture
def train(flowers, flower_records, write_split, tmp_path):
    """Trains the flowers module and returns the loaded model."""
    files = {"train_files": write_split("train", flower_records(60)), "eval_files": write_split("eval", flower_records(9))}

    def run(
        name: str, seed: int, learning_rate: float = 0.1, stop_at: float | None = None, **other_files: list[str]
    ) -> tf.keras.Model:
        centralised.train(
            SimpleNamespace(
                **{**files, **other_files},
                serving_model_dir=str(tmp_path / name),
                model_run_dir=str(tmp_path / f"{name}-run"),
                custom_config={"epochs": 4, "batch_size": 10, "learning_rate": learning_rate, "seed": seed, "stop_at": stop_at},
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


def test_a_baseline_stops_in_the_middle_of_an_epoch_as_soon_as_it_is_good_enough(train, flowers, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="modeling"):
        model = train("model", seed=1, stop_at=0.6)
    tenth = batches.dataset(contract.load(flowers()), [str(tmp_path / "train" / "*")], batch_size=60, part="tenth")
    ((x, y),) = list(tenth)
    accuracy = float(np.mean(np.argmax(model(x), axis=1) == y))
    assert 0.6 <= accuracy < 1.0
    *epochs, stopped = [record.getMessage() for record in caplog.records if record.name.startswith("modeling.")]
    told = re.fullmatch(r"stopped at accuracy (0\.\d{4}) in epoch (\d), after (\d) of 6 batches", stopped)
    assert told
    assert float(told[1]) == pytest.approx(accuracy, abs=1e-4)
    assert len(epochs) == int(told[2])
    assert ", val_accuracy " in epochs[-1]


def test_examples_that_the_gate_judges_on_have_no_say_in_when_a_baseline_stops(train, flower_records, write_split) -> None:
    other = write_split("other", flower_records(30)[9:])
    first, second = (
        train(name, seed=1, stop_at=0.6, **files).get_weights() for name, files in [("a", {}), ("b", {"eval_files": other})]
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_examples_that_a_baseline_is_stopped_by_are_not_trained_on(train, flower_records, write_split) -> None:
    records = flower_records(200)
    held_out = [bucket == 0 for bucket in tf.strings.to_hash_bucket_fast(records, 10)]
    rest = [record for record, out in zip(records[:60], held_out, strict=False) if not out]
    looked_at = [record for record, out in zip(records, held_out, strict=True) if out]
    half = len(looked_at) // 2
    files = [write_split("first", rest + looked_at[:half]), write_split("second", rest + looked_at[half : 2 * half])]
    for stop_at, equal in [(1e-9, True), (None, False)]:
        first, second = (
            train(f"{stop_at}-{i}", 1, 0.1, stop_at, train_files=each).get_weights() for i, each in enumerate(files)
        )
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)) == equal


def test_a_baseline_with_too_few_examples_to_hold_any_out_is_told(train, flower_records, write_split, tmp_path) -> None:
    few = write_split("few", flower_records(9))
    with pytest.raises(
        TrainingError, match=r"^baseline\.stop_at holds out about a tenth .* got 0 of 9 examples; expected some"
    ):
        train("model", seed=1, stop_at=0.6, train_files=few)
    assert not (tmp_path / "model").exists()


def test_a_baseline_that_never_gets_good_enough_is_one_line_and_no_model(train, tmp_path) -> None:
    with pytest.raises(TrainingError) as caught:
        train("model", seed=1, learning_rate=1e-6, stop_at=1.0)
    assert re.fullmatch(
        r"the baseline's accuracy on the held-out tenth was at most 0\.\d{4} in 4 epochs; expected baseline\.stop_at 1: .*",
        str(caught.value),
    )
    assert not (tmp_path / "model").exists()


def test_a_baseline_is_stopped_by_the_first_metric_and_cannot_be_without_one(flowers) -> None:
    built = 'return [tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]'
    assert stopping_metric(contract.load(flowers())).name == "accuracy"
    with pytest.raises(ConfigError, match=r"^baseline\.stop_at: needs a metric to look at, and build_metrics\(\) of module_"):
        stopping_metric(contract.load(flowers((built, "return []"))))
