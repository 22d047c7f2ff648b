"""Plain Keras: `fit` over the examples of all clients, in their order and batches, as one data set in one place.

    python benchmarks/peers/keras_fit.py --workload C

It takes as many steps as all clients together, one after the other, so it learns more in a round than federated averaging.
"""

from __future__ import annotations

import importlib
import os
import sys

import turns
from workloads import ROOT, chosen, initial_weights, load

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(ROOT))
import tensorflow as tf


def main() -> None:
    """Makes ready and runs rounds; see the module's docstring."""
    options = turns.parser().parse_args()
    workload = chosen(options)
    module = importlib.import_module(f"benchmarks.models.{workload.model}")
    images, labels = load(workload)
    x = module.preprocess({"image": tf.constant([image.tobytes() for image in images.reshape(labels.size, -1)])}).numpy()
    model = module.build_model()
    model.set_weights(initial_weights(workload))
    model.compile(tf.keras.optimizers.SGD(workload.learning_rate), module.build_loss(), module.build_metrics())
    talk = turns.Turns(options)
    while talk.wait():
        history = model.fit(x, labels.reshape(-1), batch_size=workload.batch, shuffle=False, verbose=0)
        talk.done(history.history["loss"][0])


if __name__ == "__main__":
    main()
