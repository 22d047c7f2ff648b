"""The picture of client metrics."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from components.federated_evaluator.picture import draw

SVG = "{http://www.w3.org/2000/svg}"
RANDOM = np.random.default_rng(1)
TWO = {"candidate": RANDOM.beta(9, 1, 137), "served": np.append(RANDOM.beta(8, 1, 136), np.nan)}


def texts(picture: bytes) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def curves(picture: bytes) -> list[list[float]]:
    """Heights of each curve's levels, from the left."""
    paths = [path.get("d", "") for path in ET.fromstring(picture).iter(f"{SVG}path")]
    return [[float(level.split("H")[0]) for level in path.split("V")[1:]] for path in paths]


def test_picture_tells_both_models_medians_and_worst_tenths() -> None:
    told = texts(draw("SparseCategoricalAccuracy", TWO))
    assert told[0] == "SparseCategoricalAccuracy on 137 clients"
    assert told[1].startswith(f"model under test: median {np.median(TWO['candidate']):.4g}, worst tenth ")
    assert told[2].startswith("served model: median ")
    assert told[2].endswith("on average (without 1 of no value)")
    assert {"worst tenth", "median"} <= set(told)


@pytest.mark.parametrize("metric", ["SparseCategoricalAccuracy", "MeanSquaredError"])
def test_every_client_is_a_level_and_the_worst_is_on_the_left(metric: str) -> None:
    served, candidate = curves(draw(metric, TWO))
    assert (len(served), len(candidate)) == (136, 137)
    falls_down_the_page = metric == "MeanSquaredError"  # where more is worse, and y grows downwards
    assert candidate == sorted(candidate, reverse=not falls_down_the_page)


def test_many_clients_make_no_larger_picture() -> None:
    small, large = draw("AUC", {"candidate": RANDOM.random(400)}), draw("AUC", {"candidate": RANDOM.random(100_000)})
    assert abs(len(large) - len(small)) < 100


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0], [0.0], [-3.0, -3.0, 5.0], [1e-9, 1e-3, 1e6], [0.0, 0.001, 1e6], [5e15, 5e15 + 2], [np.nan, np.nan]],
)
def test_any_values_can_be_drawn_inside_the_plot(values: list[float]) -> None:
    for heights in curves(draw("MeanSquaredError", {"candidate": np.array(values)})):
        assert all(126 <= height <= 446 for height in heights)


def test_very_uneven_values_are_on_a_logarithmic_scale() -> None:
    assert "1000" in texts(draw("MeanSquaredError", {"candidate": np.array([0.1, 0.2, 0.3, 900.0])}))


def test_lines_and_dots_are_lighter_in_the_dark() -> None:
    picture = ET.fromstring(draw("AUC", TWO))
    dark = (picture.findtext(f"{SVG}style") or "").split("prefers-color-scheme: dark", 1)[1]
    drawn = {element.get("class", "") for element in picture.iter() if "stroke" in element.attrib or "fill" in element.attrib}
    assert drawn == {"curve candidate", "curve served", "dot candidate", "dot served"}
    assert all(f".clients .{each.replace(' ', '.')} {{" in dark for each in drawn)


def test_same_values_give_the_same_bytes() -> None:
    assert draw("AUC", TWO) == draw("AUC", {key: value[::-1].copy() for key, value in TWO.items()})
