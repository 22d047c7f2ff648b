"""ImportSchemaGen whose cache follows the schema's content: the stock one knows the file's path only, and misses every edit."""

from __future__ import annotations

import os

from tfx import types
from tfx.components.schema_gen.import_schema_gen import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec

from errors import ConfigError
from lineage.digests import file_digest

DIGEST = "schema_digest"


class CuratedSchemaSpec(ImportSchemaGenSpec):
    """ImportSchemaGen's, and the sha256 of the file."""

    PARAMETERS = {**ImportSchemaGenSpec.PARAMETERS, DIGEST: ExecutionParameter(type=str)}


class CuratedSchema(base_component.BaseComponent):
    """Publishes a schema file (protobuf text) as the output `schema`.

    Raises:
      ConfigError: there is no such file.
    """

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, schema_file: str) -> None:
        if not os.path.isfile(schema_file):
            raise ConfigError(f"data.schema: no file {schema_file}; give a schema in protobuf text form, or leave it out.")
        spec = CuratedSchemaSpec(
            schema_file=schema_file,
            schema_digest=file_digest(schema_file),
            schema=types.Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)
