"""FEATURES of a module against real statistics of TFDV: every way in which data do not fit, before anything is trained."""

from __future__ import annotations

import math

import pytest

from components.example_validator.fit import misfits
from modeling import contract

CLEAN = {
    "width": [1.0, 2.5, 9.0],
    "petals": [[1, 2], [3, 4], [5, 6]],
    "colour": ["red", "white", "red"],
    "height": [1.0, 1.5, 2.0],
    "kind": [0, 1, 2],
}


@pytest.fixture
def found(module_name, statistics_of):
    """Returns what is wrong with splits, as lines."""

    def check(**splits) -> list[str]:
        module = contract.load(module_name)
        return [str(misfit) for misfit in misfits(module, {name: statistics_of(split) for name, split in splits.items()})]

    return check


def test_data_that_fit_pass_and_other_columns_do_not_matter(found) -> None:
    assert found(train={**CLEAN, "more": ["a", "b", "c"]}, eval=CLEAN) == []


def test_a_feature_with_a_default_may_be_missing_anywhere(found) -> None:
    some = {**CLEAN, "height": [1.0, None, None]}
    none = {key: values for key, values in CLEAN.items() if key != "height"}
    assert found(train=some, eval=none) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"kind": [0.0, 1.0, 2.0]},
            "train/kind: FEATURES says int64, the data hold float in 3 of 3 examples: write whole numbers (1, not 1.0)",
        ),
        (
            {"kind": ["red", "lily", "iris"]},
            "train/kind: FEATURES says int64, the data hold text in 3 of 3 examples (3 of 3 values are no numbers): write each"
            " class as its number, 0 for the first of CLASS_LABELS",
        ),
        (
            {"width": [1, 2, 9]},
            "train/width: FEATURES says float32, the data hold int in 3 of 3 examples: declare tf.int64 in FEATURES and cast in"
            " preprocess, or write 1.0 for 1",
        ),
        (
            {"width": ["1.0", "NA", "9.0"]},
            "train/width: FEATURES says float32, the data hold text in 3 of 3 examples (1 of 3 values are no numbers): write"
            " numbers, or drop the examples that have none",
        ),
        (
            {"petals": [[1.0, 2.0]] * 3},
            "train/petals: FEATURES says int64, the data hold float in 3 of 3 examples: declare tf.float32 in FEATURES and cast"
            " in preprocess, or write whole numbers (1, not 1.0)",
        ),
        (
            {"colour": [7, 8, 9]},
            "train/colour: FEATURES says string, the data hold int in 3 of 3 examples: declare tf.int64 in FEATURES",
        ),
        (
            {"height": ["a", "b", "c"]},
            "train/height: FEATURES says float32, the data hold text in 3 of 3 examples (3 of 3 values are no numbers): write"
            " numbers, or declare tf.string in FEATURES and encode it in preprocess",
        ),
        (
            {"width": [1.0, None, None]},
            "train/width: FEATURES says one in every example, it is missing in 2 of 3 examples: fill it in, drop those"
            " examples, or give a default_value in FEATURES",
        ),
        (
            {"width": [None, None, None]},
            "train/width: FEATURES says one in every example, it is missing in 3 of 3 examples: fill it in, drop those"
            " examples, or give a default_value in FEATURES",
        ),
        (
            {"kind": [1, None, 2]},
            "train/kind: FEATURES says one in every example, it is missing in 1 of 3 examples: fill it in, or drop those"
            " examples",
        ),
        (
            {"height": [1.0, [], []]},
            "train/height: FEATURES says one in every example, it is empty in 2 of 3 examples: fill it in, or drop those"
            " examples",
        ),
        (
            {"petals": [[1, 2], [3], [4, 5, 6]]},
            "train/petals: FEATURES says shape [2], which is 2 values in an example; the data hold 1 to 3: change the data, or"
            " the shape in FEATURES",
        ),
        (
            {"width": [[1.0, 1.0]] * 3},
            "train/width: FEATURES says shape [], which is 1 value in an example; the data hold 2: change the data, or the"
            " shape in FEATURES",
        ),
        (
            {"width": [1.0, math.nan, 2.0]},
            "train/width: is NaN in 1 of 3 examples: fill it in, or drop those examples",
        ),
        (
            {"height": [math.inf, -math.inf, 2.0]},
            "train/height: is infinite in 2 of 3 examples: fill it in, or drop those examples",
        ),
        (
            {"kind": [0, 1, 3]},
            "train/kind: the label reaches from 0 to 3; CLASS_LABELS has 3 names, expected 0 to 2: number the classes from 0,"
            " or name every one in CLASS_LABELS",
        ),
        (
            {"kind": [-1, 1, 2]},
            "train/kind: the label reaches from -1 to 2; CLASS_LABELS has 3 names, expected 0 to 2: number the classes from 0,"
            " or name every one in CLASS_LABELS",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_remedy(change, line, found) -> None:
    assert found(train={**CLEAN, **change}, eval=CLEAN) == [line]


@pytest.mark.parametrize(
    ("instead", "remedy"),
    [
        ("kind ", "the data have 'kind ' with spaces around the name: remove them from the header"),
        ("Kind", "the data have colour, height, petals, width, Kind: rename a column, or name it so in FEATURES"),
    ],
)
def test_a_feature_under_another_name_is_shown_beside_the_names_that_are_there(instead, remedy, found) -> None:
    columns = {key: values for key, values in CLEAN.items() if key != "kind"} | {instead: CLEAN["kind"]}
    (line,) = found(train=columns, eval=CLEAN)
    assert line.startswith("train/kind: FEATURES has it, no example does; the data have ")
    assert sorted(line.split()) == sorted(f"train/kind: FEATURES has it, no example does; {remedy}".split())


def test_a_file_with_other_separators_is_told_once_and_not_once_for_every_feature(found) -> None:
    columns = {"width;petals;colour;height;kind": ["1;2;3;4;5", "2;2;2;2;2"]}
    (line,) = found(train=columns, eval=columns)
    assert line.startswith("train (eval as well): the data have one column, whose name holds ';': save the file with commas")


def test_the_same_mistake_in_both_splits_is_one_line(found) -> None:
    wrong = {**CLEAN, "kind": [0.0, 1.0, 2.0]}
    (line,) = found(train=wrong, eval=wrong)
    assert line.startswith("train/kind (eval as well): FEATURES says int64")


def test_a_mistake_in_the_eval_split_alone_is_found(found) -> None:
    (line,) = found(train=CLEAN, eval={**CLEAN, "kind": [0, 1, 7]})
    assert line.startswith("eval/kind: the label reaches from 0 to 7")


def test_no_value_of_an_example_is_shown(found) -> None:
    lines = found(train={**CLEAN, "kind": ["alice@x.org", "bob", "iris"], "width": ["carol", "1", "2"]}, eval=CLEAN)
    assert len(lines) == 2
    assert not [word for word in ("alice", "bob", "carol") if word in " ".join(lines)]
