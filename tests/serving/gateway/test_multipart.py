from __future__ import annotations

import time

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway.multipart import parts
from serving.gateway.refusals import Refusal

KIND = "multipart/form-data; boundary=xyz"


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abcäöü_", min_size=1), st.binary(), min_size=1, max_size=5))
def test_what_a_client_library_writes_is_read(contents: dict[str, bytes]) -> None:
    request = httpx.Request("POST", "http://host/", files={name: ("x.png", content) for name, content in contents.items()})
    assert parts(request.read(), request.headers["content-type"]) == contents


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", KIND),
        (b"--xyz\r\n", KIND),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf', KIND),
        (b"--xyz\r\nno head\r\n--xyz--", KIND),
        (b"--xyz\r\nContent-Type: a/b\r\n\r\n1\r\n--xyz--", KIND),
        (b'--xyzz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xyz--', KIND),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 30 + b"--xyz--", KIND),
        (b"--xyz\r\nX: " + b"a" * 10000 + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xyz--', KIND),
        (b"--xyz--", "multipart/form-data"),
        (b"--xyz\r\nX: " + b"a" * 1024 + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xyz--', KIND),
        (b"--xyz--", "multipart/form-data; boundary=" + "a" * 71),
        (b"--xyz--", KIND + "; a=" + "b" * 300),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(Refusal) as raised:
        parts(body, kind)
    assert raised.value.status == 400


@pytest.mark.parametrize("header", [";a" * 100_000, ';a="' * 50_000, ";a=b" * 50_000, '; "' * 50_000])
def test_head_of_any_length_is_refused_in_no_time(header: str) -> None:
    body = b"--xyz\r\nContent-Disposition: form-data" + header.encode() + b"\r\n\r\n1\r\n--xyz--"
    began = time.process_time()
    for arguments in ((body, KIND), (b"--xyz--", "multipart/form-data" + header)):
        with pytest.raises(Refusal):
            parts(*arguments)
    assert time.process_time() - began < 0.1


def test_name_may_be_quoted_or_not_and_stand_behind_another_parameter() -> None:
    for disposition in ('name="a"', "NAME=a", 'filename="b;name=c"; name="a"', 'filename="\\";name=b"; name="a"'):
        body = f"--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n1\r\n--xyz--".encode()
        assert parts(body, 'multipart/form-data; boundary="xyz"') == {"a": b"1"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"--xyz", b"\r\n", b"--", b"Content-Disposition: form-data;", b' name="a"', b"\xff", b":"])))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    try:
        parts(b"".join(pieces), KIND)
    except Refusal as refusal:
        assert refusal.status == 400
