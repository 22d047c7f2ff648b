import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from serving.server import tensor_proto
from serving.server.signature import Signature, TensorSpec
from serving.server.status import ApiError

TYPES = ["float32", "float64", "float16", "int8", "int64", "uint8", "uint64", "bool"]


def read(proto) -> np.ndarray:
    dtype = f"DT_{tf.as_dtype(proto.dtype).name.upper().replace('FLOAT32', 'FLOAT').replace('FLOAT64', 'DOUBLE')}"
    dtype = dtype.replace("DT_FLOAT16", "DT_HALF")
    return tensor_proto.inputs({"x": proto}, Signature("s", {"x": TensorSpec(dtype, None)}, {}))["x"]


@given(
    st.sampled_from(TYPES).flatmap(
        lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, min_side=0, max_side=9))
    )
)
def test_every_array_comes_back_from_typed_fields_and_from_bytes(array: np.ndarray) -> None:
    for proto in (tensor_proto.from_array(array), tf.make_tensor_proto(array)):
        found = read(proto)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_many_floats_are_in_typed_fields_too() -> None:
    array = np.arange(300, dtype=np.float32).reshape(3, 100)
    proto = tensor_proto.from_array(array)
    assert (len(proto.float_val), proto.tensor_content) == (300, b"")
    np.testing.assert_array_equal(read(proto), array)


def test_one_value_may_stand_for_all() -> None:
    assert read(tf.make_tensor_proto(7.0, shape=[2, 100])).tolist() == [[7.0] * 100] * 2
    assert read(tf.make_tensor_proto([b"a", b""])).tolist() == [b"a", b""]


def test_an_input_that_is_left_out_has_its_default_if_there_is_one() -> None:
    inputs = {"x": TensorSpec("DT_FLOAT", ()), "y": TensorSpec("DT_FLOAT", ())}
    signature = Signature("s", inputs, {}, {"y": np.float32(3)})
    found = tensor_proto.inputs({"x": tf.make_tensor_proto(1.0)}, signature)
    assert (float(found["x"]), float(found["y"])) == (1, 3)
    with pytest.raises(ApiError, match=r"Missing but required: \{x\}"):
        tensor_proto.inputs({}, signature)
