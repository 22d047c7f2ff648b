from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits

from components.example_gens.png import encode_grey


def test_all_1797_digits_keep_their_pixels_and_labels(generate, rows):
    examples = generate("digits")
    digits = load_digits()
    truth = np.floor(digits.images / 16 * 255 + 0.5).astype(np.uint8)
    expected = collections.Counter((image.tobytes(), int(label)) for image, label in zip(truth, digits.target, strict=True))
    found = rows(examples)
    pixels = [tf.io.decode_png(row["image"][0]).numpy() for row in found]
    assert {image.shape for image in pixels} == {(8, 8, 1)}
    assert collections.Counter((i.tobytes(), r["label"][0]) for i, r in zip(pixels, found, strict=True)) == expected
    assert len(found) == 1797
    assert max(image.max() for image in pixels) == 255


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_png_decodes_to_the_same_pixels_and_encodes_to_the_same_bytes(image):
    png = encode_grey(image)
    assert np.array_equal(tf.io.decode_image(png).numpy()[..., 0], image)
    assert encode_grey(image.copy(order="F")) == png


@given(st.sampled_from([np.zeros((2, 2), np.float32), np.zeros((2, 2, 1), np.uint8)]))
def test_image_of_another_type_or_shape_is_refused(image):
    with pytest.raises(ValueError, match=r"expected uint8 \[height, width\]"):
        encode_grey(image)
