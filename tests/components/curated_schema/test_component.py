"""A curated schema is read before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.curated_schema import CuratedSchema
from errors import ConfigError


def refused(file: Path) -> str:
    """The error's text, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        CuratedSchema(schema_file=str(file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_schema_is_taken(tmp_path) -> None:
    (tmp_path / "schema.pbtxt").write_text('feature { name: "width" type: FLOAT }\n')
    assert CuratedSchema(schema_file=str(tmp_path / "schema.pbtxt")).exec_properties["schema_file"].endswith("schema.pbtxt")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'feature { name: "a" }\nfeature { nmae: "b" }\n',
            'schema.pbtxt, line 2: Message type "tensorflow.metadata.v0.Feature"',
        ),
        (b'feature {\n  name: "a"\n', "schema.pbtxt, line 2: "),
        (b"name,width\n1,2\n", "schema.pbtxt, line 1: "),
        (b"\x80\x00\xff", "schema.pbtxt: no UTF-8 text"),
        (b"\n# nothing\n", "schema.pbtxt: no feature in it"),
    ],
)
def test_what_is_no_schema_is_refused_with_key_file_and_line(content, expected, tmp_path) -> None:
    (tmp_path / "schema.pbtxt").write_bytes(content)
    message = refused(tmp_path / "schema.pbtxt")
    assert message.startswith("data.schema: ")
    assert expected in message
    assert "protobuf text form" in message


def test_a_missing_schema_is_refused(tmp_path) -> None:
    assert "no file" in refused(tmp_path / "missing.pbtxt")
