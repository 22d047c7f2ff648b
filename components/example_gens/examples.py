"""Making tf.Examples whose bytes are a function of what is in them."""

from __future__ import annotations

import tensorflow as tf


def serialized(example: tf.train.Example) -> bytes:
    """Returns the example's bytes with its features sorted by name; protobuf's default order differs between processes."""
    return example.SerializeToString(deterministic=True)


def image_example(png: bytes, label: int) -> bytes:
    """Returns a serialized tf.Example with the features `image` (an encoded image) and `label` (int64)."""
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
    number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    return serialized(tf.train.Example(features=tf.train.Features(feature={"image": image, "label": number})))
