"""Executor of InferredSchema."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen import executor as stock
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import SCHEMA_KEY
from tfx.utils import io_utils

from components import digested

OPEN_FEATURES_KEY = "open_features"


class Executor(stock.Executor):
    """Infers as the stock executor does, then opens features."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the schema, in which the open features have no domain."""
        super().Do(input_dict, output_dict, exec_properties)
        path = os.path.join(artifact_utils.get_single_uri(output_dict[SCHEMA_KEY]), stock.DEFAULT_FILE_NAME)
        schema = io_utils.SchemaReader().read(path)
        open_up(schema, json.loads(exec_properties[OPEN_FEATURES_KEY]))
        io_utils.write_pbtxt_file(path, schema)
        digested.record(output_dict)


def open_up(schema: schema_pb2.Schema, names: Collection[str]) -> None:
    """Takes the domains of features out of a schema, also from features that share one: it lists the same values."""
    chosen = [feature for feature in schema.feature if feature.name in names]
    shared = {feature.domain for feature in chosen if feature.domain}
    for feature in schema.feature:
        if feature in chosen or feature.domain in shared:
            domain = feature.WhichOneof("domain_info")
            if domain:
                feature.ClearField(domain)
    kept = [domain for domain in schema.string_domain if domain.name not in shared]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
