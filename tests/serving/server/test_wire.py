import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2

from serving.server import wire
from serving.server.status import ApiError


def request(count: int, *, context: bool = False) -> classification_pb2.ClassificationRequest:
    made = classification_pb2.ClassificationRequest()
    made.model_spec.name = "m"
    listed = made.input.example_list_with_context if context else made.input.example_list
    for number in range(count):
        listed.examples.add().features.feature["x"].float_list.value.extend([number] * 300)
    return made


@pytest.mark.parametrize("context", [False, True])
def test_a_message_with_more_parts_than_allowed_is_refused_before_it_is_parsed(context: bool) -> None:
    raw = request(50, context=context).SerializeToString()
    wire.check_parts(raw, 53)  # the model's name, the input, its list
    with pytest.raises(ApiError, match="more than 52 parts"):
        wire.check_parts(raw, 52)


@pytest.mark.parametrize("part", [b"\x0a\x00", b"\x7a\x00", b"\x08\x00", b"\x0d1234", b"\x12\x02\x0a\x00"])
def test_parts_that_nobody_knows_count_too(part: bytes) -> None:
    with pytest.raises(ApiError, match="more than 1000 parts"):
        wire.check_parts(part * 1001, 1000)


@given(st.binary(max_size=60))
def test_any_bytes_are_looked_at_or_refused(raw: bytes) -> None:
    try:
        wire.check_parts(raw, 10)
    except ApiError as error:
        assert error.code == "INVALID_ARGUMENT"
