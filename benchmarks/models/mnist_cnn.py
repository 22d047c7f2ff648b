"""McMahan's CNN on MNIST (2017, section 3), 1,663,370 parameters; images are raw bytes, one a pixel."""

import tensorflow as tf

from modeling import centralised

LABEL_KEY = "label"
FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), LABEL_KEY: tf.io.FixedLenFeature([], tf.int64)}
CLASS_LABELS = [str(digit) for digit in range(10)]
SIDE = 28


def preprocess(raw):
    """Raw pixels [batch] to grey values in [0, 1], [batch, 28, 28, 1]."""
    pixels = tf.ensure_shape(tf.io.decode_raw(raw["image"], tf.uint8), [None, SIDE * SIDE])
    return tf.reshape(tf.cast(pixels, tf.float32) / 255.0, [-1, SIDE, SIDE, 1])


def build_model():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([SIDE, SIDE, 1]),
            tf.keras.layers.Conv2D(32, 5, padding="same", activation="relu"),
            tf.keras.layers.MaxPool2D(),
            tf.keras.layers.Conv2D(64, 5, padding="same", activation="relu"),
            tf.keras.layers.MaxPool2D(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(512, activation="relu"),
            tf.keras.layers.Dense(len(CLASS_LABELS)),
        ]
    )


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return [tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def postprocess(outputs):
    """Logits [batch, 10] to class scores that add up to 1, and the likeliest class's label."""
    return {"scores": tf.nn.softmax(outputs), "label": tf.gather(CLASS_LABELS, tf.argmax(outputs, axis=-1))}


def sample():
    return {"image": bytes(SIDE * SIDE)}


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
