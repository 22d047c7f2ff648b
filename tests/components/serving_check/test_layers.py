"""What people build models of must pass the list: models of it are saved and looked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

layers = tf.keras.layers
KEYS = ["a", "b", "c"]


def preprocessing(layer: Any) -> Any:
    """An adapted layer, whose state is a variable."""
    layer.adapt([[0.0, 1.0], [2.0, 3.0]])
    return layer


# Layer and the shape of its input without the batch.
NUMBERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dense": (lambda: layers.Dense(2, "gelu"), (4,)),
    "EinsumDense": (lambda: layers.EinsumDense("ab,bc->ac", 2), (4,)),
    "Dropout": (lambda: layers.Dropout(0.5, seed=1), (4,)),
    "SpatialDropout1D": (lambda: layers.SpatialDropout1D(0.5), (6, 4)),
    "AlphaDropout": (lambda: layers.AlphaDropout(0.5), (4,)),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.5), (4,)),
    "ActivityRegularization": (lambda: layers.ActivityRegularization(0.5), (4,)),
    "LayerNormalization": (layers.LayerNormalization, (4,)),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), (8, 8, 4)),
    "UnitNormalization": (layers.UnitNormalization, (4,)),
    "BatchNormalization": (layers.BatchNormalization, (8, 8, 4)),
    "Conv1D": (lambda: layers.Conv1D(2, 3, padding="causal"), (6, 4)),
    "Conv2D": (lambda: layers.Conv2D(2, 3, dilation_rate=2), (8, 8, 4)),
    "Conv3D": (lambda: layers.Conv3D(2, 2), (4, 4, 4, 2)),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(2, 3), (6, 4)),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(2, 3), (8, 8, 4)),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3), (8, 8, 4)),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(2, 3), (6, 4)),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(2, 3, strides=2), (8, 8, 4)),
    "LocallyConnected1D": (lambda: layers.LocallyConnected1D(2, 3), (6, 4)),
    "MaxPooling2D": (layers.MaxPooling2D, (8, 8, 4)),
    "AveragePooling2D": (layers.AveragePooling2D, (8, 8, 4)),
    "MaxPooling1D": (layers.MaxPooling1D, (6, 4)),
    "AveragePooling3D": (layers.AveragePooling3D, (4, 4, 4, 2)),
    "GlobalAveragePooling2D": (layers.GlobalAveragePooling2D, (8, 8, 4)),
    "GlobalMaxPooling1D": (layers.GlobalMaxPooling1D, (6, 4)),
    "Flatten": (layers.Flatten, (8, 8, 4)),
    "Reshape": (lambda: layers.Reshape((2, 2)), (4,)),
    "Permute": (lambda: layers.Permute((2, 1)), (6, 4)),
    "RepeatVector": (lambda: layers.RepeatVector(3), (4,)),
    "Cropping2D": (layers.Cropping2D, (8, 8, 4)),
    "UpSampling2D": (lambda: layers.UpSampling2D(interpolation="bilinear"), (8, 8, 4)),
    "ZeroPadding2D": (layers.ZeroPadding2D, (8, 8, 4)),
    "ReLU": (lambda: layers.ReLU(6.0, 0.1), (4,)),
    "LeakyReLU": (layers.LeakyReLU, (4,)),
    "PReLU": (layers.PReLU, (4,)),
    "ELU": (layers.ELU, (4,)),
    "Softmax": (layers.Softmax, (4,)),
    "Masking": (layers.Masking, (6, 4)),
    "SimpleRNN": (lambda: layers.SimpleRNN(2), (6, 4)),
    "LSTM": (lambda: layers.LSTM(2, return_sequences=True), (6, 4)),
    "GRU": (lambda: layers.GRU(2), (6, 4)),
    "stateless cells": (lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)]), (6, 4)),
    "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 3), (3, 6, 6, 1)),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(2)), (6, 4)),
    "Rescaling": (lambda: layers.Rescaling(1 / 255), (8, 8, 4)),
    "Resizing": (lambda: layers.Resizing(4, 4, "bicubic"), (8, 8, 4)),
    "CenterCrop": (lambda: layers.CenterCrop(4, 4), (8, 8, 4)),
    "RandomFlip": (layers.RandomFlip, (8, 8, 3)),
    "RandomRotation": (lambda: layers.RandomRotation(0.1), (8, 8, 3)),
    "RandomZoom": (lambda: layers.RandomZoom(0.1), (8, 8, 3)),
    "RandomTranslation": (lambda: layers.RandomTranslation(0.1, 0.1), (8, 8, 3)),
    "RandomContrast": (lambda: layers.RandomContrast(0.1), (8, 8, 3)),
    "RandomBrightness": (lambda: layers.RandomBrightness(0.1), (8, 8, 3)),
    "RandomCrop": (lambda: layers.RandomCrop(4, 4), (8, 8, 3)),
    "Normalization": (lambda: preprocessing(layers.Normalization()), (2,)),
    "Discretization": (lambda: layers.Discretization([0.0, 1.0]), (4,)),
}

# What is done with a batch of strings [batch].
STRINGS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "TextVectorization": lambda: layers.TextVectorization(vocabulary=KEYS, ngrams=2),
    "TextVectorization of tf-idf": lambda: layers.TextVectorization(
        output_mode="tf_idf", vocabulary=KEYS, idf_weights=[1.0, 2.0, 3.0]
    ),
    "StringLookup": lambda: layers.StringLookup(vocabulary=KEYS),
    "StringLookup as one hot": lambda: layers.StringLookup(vocabulary=KEYS, output_mode="one_hot"),
    "Hashing": lambda: layers.Hashing(8, salt=3),
    "Embedding": lambda: tf.keras.Sequential([layers.StringLookup(vocabulary=KEYS), layers.Embedding(5, 2)]),
    "HashedCrossing": lambda: Crossing(),
    "CategoryEncoding": lambda: tf.keras.Sequential([layers.Hashing(4), layers.CategoryEncoding(4, "multi_hot")]),
    "IntegerLookup": lambda: tf.keras.Sequential([layers.Hashing(4), layers.IntegerLookup(vocabulary=[1, 2])]),
}


class Crossing(tf.Module):
    """Two features crossed into one."""

    def __call__(self, texts: Any) -> Any:
        return layers.HashedCrossing(5)((texts, texts))


def parsed(records: Any) -> Any:
    features = {
        "dense": tf.io.FixedLenFeature([2], tf.float32, [0.0, 0.0]),
        "sparse": tf.io.VarLenFeature(tf.int64),
        "ragged": tf.io.RaggedFeature(tf.string),
    }
    found = tf.io.parse_example(records, features)
    return tf.reduce_sum(found["dense"], 1) + tf.cast(tf.sparse.reduce_sum(found["sparse"], 1), tf.float32)


def image(encoded: Any) -> Any:
    picture = tf.image.resize(tf.io.decode_image(encoded, 3, expand_animations=False), [8, 8])
    return tf.image.per_image_standardization(tf.image.stateless_random_flip_left_right(picture, [1, 2]))


def asserted(texts: Any) -> Any:
    with tf.control_dependencies([tf.debugging.assert_less(tf.strings.length(texts), 100)]):
        return tf.identity(texts)


# What people write in preprocess and postprocess, on strings [batch].
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "parse_example": parsed,
    "map_fn over images": lambda texts: tf.map_fn(image, texts, fn_output_signature=tf.float32),
    "PNG": lambda texts: tf.map_fn(lambda one: tf.io.decode_png(one, 1), texts, fn_output_signature=tf.uint8),
    "JPEG": lambda texts: tf.map_fn(lambda one: tf.io.decode_jpeg(one, ratio=2), texts, fn_output_signature=tf.uint8),
    "raw bytes": lambda texts: tf.io.decode_raw(texts, tf.uint8, fixed_length=8),
    "CSV": lambda texts: tf.io.decode_csv(texts, [0.0, ""])[0],
    "hash": lambda texts: tf.strings.to_hash_bucket_strong(texts, 10, [1, 2]),
    "words": lambda texts: tf.strings.split(tf.strings.regex_replace(tf.strings.lower(texts), "[^a-z]", " ")).to_tensor(""),
    "characters": lambda texts: tf.strings.unicode_decode(texts, "UTF-8").to_sparse(),
    "numbers in text": lambda texts: tf.strings.to_number(tf.strings.substr(texts, 0, 2)),
    "text of numbers": lambda texts: tf.strings.join([tf.strings.as_string(tf.strings.length(texts)), texts], "-"),
    "top classes": lambda texts: tf.math.top_k(tf.one_hot(tf.strings.length(texts), 5), 2).indices,
    "spectrum": lambda texts: tf.abs(tf.signal.stft(tf.io.decode_raw(texts, tf.float32, fixed_length=64), 8, 4)),
    "condition": lambda texts: tf.cond(tf.size(texts) > 3, lambda: texts, lambda: texts + "!"),
    "linear algebra": lambda texts: tf.linalg.inv(tf.eye(3)) @ tf.linalg.cholesky(tf.eye(3)),
    "unique": lambda texts: tf.unique_with_counts(texts).count,
    "segments": lambda texts: tf.math.unsorted_segment_sum(tf.strings.length(texts), tf.strings.length(texts), 100),
    "asserted": asserted,
}


@pytest.fixture
def refused_in(tmp_path: Path, refused: Any) -> Iterator[Callable[..., set[str]]]:
    """Saves a function, and what it holds, as a model, as quickly as it can be, and looks it over."""

    def inspect(function: Callable[[Any], Any], spec: Any) -> set[str]:
        model = tf.Module()
        model.held = function

        @tf.function(input_signature=[spec])
        def serve(inputs: Any) -> dict[str, Any]:
            return {"outputs": function(inputs)}

        tf.saved_model.save(model, str(tmp_path / "saved"), signatures={"serving_default": serve})
        return refused(str(tmp_path / "saved"))

    yield inspect
    tf.keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("shape", sorted({shape for _, shape in NUMBERS.values()}), ids=str)
def test_layers_of_numbers_pass(shape: tuple[int, ...], tmp_path: Path, refused: Any) -> None:
    inputs = layers.Input(shape)
    model = tf.keras.Model(inputs, [make()(inputs) for make, taken in NUMBERS.values() if taken == shape])
    model.save(str(tmp_path / "saved"), save_format="tf", include_optimizer=False)
    assert refused(str(tmp_path / "saved")) == set()


def test_attention_passes(tmp_path: Path, refused: Any) -> None:
    inputs = layers.Input([6, 4])
    attended = layers.MultiHeadAttention(2, 2)(inputs, inputs, use_causal_mask=True)
    merged = layers.Concatenate()([layers.Add()([inputs, attended]), layers.Attention()([inputs, attended])])
    merged = layers.Dot(1)([merged, layers.AdditiveAttention()([merged, merged])])
    tf.keras.Model(inputs, merged).save(str(tmp_path / "saved"), save_format="tf", include_optimizer=False)
    assert refused(str(tmp_path / "saved")) == set()


@pytest.mark.parametrize("name", STRINGS)
def test_layer_of_strings_passes(name: str, refused_in: Any) -> None:
    assert refused_in(STRINGS[name](), tf.TensorSpec([None], tf.string)) == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_preprocessing_passes(name: str, refused_in: Any) -> None:
    assert refused_in(FUNCTIONS[name], tf.TensorSpec([None], tf.string)) == set()


@pytest.mark.parametrize(
    "table",
    [
        lambda source: tf.lookup.StaticHashTable(source, -1),
        lambda source: tf.lookup.StaticVocabularyTable(source, 3),
    ],
    ids=["StaticHashTable", "StaticVocabularyTable"],
)
def test_a_table_of_values_passes(table: Any, save: Any, refused: Any) -> None:
    held = table(tf.lookup.KeyValueTensorInitializer(KEYS, tf.constant([0, 1, 2], tf.int64)))
    assert refused(save(lambda texts: tf.cast(held.lookup(texts), tf.float32), {"table": held})) == set()


def test_a_vocabulary_file_passes(tmp_path: Path, save: Any, refused: Any) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    layer = layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    assert refused(save(lambda texts: tf.cast(layer(texts), tf.float32), {"layer": layer})) == set()


def test_a_vocabulary_that_is_learnt_passes(save: Any, refused: Any) -> None:
    layer = layers.TextVectorization()
    layer.adapt(["a b", "c"])
    folder = save(lambda texts: tf.cast(tf.reduce_sum(layer(texts), axis=1), tf.float32), {"layer": layer})
    assert refused(folder) == set()
