import pytest

from errors import ConfigError
from modeling import contract
from modeling.check import check

MODEL = "tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense(3)])"
LOSS = "tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
METRICS = '[tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]'
SCORES = '{"scores": tf.nn.softmax(outputs)}'
PREPROCESS = 'tf.concat([raw["width"][:, tf.newaxis], tf.cast(raw["petals"], tf.float32)], axis=1)'
RUN = "def run_fn"


def refused(name: str) -> str:
    """The error's text, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        check(contract.load(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["examples.digits.digits_model", "examples.mnist.mnist_model"])
def test_the_modules_that_we_ship_pass(name) -> None:
    check(contract.load(name))


def test_a_module_with_numpy_constants_passes(flowers) -> None:
    scale = ("def preprocess", "import numpy as np\nSCALE = np.float32(2)\n\n\ndef preprocess")
    check(contract.load(flowers(scale, (PREPROCESS, f"SCALE * {PREPROCESS}"))))


def test_a_feature_may_be_named_like_a_word_of_python(flowers) -> None:
    check(contract.load(flowers(('"width": tf', '"class": tf'), ('raw["width"]', 'raw["class"]'))))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((MODEL, "tf.keras.layers.Dense(3)"), "build_model() returned a Dense; expected a tf.keras.Model"),
        (
            (f"    return {MODEL}", f'    model = {MODEL}\n    model.compile("sgd", "mse")\n    return model'),
            "drop the .compile()",
        ),
        ((MODEL, "tf.keras.Sequential([tf.keras.layers.Dense(3)])"), "without weights, because nothing tells the shape"),
        ((MODEL, "tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.ReLU()])"), "without trainable weights"),
        (
            (MODEL, MODEL.replace("([3]),", "([3]), tf.keras.layers.BatchNormalization(),")),
            "is a BatchNormalization, whose moving",
        ),
        (
            (MODEL, MODEL.replace("([3]),", "([3]), tf.keras.layers.experimental.SyncBatchNormalization(),")),
            "use GroupNormalization or LayerNormalization",
        ),
        ((MODEL, MODEL.replace("Input([3])", "Input([4])")), "build_model failed on made-up examples: "),
        ((MODEL, "1 / 0"), "build_model failed on made-up examples: ZeroDivisionError: division by zero"),
    ],
)
def test_a_model_that_cannot_be_averaged_is_refused(change, expected, flowers) -> None:
    assert expected in refused(flowers(change))


@pytest.mark.parametrize(
    "returned",
    ["MODEL", "tf.keras.Sequential([tf.keras.layers.Input([3]), *MODEL.layers])"],
    ids=["same model", "shared layers"],
)
def test_models_that_share_weights_are_refused(returned, flowers) -> None:
    once = ("def build_model", f"MODEL = {MODEL}\n\n\ndef build_model")
    assert "build_model() returned the same weights twice" in refused(flowers((MODEL, returned), once))


def test_models_of_different_shapes_are_refused(flowers) -> None:
    growing = MODEL.replace("([3]),", "([3]), tf.keras.layers.Dense(next(SIZES)),")
    counter = ("def build_model", "import itertools\nSIZES = itertools.count(4)\n\n\ndef build_model")
    assert "two models with weights of different shapes" in refused(flowers((MODEL, growing), counter))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(PREPROCESS, 'raw["kind"]')], "preprocess failed on made-up examples: KeyError: 'kind'"),
        ([(PREPROCESS, 'raw["petals"].numpy().astype("float32").repeat(2, 1)[:, :3]')], "preprocess, in a graph, failed"),
        (
            [(PREPROCESS, f"tf.ensure_shape(tf.numpy_function(lambda x: x, [{PREPROCESS}], tf.float32), [None, 3])")],
            "calls Python at run time",
        ),
        (
            [("def preprocess", "SCALE = tf.constant(2.0)\n\n\ndef preprocess"), (PREPROCESS, f"SCALE * {PREPROCESS}")],
            "preprocess uses a tensor, variable or table that was made outside of it",
        ),
        (
            [("def preprocess", "SCALE = tf.Variable(2.0)\n\n\ndef preprocess"), (PREPROCESS, f"SCALE * {PREPROCESS}")],
            "preprocess uses a tensor, variable or table that was made outside of it",
        ),
        (
            [
                ("def preprocess", "LOOKUP = tf.keras.layers.IntegerLookup(vocabulary=[1, 2])\n\n\ndef preprocess"),
                ('tf.cast(raw["petals"]', 'tf.cast(LOOKUP(raw["petals"])'),
            ],
            "preprocess uses a tensor, variable or table that was made outside of it",
        ),
        ([(PREPROCESS, f"tf.reshape({PREPROCESS}, [1, -1])[:, :3]")], "of shape [1, 3] for 2 examples; expected [batch, ...]"),
    ],
    ids=["no label", "eager", "python", "constant", "variable", "table", "mixes examples"],
)
def test_a_preprocess_that_clients_cannot_run_is_refused(changes, expected, flowers) -> None:
    metrics_and_loss = [(METRICS, "[]"), (LOSS, "Anything()"), (RUN, ANY_LOSS + RUN)] if "batch" in expected else []
    assert expected in refused(flowers(*changes, *metrics_and_loss))


ANY_LOSS = """class Anything(tf.keras.losses.Loss):
    def call(self, label, outputs):
        return tf.reduce_sum(outputs, axis=-1)


