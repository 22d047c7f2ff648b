import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from modeling import contract
from modeling.export import WARMUP_FILE, export

CLASSES = 'CLASS_LABELS = ["rose", "lily", "iris"]'
SCORES = '{"scores": tf.nn.softmax(outputs)}'


@pytest.fixture
def exported(tmp_path):
    """Exports an untrained model of a module and loads it as a server does."""

    def run(name: str):
        module = contract.load(name)
        export(module.build_model(), module, str(tmp_path / "model"))
        return tf.saved_model.load(str(tmp_path / "model"))

    return run


def serialized(**features: bytes) -> bytes:
    example = tf.train.Example()
    for key, value in features.items():
        example.features.feature[key].bytes_list.value.append(value)
    return example.SerializeToString()


def warmup(tmp_path) -> list[prediction_log_pb2.PredictionLog]:
    records = tf.data.TFRecordDataset(str(tmp_path / "model" / WARMUP_FILE))
    return [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]


def test_an_image_model_answers_encoded_images_in_every_signature_alike(exported) -> None:
    images = [tf.io.encode_png(np.full([8, 8, 1], grey, np.uint8)).numpy() for grey in (0, 100, 200)]
    signatures = exported("examples.digits.digits_model").signatures
    assert sorted(signatures) == ["classify", "serve_examples", "serving_default"]
    answer = signatures["serving_default"](image=tf.constant(images))
    assert answer["scores"].shape == [3, 10]
    np.testing.assert_allclose(np.sum(answer["scores"], axis=1), 1, rtol=1e-5)
    examples = tf.constant([serialized(image=image) for image in images])
    np.testing.assert_array_equal(signatures["serve_examples"](examples=examples)["scores"], answer["scores"])
    classified = signatures["classify"](inputs=examples)
    np.testing.assert_array_equal(classified["scores"], answer["scores"])
    assert classified["classes"].shape == [3, 10]
    assert classified["classes"].numpy()[2].tolist() == [str(digit).encode() for digit in range(10)]
    likeliest = [str(digit).encode() for digit in np.argmax(answer["scores"], axis=1)]
    assert answer["label"].numpy().tolist() == likeliest


def test_warm_up_requests_are_answered_by_their_signatures(exported, tmp_path) -> None:
    signatures = exported("examples.digits.digits_model").signatures
    requests = [log.predict_log.request for log in warmup(tmp_path)]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default", "serve_examples"]
    for request in requests:
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        assert answer["scores"].shape == [1, 10]


def test_raw_features_are_asked_for_by_name_type_and_shape(exported, flowers, flower_records, tmp_path) -> None:
    signatures = exported(flowers()).signatures
    asked = signatures["serving_default"].structured_input_signature[1]
    assert {key: (spec.shape.as_list(), spec.dtype) for key, spec in asked.items()} == {
        "width": ([None], tf.float32),
        "petals": ([None, 2], tf.int64),
    }
    raw = {"width": tf.constant([-1.0, 0.0]), "petals": tf.constant([[0, 1], [1, 1]], tf.int64)}
    from_examples = signatures["serve_examples"](examples=tf.constant(flower_records(2)))
    np.testing.assert_array_equal(signatures["serving_default"](**raw)["scores"], from_examples["scores"])
    assert len(warmup(tmp_path)) == 2


@pytest.mark.parametrize(
    ("model", "postprocess", "typed"),
    [
        ("Dense(1)", "def unused", ["regress"]),
        ("Dense(2)", "def unused", []),
        ("Dense(1)", 'def postprocess(outputs):\n    return {"predictions": outputs[:, 0]}\n\n\ndef unused', ["regress"]),
        ("Dense(1)", 'def postprocess(outputs):\n    return {"predictions": tf.as_string(outputs)}\n\n\ndef unused', []),
    ],
    ids=["one number", "two numbers", "one number without an axis", "text"],
)
def test_only_a_regression_of_one_number_can_regress(model, postprocess, typed, exported, flowers, flower_records) -> None:
    name = flowers((CLASSES, ""), ("def postprocess", postprocess), ("Dense(3)", model))
    signatures = exported(name).signatures
    assert sorted(signatures) == [*typed, "serve_examples", "serving_default"]
    predictions = signatures["serve_examples"](examples=tf.constant(flower_records(4)))["predictions"]
    if typed:
        outputs = signatures["regress"](inputs=tf.constant(flower_records(4)))["outputs"]
        assert (outputs.shape, outputs.dtype) == ([4, 1], tf.float32)
        np.testing.assert_array_equal(np.reshape(outputs, [-1]), np.reshape(predictions, [-1]))


def test_whole_number_scores_are_classified_as_floats(exported, flowers, flower_records) -> None:
    name = flowers((SCORES, '{"scores": tf.one_hot(tf.argmax(outputs, 1), 3, dtype=tf.int64)}'))
    scores = exported(name).signatures["classify"](inputs=tf.constant(flower_records(4)))["scores"]
    assert scores.dtype == tf.float32
    np.testing.assert_array_equal(np.sum(scores, axis=1), 1)


def test_an_exported_model_is_a_keras_model_with_the_same_weights(flowers, tmp_path) -> None:
    module = contract.load(flowers())
    model = module.build_model()
    export(model, module, str(tmp_path / "model"))
    loaded = tf.keras.models.load_model(str(tmp_path / "model"))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
