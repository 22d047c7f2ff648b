"""Work in parts on Beam."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest

from components import beam_parts
from errors import DataError


@dataclass(frozen=True)
class Squares:
    """Fails at one number, if there is one."""

    at: int = -1

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        if number == self.at:
            raise DataError("expected another number.")
        return {"square": np.array([number**2]), "word": np.array("x" * number)}


def test_parts_come_back_in_their_order_and_leave_no_files(tmp_path: Path) -> None:
    parts = beam_parts.run(beam.Pipeline, str(tmp_path / "parts"), 12, Squares())
    assert [int(part["square"][0]) for part in parts] == [number**2 for number in range(12)]
    assert str(parts[3]["word"]) == "xxx"
    assert list(tmp_path.iterdir()) == []
    assert beam_parts.run(beam.Pipeline, str(tmp_path / "none"), 0, Squares()) == []


def test_an_error_of_ours_comes_out_as_it_was_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^expected another number\.$"):
        beam_parts.run(beam.Pipeline, str(tmp_path / "parts"), 3, Squares(at=1))
    assert list(tmp_path.iterdir()) == []