"""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(LOSS, "tf.keras.losses.mean_squared_error")], "build_loss() returned a function; expected a tf.keras.losses.Loss"),
        ([(LOSS, "tf.keras.losses.CategoricalCrossentropy()")], "build_loss failed on made-up examples: "),
        (
            [(LOSS, 'tf.keras.losses.SparseCategoricalCrossentropy(reduction="none")')],
            "a loss of shape [2]; expected one number",
        ),
        (
            [(LOSS, "Anything()"), (RUN, ANY_LOSS.replace("outputs, axis", "outputs / 0, axis") + RUN)],
            "expected a finite number",
        ),
        (
            [("LABEL_KEY: tf.io.FixedLenFeature([], tf.int64)", "LABEL_KEY: tf.io.FixedLenFeature([], tf.string)")],
            "build_loss failed",
        ),
    ],
    ids=["function", "shape of the label", "no reduction", "not finite", "type of the label"],
)
def test_a_loss_that_does_not_fit_is_refused(changes, expected, flowers) -> None:
    assert expected in refused(flowers(*changes))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ('["accuracy"]', "build_metrics() returned ['accuracy']; expected a list of tf.keras.metrics.Metric"),
        ("[tf.keras.metrics.CategoricalAccuracy(name='loss')]", "the metric name 'loss' is taken"),
        (f"2 * {METRICS}", "the metric name 'accuracy' is taken"),
        ("[tf.keras.metrics.MeanTensor()]", "metric 'mean_tensor' "),
        ("[tf.keras.metrics.MeanIoU(2)]", "metric 'mean_io_u' failed on made-up examples"),
    ],
)
def test_metrics_that_do_not_fit_are_refused(metrics, expected, flowers) -> None:
    assert expected in refused(flowers((METRICS, metrics)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((SCORES, "outputs"), "expected a dict with 'scores'"),
        ((SCORES, '{"logits": outputs}'), "postprocess() returned ['logits']; expected a dict with 'scores'"),
        ((SCORES, '{"scores": outputs[:, :2]}'), "postprocess() returns [2, 2] scores for 3 CLASS_LABELS"),
        (
            (SCORES, '{"scores": outputs[:, 0]}'),
            "postprocess() returns [2] scores for 3 CLASS_LABELS; expected [batch, classes]",
        ),
        ((SCORES, '{"scores": outputs, "names": tf.constant(["a"])}'), "gives 'names' of shape [1] for 2 examples"),
        ((SCORES, '{"scores": outputs["nothing"]}'), "postprocess failed on made-up examples"),
        ((SCORES, '{"scores": tf.constant(outputs.numpy())}'), "the export failed on made-up examples"),
    ],
)
def test_answers_that_cannot_be_served_are_refused(change, expected, flowers) -> None:
    assert expected in refused(flowers(change))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("1 / 0", "sample() failed: ZeroDivisionError"),
        ("[1]", "sample() returned a list; expected a dict"),
        ('{"widht": 1.0}', "sample() has widht, which FEATURES has not; known: width, petals, kind"),
        ('{"width": "broad"}', "sample()['width'] does not fit FEATURES (float32, shape [])"),
        ('{"petals": [1, 2, 3]}', "sample()['petals'] does not fit FEATURES (int64, shape [2])"),
    ],
)
def test_a_made_up_example_that_does_not_fit_is_refused(sample, expected, flowers) -> None:
    assert expected in refused(flowers((RUN, f"def sample():\n    return {sample}\n\n\n{RUN}")))


def test_encoded_data_without_a_sample_brings_a_hint(flowers) -> None:
    encoded = ('"width": tf.io.FixedLenFeature([], tf.float32)', '"width": tf.io.FixedLenFeature([], tf.string)')
    decoded = ('raw["width"][:, tf.newaxis]', 'tf.io.decode_png(raw["width"][0])')
    assert "add sample() with a made-up example" in refused(flowers(encoded, decoded))
