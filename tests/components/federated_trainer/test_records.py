"""What a training leaves behind to look at."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from components.federated_trainer.records import ROUNDS_FILE, Round, RoundRecorder

ROUND = Round(
    number=1,
    of=3,
    sampled=4,
    clients=2,
    late=1,
    excluded=1,
    examples=33,
    left_out=4,
    attempts=2,
    largest_share=0.75,
    cohort="0a1b",
    seconds=0.25,
    metrics={"loss": 0.5, "accuracy": 0.9},
    facts={"bytes_up": 48.0},
)
SETTINGS = {"algorithm": "fedavg", "rounds": 3, "privacy": None, "participation": {"sampling": "poisson", "drop_out": 0.1}}


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / ROUNDS_FILE, newline="") as file:
        return list(csv.DictReader(file))


def test_every_round_is_a_row_and_an_event_as_soon_as_it_is_recorded(tmp_path) -> None:
    recorder = RoundRecorder(str(tmp_path), SETTINGS)
    for number in (1, 2, 3):
        recorder.record(replace(ROUND, number=number, metrics={"loss": 1 / number}))
        assert len(rows(tmp_path)) == number
    assert rows(tmp_path)[1] == {
        "round": "2",
        "sampled": "4",
        "clients": "2",
        "late": "1",
        "excluded": "1",
        "examples": "33",
        "left_out": "4",
        "attempts": "2",
        "largest_share": "0.75",
        "seconds": "0.25",
        "loss": "0.5",
        "bytes_up": "48.0",
        "cohort": "0a1b",
    }
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    shown = set(rows(tmp_path)[0]) - {"round", "cohort"}
    assert {tag for tag in events.Tags()["tensors"] if tag.startswith("federated/")} == {f"federated/{name}" for name in shown}
    assert [event.step for event in events.Tensors("federated/loss")] == [1, 2, 3]


def test_rounds_without_an_evaluation_have_its_columns_empty(tmp_path) -> None:
    recorder = RoundRecorder(str(tmp_path), SETTINGS, ("loss", "accuracy"))
    recorder.record(ROUND)
    recorder.record(replace(ROUND, number=2, heldout={"loss": 0.7, "accuracy": 0.8}))
    recorder.record(replace(ROUND, number=3))
    assert [row["heldout_accuracy"] for row in rows(tmp_path)] == ["", "0.8", ""]
    assert [row["loss"] for row in rows(tmp_path)] == ["0.5"] * 3
    assert all(None not in row and None not in row.values() for row in rows(tmp_path))
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("federated/heldout_loss")] == [2]


def test_values_are_under_their_names_whatever_order_they_come_in(tmp_path) -> None:
    """A round that was read back from somewhere may have its facts in another order."""
    recorder = RoundRecorder(str(tmp_path), SETTINGS)
    recorder.record(replace(ROUND, facts={"clip": 1.0, "clipped": 3.0}))
    recorder.record(replace(ROUND, facts={"clipped": 4.0, "clip": 2.0}, metrics={"accuracy": 0.8, "loss": 0.6}))
    assert [(row["loss"], row["accuracy"], row["clip"], row["clipped"]) for row in rows(tmp_path)] == [
        ("0.5", "0.9", "1.0", "3.0"),
        ("0.6", "0.8", "2.0", "4.0"),
    ]


def test_records_of_a_training_that_died_make_way(tmp_path) -> None:
    RoundRecorder(str(tmp_path), SETTINGS).record(replace(ROUND, metrics={"loss": 9.0}))
    recorder = RoundRecorder(str(tmp_path), SETTINGS)
    recorder.record(ROUND)
    assert [row["loss"] for row in rows(tmp_path)] == ["0.5"]
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    assert len(events.Tensors("federated/loss")) == 1


def test_settings_are_there_as_hparams(tmp_path) -> None:
    RoundRecorder(str(tmp_path), SETTINGS).record(ROUND)
    events = EventAccumulator(str(tmp_path)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    found = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}
    assert values == {
        "algorithm": "fedavg",
        "rounds": 3.0,
        "participation.sampling": "poisson",
        "participation.drop_out": 0.1,
    }
