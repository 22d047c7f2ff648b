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


def test_scores_of_another_width_are_one_error_that_tells_both_shapes(asked, save, serialized) -> None:
    import tensorflow as tf

    answers = Answers(asked("classes", candidate=save("wide", wide(tf))))
    with pytest.raises(
        DataError, match=r"shape \[batch, 3\], got float32 of shape \[batch, 4\]; see postprocess\(\)"
    ) as refused:
        answers.ask(serialized)
    assert "\n" not in str(refused.value)


def test_only_the_served_model_may_be_unable_to_answer(asked, save, serialized, tmp_path: Path) -> None:
    import tensorflow as tf

    broken = {
        "wide": save("wide", wide(tf)),
        "words": save("words", lambda examples: {"scores": tf.fill([tf.size(examples), 3], "x")}),
        "other": save("other", lambda examples: {"scores": tf.zeros([tf.size(examples), 3])}, signature="predict"),
        "gone": str(tmp_path / "gone"),
        "failing": save("failing", lambda examples: {"scores": tf.io.parse_tensor(examples[0], tf.float32)}),
    }
    for name, directory in broken.items():
        answered = Answers(asked("classes", served=directory)).ask(serialized)
        assert np.isnan(answered.predictions["served"]).all(), name
        assert answered.predictions["served"].shape == (40, 3)
        assert "served model" in answered.problems["served"]
        for role in ("candidate", "baseline"):
            with pytest.raises(DataError) as refused:
                Answers(asked("classes", **{role: directory})).ask(serialized)
            assert "\n" not in str(refused.value)


def test_numbers_without_a_second_axis_are_answers_too(asked, save, judged_records) -> None:
    import tensorflow as tf

    flat = save("flat", lambda examples: {"predictions": tf.range(tf.size(examples))})
    examples = tf.constant(judged_records(X[:5], [0.5] * 5))
    answered = Answers(asked("regression", candidate=flat)).ask(examples)
    np.testing.assert_array_equal(answered.predictions["candidate"], np.arange(5, dtype=np.float32)[:, None])
