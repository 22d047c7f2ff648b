from __future__ import annotations

import numpy as np
import pytest

from errors import DataError
from serving import protocol
from serving.client import tensors
from serving.client.examples import to_json, to_proto
from serving.client.values import NUMPY_TYPES, to_arrays
from serving.server.signature import Signature, TensorSpec

ROW = Signature(
    "rows",
    {
        "name": TensorSpec("DT_STRING", (None,)),
        "size": TensorSpec("DT_FLOAT", (None,)),
        "fins": TensorSpec("DT_INT8", (None, 2)),
    },
    {},
)
PIXELS = Signature("pixels", {"x": TensorSpec("DT_UINT8", (None, 2, 2))}, {})


def test_one_sample_becomes_a_batch_of_one() -> None:
    arrays = to_arrays({"name": "a", "size": 1, "fins": [1, 2]}, ROW)
    assert {name: array.shape for name, array in arrays.items()} == {"name": (1,), "size": (1,), "fins": (1, 2)}
    assert arrays["size"].dtype == np.float32


def test_the_only_input_needs_no_name() -> None:
    assert to_arrays([[[1, 2], [3, 4]]], PIXELS)["x"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": "1"}, "is not float"),
        ({"size": True}, "is not float"),
        ({"fins": [1.0, 2.0]}, "is not int8"),
        ({"fins": [1, 300]}, "out of the range of int8"),
        ({"fins": [1, 2, 3]}, r"has shape \[1, 3\]; expected \[\?,2\]"),
        ({"fins": [[1, 2], [3]]}, "lists of different lengths"),
        ({"name": 3}, "is not a string"),
        ({"name": {"b64": "?"}}, "neither UTF-8 text nor base64"),
        ({"name": "\ud800"}, "neither UTF-8 text nor base64"),
        ({"colour": 1}, "'colour' is not an input"),
    ],
)
def test_a_wrong_value_is_named(change, said: str) -> None:
    with pytest.raises(DataError, match=said):
        to_arrays({"name": "a", "size": 1, "fins": [1, 2], **change}, ROW)


def test_rows_with_other_names_are_counted() -> None:
    good = {"name": "a", "size": 1, "fins": [1, 2]}
    with pytest.raises(DataError, match="row 2 has name"):
        to_arrays([good, {"name": "b"}], ROW)


@pytest.mark.parametrize("dtype", sorted(NUMPY_TYPES))
def test_an_array_survives_being_a_tensor_proto(dtype: str) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(NUMPY_TYPES[dtype])
    if dtype == "DT_STRING":
        array = np.array([[b"a", b"", b"\xff"]], object)
    proto = protocol.message("tensorflow.TensorProto")()
    tensors.fill(proto, array)
    found = tensors.to_array(proto)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_protos_in_typed_fields_are_read() -> None:
    import tensorflow as tf

    for values in ([1.5, 2.5], [True, False], [1, 2]):
        for dtype in (tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.int8, tf.uint16, tf.int64, tf.uint64, tf.bool):
            array = tf.cast(tf.constant(values), dtype)
            wire = _typed_fields(array)
            expected = array.numpy().astype(np.float32) if dtype == tf.bfloat16 else array.numpy()
            assert np.array_equal(tensors.to_array(wire), expected)


def _typed_fields(tensor):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    wire = tf.make_tensor_proto(tensor.numpy().tolist(), dtype=tensor.dtype)
    assert isinstance(wire, tensor_pb2.TensorProto)
    return protocol.message("tensorflow.TensorProto").FromString(wire.SerializeToString())


def test_the_last_value_stands_for_the_rest() -> None:
    proto = protocol.message("tensorflow.TensorProto")(dtype=1, float_val=[2.0])
    proto.tensor_shape.dim.add().size = 3
    assert tensors.to_array(proto).tolist() == [2.0, 2.0, 2.0]


def test_a_proto_with_too_many_values_is_refused() -> None:
    proto = protocol.message("tensorflow.TensorProto")(dtype=1, float_val=[2.0, 3.0])
    with pytest.raises(DataError, match="cannot be read"):
        tensors.to_array(proto)


def test_the_features_of_an_example_keep_their_kind() -> None:
    features = {"a": 1.0, "b": [1, 2], "c": "ü", "d": b"\xff", "e": True, "f": np.float32([0.5])}
    proto = to_proto(features).features.feature
    assert {name: proto[name].WhichOneof("choice") for name in features} == {
        "a": "float_list",
        "b": "int64_list",
        "c": "bytes_list",
        "d": "bytes_list",
        "e": "int64_list",
        "f": "float_list",
    }
    assert to_json(features)["a"] == [1.0]
    assert to_json(features)["d"] == [{"b64": "/w=="}]


@pytest.mark.parametrize("value", [None, [[1], [2]], [1, "a"], {"x": 1}])
def test_a_feature_that_is_no_list_of_one_kind_is_refused(value) -> None:
    with pytest.raises(DataError, match="feature x"):
        to_proto({"x": value})
