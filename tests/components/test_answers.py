"""Asking models: what they may answer, and that company does not change an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.answers import Answers, Asked
from errors import DataError

X = np.random.default_rng(5).normal(size=[40, 3])


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Callable[[Any], dict[str, Any]]], str]:
    """Saves a model that is nothing but a signature."""
    import tensorflow as tf

    def write(name: str, answer: Callable[[Any], dict[str, Any]], signature: str = "serve_examples") -> str:
        module = tf.Module()
        module.answer = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        tf.saved_model.save(module, str(tmp_path / name), signatures={signature: module.answer})
        return str(tmp_path / name)

    return write


@pytest.fixture
def asked(judged_module) -> Callable[..., Asked]:
    def make(kind: str, batch_size: int = 64, **models: str) -> Asked:
        return Asked("key", judged_module(kind), kind, tuple(models.items()), batch_size)

    return make


@pytest.fixture
def serialized(judged_records) -> Any:
    import tensorflow as tf

    return tf.constant(judged_records(X, np.arange(40) % 3))


def test_an_answer_does_not_depend_on_the_other_examples_of_a_batch(asked, judged_model, serialized) -> None:
    model = judged_model("classes", "rough", np.random.default_rng(1).normal(size=[3, 3]))
    answers = Answers(asked("classes", candidate=f"{model.uri}/Format-Serving"))
    together = answers.ask(serialized)
    assert together.labels.tolist() == (np.arange(40) % 3).tolist()
    alone = np.concatenate([answers.ask(serialized[at : at + 1]).predictions["candidate"] for at in range(40)])
    np.testing.assert_array_equal(together.predictions["candidate"], alone)


def wide(tf: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda examples: {"scores": tf.zeros([tf.size(examples), 4])}


def test_scores_of_another_width_are_one_finding_that_tells_both_shapes(asked, save, serialized) -> None:
    import tensorflow as tf

    problem = Answers(asked("classes", candidate=save("wide", wide(tf)))).ask(serialized).problems["candidate"]
    assert "shape [batch, 3], got float32 of shape [batch, 4]; see postprocess()" in problem
    assert "\n" not in problem


def test_any_model_may_be_unable_to_answer(asked, save, serialized, tmp_path: Path) -> None:
    import tensorflow as tf

    broken = {
        "wide": save("wide", wide(tf)),
        "words": save("words", lambda examples: {"scores": tf.fill([tf.size(examples), 3], "x")}),
        "other": save("other", lambda examples: {"scores": tf.zeros([tf.size(examples), 3])}, signature="predict"),
        "gone": str(tmp_path / "gone"),
        "failing": save("failing", lambda examples: {"scores": tf.io.parse_tensor(examples[0], tf.float32)}),
    }
    for name, directory in broken.items():
        roles = {"candidate": "the model under test", "baseline": "the baseline", "served": "the served model"}
        answered = Answers(asked("classes", **dict.fromkeys(roles, directory))).ask(serialized)
        for role, spoken in roles.items():
            assert np.isnan(answered.predictions[role]).all(), name
            assert answered.predictions[role].shape == (40, 3)
            assert spoken in answered.problems[role]
            assert "\n" not in answered.problems[role]


def test_model_that_fails_on_one_example_is_excused_once_and_tells_nothing_of_it(asked, save, judged_records, caplog) -> None:
    import tensorflow as tf

    def picky(examples: Any) -> dict[str, Any]:
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([3], tf.float32)})["x"]
        return {"scores": tf.gather(tf.eye(3), tf.cast(x[:, 0], tf.int64))}

    answers = Answers(asked("classes", batch_size=2, candidate=save("picky", picky)))
    fine, bad = (tf.constant(judged_records(np.full([2, 3], number), [0, 1])) for number in (1.0, 4711.0))
    assert not answers.ask(fine).problems
    answered = [answers.ask(bad), answers.ask(bad)][1]
    assert answered.problems == {
        "candidate": "the model under test failed on the evaluation examples: an index is outside of the valid range of [0, 3)."
    }
    assert np.isnan(answered.predictions["candidate"]).all()
    assert len([record for record in caplog.records if "Nothing is measured" in record.message]) == 1
    assert "4711" not in caplog.text


def test_examples_that_are_no_text_are_told_without_them(asked, save) -> None:
    import tensorflow as tf

    answers = Answers(asked("classes", candidate=save("wide", wide(tf))))
    with pytest.raises(DataError, match="expected the label 'y'") as refused:
        answers.ask(tf.constant([b"hidden \xff\xfe"]))
    assert "hidden" not in str(refused.value)


def test_numbers_without_a_second_axis_are_answers_too(asked, save, judged_records) -> None:
    import tensorflow as tf

    flat = save("flat", lambda examples: {"predictions": tf.range(tf.size(examples))})
    examples = tf.constant(judged_records(X[:5], [0.5] * 5))
    answered = Answers(asked("regression", candidate=flat)).ask(examples)
    np.testing.assert_array_equal(answered.predictions["candidate"], np.arange(5, dtype=np.float32)[:, None])
