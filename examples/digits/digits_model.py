"""A small convnet that reads handwritten digits from their encoded 8x8 PNG bytes."""

import tensorflow as tf

from modeling import centralised

LABEL_KEY = "label"
FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), LABEL_KEY: tf.io.FixedLenFeature([], tf.int64)}
CLASS_LABELS = [str(digit) for digit in range(10)]
SIDE = 8


def preprocess(raw):
    """Encoded PNG bytes [batch] to grey values in [0, 1], [batch, 8, 8, 1]."""

    def decode(image):
        return tf.ensure_shape(tf.io.decode_png(image, channels=1), [SIDE, SIDE, 1])

    return tf.cast(tf.map_fn(decode, raw["image"], fn_output_signature=tf.uint8), tf.float32) / 255.0


def build_model():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([SIDE, SIDE, 1]),
            tf.keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            tf.keras.layers.MaxPool2D(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
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
    return {"image": tf.io.encode_png(tf.zeros([SIDE, SIDE, 1], tf.uint8)).numpy()}


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
