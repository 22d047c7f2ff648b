"""Charts: round ticks that hold all values, and pictures that say what they show."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from components import charts

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_ticks_are_few_rise_and_hold_both_ends(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = charts.ticks(low, high)
    slack = 1e-6 * (ticks[-1] - ticks[0])
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert ticks[0] - slack <= low and high <= ticks[-1] + slack


def test_ticks_are_round() -> None:
    assert charts.ticks(0.03, 1.9) == [0, 0.5, 1, 1.5, 2]
    assert charts.ticks(7.0, 7.0)[0] < 7 < charts.ticks(7.0, 7.0)[-1]


def test_curve_runs_through_its_points_and_is_told() -> None:
    line = charts.Line("training", "candidate", [(1, 0.0), (2, 1.0)])
    picture = ET.fromstring(charts.curves("loss", "loss & more", "It rises.", [line], "rounds"))
    assert picture.findtext(f"{SVG}desc") == "It rises."
    assert picture.get("aria-labelledby") == "loss-title loss-desc"
    (path,) = picture.iter(f"{SVG}path")
    assert path.get("d") == "M64.0 270.0L504.0 74.0"


def test_single_point_is_a_dot() -> None:
    picture = ET.fromstring(charts.curves("loss", "loss", "", [charts.Line("training", "candidate", [(1, 0.5)])], "rounds"))
    assert len(list(picture.iter(f"{SVG}circle"))) == 1


def test_interval_is_drawn_around_its_value_and_a_value_without_one_is_a_dot() -> None:
    rows = [
        charts.Row("this", "candidate", 0.5, "0.5", 0.4, 0.6),
        charts.Row("that", "served", 0.5, "0.5", beside=("baseline", 0.2)),
    ]
    picture = ET.fromstring(charts.intervals("m", "m", "", rows))
    dots = [float(str(dot.get("cx"))) for dot in picture.iter(f"{SVG}circle") if "dot" in str(dot.get("class"))]
    ends = sorted(
        {
            float(str(line.get(x)))
            for line in picture.iter(f"{SVG}line")
            if "whisker" in str(line.get("class"))
            for x in ("x1", "x2")
        }
    )
    assert ends[0] < dots[0] < ends[1] and dots[0] == dots[1]
    assert [element.get("class") for element in picture.iter(f"{SVG}circle")] == [
        "dot candidate",
        "ring baseline",
        "dot served",
    ]


def test_text_that_xml_cannot_hold_does_no_harm() -> None:
    assert ET.fromstring(charts.intervals("m", "a\x00<b>", "", [charts.Row("\x0b" * 30, "candidate", 1.0, "1")])) is not None
