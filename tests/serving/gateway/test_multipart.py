from __future__ import annotations

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
        (b"--xyz--", "multipart/form-data; boundary=" + "a" * 71),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(Refusal) as raised:
        parts(body, kind)
    assert raised.value.status == 400


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"--xyz", b"\r\n", b"--", b"Content-Disposition: form-data;", b' name="a"', b"\xff", b":"])))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    try:
        parts(b"".join(pieces), KIND)
    except Refusal as refusal:
        assert refusal.status == 400
