"""Signatures and SavedModel, the same for every trainer: what was trained is what is served.

Every exported model answers through

    serving_default   the raw named features (without the label) -> the module's outputs; images as their encoded bytes
    serve_examples    `examples` [batch] of serialized tf.Examples -> the same outputs; for the Evaluator
    classify          `inputs` [batch] of serialized tf.Examples -> `classes`, `scores` [batch, classes]; with CLASS_LABELS
    regress           `inputs` [batch] of serialized tf.Examples -> `outputs` [batch, 1]; without, if the model gives one number

and carries a warm-up request for each of the first two in assets.extra, from the module's made-up example, never from data.
"""

from __future__ import annotations

import os
from typing import Any

from modeling.contract import ModelModule
from modeling.sample import sample_batch

EXAMPLES_SIGNATURE = "serve_examples"
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def export(model: Any, module: ModelModule, directory: str) -> None:
    """Writes `model` as a SavedModel with the signatures above and its warm-up requests."""
    model.save(directory, save_format="tf", include_optimizer=False, signatures=signatures(model, module))
    _write_warmup(module, directory)


def signatures(model: Any, module: ModelModule) -> dict[str, Any]:
    """Returns name -> concrete function."""
    import tensorflow as tf

    def answer(raw: dict[str, Any]) -> dict[str, Any]:
        return module.outputs(model(module.preprocess(raw), training=False))

    def answer_examples(serialized: Any) -> dict[str, Any]:
        return answer(tf.io.parse_example(serialized, module.inputs))

    @tf.function
    def serving_default(**raw: Any) -> dict[str, Any]:
        return answer(raw)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve_examples(examples: Any) -> dict[str, Any]:
        return answer_examples(examples)

    named = {key: tf.TensorSpec([None, *spec.shape], spec.dtype, key) for key, spec in module.inputs.items()}
    result = {"serving_default": serving_default.get_concrete_function(**named), EXAMPLES_SIGNATURE: serve_examples}
    return {**result, **_typed_signature(answer_examples, module)}


def _typed_signature(answer_examples: Any, module: ModelModule) -> dict[str, Any]:
    import tensorflow as tf

    inputs = [tf.TensorSpec([None], tf.string, "inputs")]
    if module.class_labels:

        @tf.function(input_signature=inputs)
        def classify(inputs: Any) -> dict[str, Any]:
            scores = answer_examples(inputs)["scores"]
            classes = tf.tile(tf.constant([module.class_labels]), [tf.shape(scores)[0], 1])
            return {"classes": classes, "scores": tf.cast(scores, tf.float32)}

        return {"classify": classify}

    answer = answer_examples(tf.constant([_sample_example(module)]))["predictions"]
    if answer.shape.num_elements() != 1 or not (answer.dtype.is_floating or answer.dtype.is_integer):
        return {}

    @tf.function(input_signature=inputs)
    def regress(inputs: Any) -> dict[str, Any]:
        return {"outputs": tf.reshape(tf.cast(answer_examples(inputs)["predictions"], tf.float32), [-1, 1])}

    return {"regress": regress}


def _sample_example(module: ModelModule) -> bytes:
    """The module's made-up example, without its label, as a serialized tf.Example."""
    import tensorflow as tf

    example = tf.train.Example()
    for key, tensor in sample_batch(module).items():
        if key == module.label_key:
            continue
        values = tensor.numpy().reshape(-1).tolist()
        feature = example.features.feature[key]
        if tensor.dtype == tf.string:
            feature.bytes_list.value.extend(values)
        elif tensor.dtype.is_floating:
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return example.SerializeToString(deterministic=True)


def _write_warmup(module: ModelModule, directory: str) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    raw = {key: value for key, value in sample_batch(module).items() if key != module.label_key}
    requests = {"serving_default": raw, EXAMPLES_SIGNATURE: {"examples": tf.constant([_sample_example(module)])}}
    path = os.path.join(directory, WARMUP_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.model_spec.signature_name = signature
            for key, tensor in inputs.items():
                log.predict_log.request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString())
