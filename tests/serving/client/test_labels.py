from __future__ import annotations

import numpy as np
import pytest

from serving.client.labels import Ranked, rank
from serving.client.report import printable, to_json

SCORES = np.array([[0.25, 0.75], [0.5, 0.25]], np.float32)
WORDS = np.array([b"hai", "köhler".encode()], object)


@pytest.mark.parametrize(
    ("outputs", "names", "expected"),
    [
        ({"scores": SCORES, "classes": np.array([[b"a", b"b"]] * 2, object)}, (), [("b", 0.75), ("a", 0.25)]),
        ({"scores": SCORES, "label": WORDS}, ("a", "b"), [("b", 0.75), ("a", 0.25)]),
        ({"scores": SCORES, "label": WORDS}, (), [("hai", 0.75), ("0", 0.25)]),
        ({"anything": SCORES}, (), [("1", 0.75), ("0", 0.25)]),
        ({"anything": SCORES}, ("a",), [("1", 0.75), ("a", 0.25)]),
        ({"label": WORDS}, (), [("hai", None)]),
        ({"one": SCORES, "other": SCORES}, (), []),
        ({"predictions": SCORES[:, :1]}, (), []),
        ({}, (), []),
    ],
)
def test_classes_are_found_in_whatever_outputs_tell_them(outputs, names, expected) -> None:
    assert rank(outputs, 0, names) == [Ranked(*one) for one in expected]


def test_each_row_has_its_own_classes_and_only_the_top_ones_come() -> None:
    assert rank({"scores": SCORES, "label": WORDS}, 1, top=1) == [Ranked("köhler", 0.5)]


def test_outputs_become_strict_json() -> None:
    assert to_json(np.array([np.nan, np.inf, 0.1], np.float32)) == [None, None, 0.1]
    assert to_json(np.array([b"\xff", "ü".encode()], object)) == [{"b64": "/w=="}, "ü"]
    assert to_json(np.array(2**62)) == 2**62


def test_no_label_moves_the_terminal() -> None:
    assert printable("a\x1b[2J\u202eb\n") == "a?[2J?b?"
