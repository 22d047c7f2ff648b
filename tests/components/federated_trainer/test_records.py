import csv

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.federated_trainer.records import ROUNDS_FILE, Round, RoundRecorder


def test_every_round_is_a_row_and_an_event_as_soon_as_it_is_recorded(tmp_path) -> None:
    recorder = RoundRecorder(str(tmp_path / "run"))
    for number in (1, 2, 3):
        recorder.record(Round(number, 3, clients=2, examples=33, left_out=4, seconds=0.25, metrics={"loss": 1 / number}))
        with open(tmp_path / "run" / ROUNDS_FILE, newline="") as file:
            assert len(list(csv.DictReader(file))) == number
    with open(tmp_path / "run" / ROUNDS_FILE, newline="") as file:
        assert list(csv.DictReader(file))[1] == {
            "round": "2",
            "clients": "2",
            "examples": "33",
            "left_out": "4",
            "seconds": "0.25",
            "loss": "0.5",
        }
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"tensors": 0}).Reload()
    names = ("clients", "examples", "left_out", "loss", "seconds")
    assert sorted(events.Tags()["tensors"]) == [f"federated/{name}" for name in names]
    assert [event.step for event in events.Tensors("federated/loss")] == [1, 2, 3]
