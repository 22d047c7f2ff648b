import pytest
import tensorflow as tf

from errors import ConfigError
from modeling import contract

LOSS = "def build_loss():\n"
WIDTH = "tf.io.FixedLenFeature([], tf.float32)"


def refused(name: str) -> str:
    """The error's text, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        contract.load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_module_is_loaded_with_all_it_says(flowers) -> None:
    module = contract.load(flowers())
    assert module.label_key == "kind"
    assert list(module.inputs) == ["width", "petals"]
    assert module.class_labels == ("rose", "lily", "iris")
    assert module.prediction_key == "scores"
    assert module.sample is None


def test_without_class_labels_predictions_are_judged(flowers) -> None:
    module = contract.load(flowers(('CLASS_LABELS = ["rose", "lily", "iris"]', ""), ("def postprocess", "def unused")))
    assert module.prediction_key == "predictions"
    assert module.outputs(3) == {"predictions": 3}


def test_digest_of_a_module_changes_with_its_source(flowers) -> None:
    first, second = contract.load(flowers()), contract.load(flowers(("Dense(3)", "Dense( 3)")))
    assert first.digest != second.digest
    assert first.digest == contract.load(first.name).digest


def test_shapes_and_types_may_be_written_in_short(flowers) -> None:
    module = contract.load(flowers(("FixedLenFeature([2], tf.int64)", 'FixedLenFeature(2, "int64")')))
    assert module.features["petals"] == tf.io.FixedLenFeature([2], tf.int64)


def test_a_missing_module_is_named_with_the_part_that_was_not_found() -> None:
    assert "no module 'nowhere.my_model' ('nowhere' was not found)" in refused("nowhere.my_model")
    assert "no module 'examples.nothing_model' ('examples.nothing_model' was not found)" in refused("examples.nothing_model")


@pytest.mark.parametrize("name", ["", ".model", "a..b"])
def test_what_is_no_import_path_is_refused(name) -> None:
    assert refused(name).startswith("model: ")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def broken(:\n", ", line 1: "),
        ("import no_such_library", "needs the module 'no_such_library', which is not installed"),
        ("raise RuntimeError('first\\nsecond')", "failed with RuntimeError: first"),
        ("import sys\nsys.exit(3)", "failed with SystemExit: 3"),
        ("x = 1", "no preprocess()"),
    ],
    ids=["syntax", "library", "raises", "exits", "empty"],
)
def test_a_module_that_cannot_be_imported_is_one_line(source, expected, write_module) -> None:
    assert expected in refused(write_module(source))


@pytest.mark.parametrize("function", ["preprocess", "build_model", "build_loss", "build_metrics", "run_fn"])
def test_a_missing_function_is_named(function, flowers) -> None:
    assert f"no {function}()" in refused(flowers((f"def {function}(", "def something_else(")))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((LOSS, "def build_loss(labels):\n"), "build_loss(labels) cannot be called as build_loss()"),
        (("def preprocess(raw)", "def preprocess(raw, label)"), "preprocess(raw, label) cannot be called as"),
        (("def postprocess(outputs)", "def postprocess()"), "postprocess() cannot be called as"),
        (("def run_fn(fn_args)", "def run_fn(*, fn_args)"), "run_fn(*, fn_args) cannot be called as"),
        ((LOSS, "build_loss = 3\n\ndef unused():\n"), "build_loss is a int; expected a function build_loss()"),
    ],
    ids=["too many", "two", "too few", "keyword", "no function"],
)
def test_a_wrong_signature_is_shown(change, expected, flowers) -> None:
    assert expected in refused(flowers(change))


def test_optional_arguments_and_builtins_are_fine(flowers) -> None:
    contract.load(flowers((LOSS, "def build_loss(gamma=2):\n"), ("def build_metrics", "build_metrics = list\n\ndef unused")))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("FEATURES = {", "OTHERS = {"), "FEATURES must be a dict"),
        (
            ("FEATURES = {", "FEATURES = []\nOTHERS = {"),
            "FEATURES must be a dict of feature name -> tf.io.FixedLenFeature, got []",
        ),
        ((WIDTH, "tf.float32"), "FEATURES['width'] is a DType; expected a tf.io.FixedLenFeature"),
        ((WIDTH, "tf.io.VarLenFeature(tf.float32)"), "FEATURES['width'] is a VarLenFeature"),
        (
            (WIDTH, "tf.io.FixedLenFeature([None], tf.float32)"),
            "has shape [None]; expected the number of values along every axis",
        ),
        ((WIDTH, "tf.io.FixedLenFeature(None, tf.float32)"), "has shape None"),
        ((WIDTH, "tf.io.FixedLenFeature([], tf.int32)"), "is int32; tf.Examples hold float32, int64 or string"),
        ((WIDTH, "tf.io.FixedLenFeature([], 'number')"), "FEATURES['width']: "),
        (('"width": tf', '"width (mm)": tf'), "a feature named 'width (mm)'; expected letters, digits and underscores"),
        (('"width": tf', "7: tf"), "a feature named 7"),
        (
            ("CLASS_LABELS = [", 'LABEL_KEY = "sort"\nCLASS_LABELS = ['),
            "LABEL_KEY is 'sort'; expected one of FEATURES: width, petals, kind",
        ),
        (("CLASS_LABELS = [", 'LABEL_KEY = ["kind"]\nCLASS_LABELS = ['), "LABEL_KEY is ['kind']; expected one of FEATURES"),
        (("CLASS_LABELS = [", "del LABEL_KEY\nCLASS_LABELS = ["), "LABEL_KEY is None; expected one of FEATURES"),
        (
            ("CLASS_LABELS = [", "FEATURES = {LABEL_KEY: FEATURES[LABEL_KEY]}\nCLASS_LABELS = ["),
            "FEATURES holds only the label 'kind'",
        ),
        (("def postprocess", "def unused"), "CLASS_LABELS needs a postprocess(outputs)"),
        (('["rose", "lily", "iris"]', '"rose"'), "CLASS_LABELS is 'rose'; expected a list of the classes' names"),
        (('["rose", "lily", "iris"]', "[]"), "CLASS_LABELS is []"),
    ],
)
def test_wrong_features_and_labels_are_named(change, expected, flowers) -> None:
    assert expected in refused(flowers(change))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first\nsecond", "first"),
        ("\n\n  first  \nsecond", "first"),
        (
            "Graph execution error:\n\n<stack traces unavailable>\nKey: a. Data types don't match.",
            "Key: a. Data types don't match.",
        ),
        (
            "Graph execution error:\n\nDetected at node loss/Sparse defined at (most recent call last):\n"
            '  File "<stdin>", line 5, in <module>\n\n  File "a.py", line 65, in fit\n\nReceived a label value of 7\n'
            "\t [[{{node}}]]",
            "Received a label value of 7",
        ),
        (
            'in user code:\n\n    File "a.py", line 1, in train  *\n        return step(self)\n\n    ValueError: no target.\n',
            "ValueError: no target.",
        ),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: no such key\n  (1) INVALID_ARGUMENT: no",
            "(0) INVALID_ARGUMENT: no such key",
        ),
        ("Graph execution error:\n", "Graph execution error:"),
        (
            "{{function_node __wrapped__Parse_device_/job:localhost/}} Key: a is required [Op:ParseExampleV2]",
            "Key: a is required",
        ),
        ("", "ValueError"),
    ],
)
def test_one_line_of_an_error_is_the_first_that_says_something(text, line) -> None:
    assert contract.one_line(ValueError(text)) == line


def test_one_line_of_an_error_is_cut_to_a_length() -> None:
    assert contract.one_line(ValueError("x" * 999)) == "x" * 300
