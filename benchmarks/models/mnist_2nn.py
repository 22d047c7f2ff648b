"""McMahan's 2NN on MNIST (2017, section 3): 784-200-200-10; images are raw bytes, one a pixel."""

import tensorflow as tf

from modeling import centralised

LABEL_KEY = "label"
FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), LABEL_KEY: tf.io.FixedLenFeature([], tf.int64)}
CLASS_LABELS = [str(digit) for digit in range(10)]
PIXELS = 784


def preprocess(raw):
    """Raw pixels [batch] to grey values in [0, 1], [batch, 784]."""
    pixels = tf.ensure_shape(tf.io.decode_raw(raw["image"], tf.uint8), [None, PIXELS])
    return tf.cast(pixels, tf.float32) / 255.0


def build_model():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([PIXELS]),
            tf.keras.layers.Dense(200, activation="relu"),
            tf.keras.layers.Dense(200, activation="relu"),
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
    return {"image": bytes(PIXELS)}


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
