"""ImportSchemaGen whose cache follows the schema's content: the stock one knows the file's path only, and misses every edit."""

from __future__ import annotations

import os

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec

from components.curated_schema.executor import Executor
from errors import ConfigError
from lineage.digests import file_digest

DIGEST = "schema_digest"


class CuratedSchemaSpec(ImportSchemaGenSpec):
    """ImportSchemaGen's, and the sha256 of the file."""

    PARAMETERS = {**ImportSchemaGenSpec.PARAMETERS, DIGEST: ExecutionParameter(type=str)}


class CuratedSchema(base_component.BaseComponent):
    """Publishes a schema file (protobuf text) as the output `schema`.

    Raises:
      ConfigError: there is no such file, or it holds no schema; the line is named.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_file: str) -> None:
        if not os.path.isfile(schema_file):
            raise _wrong(f"no file {schema_file}")
        _check(schema_file)
        spec = CuratedSchemaSpec(
            schema_file=schema_file,
            schema_digest=file_digest(schema_file),
            schema=types.Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)


def _check(schema_file: str) -> None:
    schema = schema_pb2.Schema()
    try:
        with open(schema_file, encoding="utf-8") as file:
            text_format.Parse(file.read(), schema)
    except text_format.ParseError as error:
        reason = str(error).splitlines()[0].split(" : ", 1)[-1].strip("'\" ")  # in front of it, `line:column`
        raise _wrong(f"{schema_file}, line {error.GetLine()}: {reason}") from error
    except UnicodeDecodeError as error:
        raise _wrong(f"{schema_file}: no UTF-8 text") from error
    if not schema.feature:
        raise _wrong(f"{schema_file}: no feature in it")


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"data.schema: {what}; give a schema in protobuf text form, or leave it out.")
