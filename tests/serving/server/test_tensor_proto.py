import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tensorflow.core.framework import tensor_pb2, types_pb2

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


@given(
    st.sampled_from([*TYPES, "object"]).flatmap(
        lambda dtype: st_numpy.arrays(
            dtype,
            st_numpy.array_shapes(min_dims=0, min_side=0, max_side=9),
            elements=st.binary(max_size=200) if dtype == "object" else None,
        )
    )
)
def test_what_is_sent_is_what_protobuf_would_send(array: np.ndarray) -> None:
    assert tensor_proto.wire(array) == tensor_proto.from_array(array).SerializeToString()


@pytest.mark.parametrize(
    ("dtype", "field", "sent"),
    [
        (tf.float16, "half_val", [0x3C00, 0xC000]),
        (tf.bfloat16, "half_val", [0x3F80, 0xC000]),
        (tf.complex64, "scomplex_val", [1, 0, -2, 0]),
        (tf.complex128, "dcomplex_val", [1, 0, -2, 0]),
    ],
)
def test_rare_types_are_in_typed_fields_too(dtype: tf.DType, field: str, sent: list[float]) -> None:
    array = np.array([[1], [-2]]).astype(dtype.as_numpy_dtype)
    proto = tensor_proto.from_array(array)
    assert (proto.dtype, list(getattr(proto, field)), proto.tensor_content) == (dtype.as_datatype_enum, sent, b"")
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    assert tensor_proto.from_array(array.reshape(2, 1)[::-1]).SerializeToString() == tensor_proto.wire(array[::-1])


def test_many_floats_are_in_typed_fields_too() -> None:
    array = np.arange(300, dtype=np.float32).reshape(3, 100)
    proto = tensor_proto.from_array(array)
    assert (len(proto.float_val), proto.tensor_content) == (300, b"")
    np.testing.assert_array_equal(read(proto), array)


def test_one_value_may_stand_for_all() -> None:
    assert read(tf.make_tensor_proto(7.0, shape=[2, 100])).tolist() == [[7.0] * 100] * 2
    assert read(tf.make_tensor_proto([b"a", b""])).tolist() == [b"a", b""]


def many_sizes(sizes: list[int], dtype: int = tf.float32.as_datatype_enum, **values) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add().size = size
    return proto


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (many_sizes([4_000_000], 7, string_val=[b"x" * 20_000]), "4000000 values by its shape, but only 20"),
        (many_sizes([700_000], 7, string_val=[b""]), "700000 values"),
        (many_sizes([4_200_000], float_val=[1]), "4200000 values"),
        (many_sizes([2_100_000], 9, int64_val=[1]), "2100000 values"),
        (many_sizes([4_200_000]), "4200000 values"),
        (many_sizes([2**62] * 30_000), "30000 dimensions; expected at most 32"),
        (many_sizes([2**62] * 32), "larger than any message"),
        (many_sizes([0, 2**40]), "larger than any message"),
        (many_sizes([2**20, 0, 2**20]), "larger than any message"),
        (many_sizes([1] * 33, float_val=[1]), "33 dimensions"),
        (many_sizes([-1]), "not fully known"),
    ],
)
def test_few_bytes_cannot_ask_for_much_memory_or_time(proto, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        read(proto)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_many_small_values_are_no_repetition() -> None:
    assert read(many_sizes([3_000_000], 9, int64_val=bytes(3_000_000))).sum() == 0
    assert read(many_sizes([800_000], 7, string_val=[b""] * 800_000)).shape == (800_000,)
    assert read(many_sizes([0, 28, 28, 1])).shape == (0, 28, 28, 1)


@pytest.mark.parametrize(
    "sent", [{}, {"tensor_content": b"12345"}, {"string_val": [b"a"]}, {"half_val": [1]}, {"int_val": [300]}]
)
def test_tensors_of_every_type_are_read_or_refused(sent: dict) -> None:
    for number in types_pb2.DataType.values():
        for sizes in ([], [1], [5], [-3]):
            proto = many_sizes(sizes, number, **sent)
            signature = Signature("s", {"x": TensorSpec(types_pb2.DataType.Name(number), None)}, {})
            try:
                found = tensor_proto.inputs({"x": proto}, signature)["x"]
            except ApiError as error:
                assert error.code == "INVALID_ARGUMENT"
            else:
                assert list(found.shape) == sizes


def test_an_input_that_is_left_out_has_its_default_if_there_is_one() -> None:
    inputs = {"x": TensorSpec("DT_FLOAT", ()), "y": TensorSpec("DT_FLOAT", ())}
    signature = Signature("s", inputs, {}, {"y": np.float32(3)})
    found = tensor_proto.inputs({"x": tf.make_tensor_proto(1.0)}, signature)
    assert (float(found["x"]), float(found["y"])) == (1, 3)
    with pytest.raises(ApiError, match=r"Missing but required: \{x\}"):
        tensor_proto.inputs({}, signature)
