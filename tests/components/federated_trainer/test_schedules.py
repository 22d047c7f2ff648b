"""Learning rates from round to round."""

from __future__ import annotations

from typing import Any

import pytest

from components.federated_trainer.schedules import multiplier


def schedule(kind: str, **given: Any) -> dict[str, Any]:
    return {"kind": kind, "warmup_rounds": 0, "decay_rounds": None, "decay_rate": None, "floor": None, **given}


def over(rounds: int, **given: Any) -> list[float]:
    return [multiplier(schedule(**given), number) for number in range(1, rounds + 1)]


def test_no_schedule_and_constant_leave_the_rate() -> None:
    assert multiplier(None, 7) == 1.0
    assert over(3, kind="constant") == [1.0, 1.0, 1.0]


def test_warm_up_rises_in_a_line_and_then_the_decay_begins() -> None:
    assert over(6, kind="constant", warmup_rounds=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    warmed = over(7, kind="step", warmup_rounds=2, decay_rounds=2, decay_rate=0.5)
    assert warmed == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_exponential_reaches_its_rate_after_so_many_rounds() -> None:
    found = over(5, kind="exponential", decay_rounds=2, decay_rate=0.25)
    assert found == pytest.approx([1.0, 0.5, 0.25, 0.125, 0.0625])


def test_step_stays_between_its_steps() -> None:
    assert over(5, kind="step", decay_rounds=2, decay_rate=0.1) == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])


def test_linear_ends_at_its_floor_and_stays_there() -> None:
    assert over(6, kind="linear", decay_rounds=4, floor=0.2) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_cosine_is_slow_at_both_ends_and_stays_at_its_floor() -> None:
    found = over(7, kind="cosine", decay_rounds=4, floor=0.5)
    half = 2**-0.5 / 4
    assert found == pytest.approx([1.0, 0.75 + half, 0.75, 0.75 - half, 0.5, 0.5, 0.5])
