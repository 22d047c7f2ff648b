"""What the worker answers: its tasks called here, and itself as the process it is."""

from __future__ import annotations

import base64
import signal
from typing import Any

import pytest

from components.serving_check import checking, worker
from components.serving_check.processes import Finding
from components.serving_check.processes import worker as started
from errors import DataError

INSPECT = {"task": "inspect", "directory": "/nowhere", "allowed_ops": []}


def encoded(records: list[bytes]) -> list[str]:
    return [base64.b64encode(record).decode() for record in records]


def test_a_model_that_fails_on_the_examples_is_a_finding_that_quotes_none(
    save: Any, flowers: str, flower_records: list[bytes]
) -> None:
    import tensorflow as tf

    folder = save(lambda texts: tf.strings.to_number(texts))
    answer = worker.answer(folder, flowers, encoded(flower_records[:2]))
    expected = r"called by itself, serve_examples fails on the evaluation examples \(InvalidArgumentError\)$"
    with pytest.raises(Finding, match=expected):
        checking.answered(answer)


@pytest.mark.parametrize("record", [b"secret", b"secret \xff\xfe"], ids=["text", "bytes"])
def test_examples_that_are_not_the_modules_are_an_error_that_quotes_none(good_model: str, flowers: str, record: bytes) -> None:
    with pytest.raises(DataError, match="got others; compare FEATURES") as raised:
        worker.answer(good_model, flowers, encoded([record]))
    assert "secret" not in str(raised.value)


def test_a_worker_takes_one_task_after_the_other_and_ends_after_the_last() -> None:
    with started() as asked:
        first, second = asked.ask(INSPECT, 60), asked.ask(INSPECT, 60, last=True)
    assert first == second
    assert first["problems"] == ["there is no saved_model.pb"]


def test_a_worker_that_does_not_take_its_task_is_not_waited_for_any_longer() -> None:
    with started() as asked:
        asked.ask(INSPECT, 60)
        asked._process.send_signal(signal.SIGSTOP)
        with pytest.raises(Finding, match=r"the process was not done after 0\.2 s"):
            asked.ask({**INSPECT, "allowed_ops": ["x" * 1_000_000]}, 0.2)


def test_what_is_printed_once_examples_are_seen_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with started() as asked, pytest.raises(Finding, match="the process ended with status 1"):
        asked.ask({"task": "answer", "directory": "/nowhere", "module": "m", "examples": ["secret, no base64"]}, 60)
    with started() as asked, pytest.raises(Finding, match="the process ended with status 1"):
        asked.ask({"task": "inspect", "nonsense": "shown"}, 60)
    shown = capfd.readouterr().err
    assert "secret" not in shown and "base64" not in shown
    assert "nonsense" in shown
