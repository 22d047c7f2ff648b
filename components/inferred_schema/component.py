"""SchemaGen that leaves features open: the stock one lists the values of every text feature that has few of them.

Whoever is named by a client key is then listed in the schema, and a client who was not there when it was inferred is an
anomaly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import SchemaGenSpec

from components.inferred_schema import executor
from lineage.digests import code_digest


class InferredSchemaSpec(SchemaGenSpec):
    """SchemaGen's, the open features (JSON list of names) and the digest of this package."""

    PARAMETERS = {
        **SchemaGenSpec.PARAMETERS,
        executor.OPEN_FEATURES_KEY: ExecutionParameter(type=str),
        "code_version": ExecutionParameter(type=str),
    }


class InferredSchema(base_component.BaseComponent):
    """tfx.components.SchemaGen, except that `open_features` may hold any value, and none of theirs is in the schema."""

    SPEC_CLASS = InferredSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self, *, statistics: types.BaseChannel, exclude_splits: Sequence[str] = (), open_features: Sequence[str] = ()
    ) -> None:
        spec = InferredSchemaSpec(
            statistics=statistics,
            infer_feature_shape=1,
            exclude_splits=json.dumps([*exclude_splits]),
            open_features=json.dumps([*open_features]),
            code_version=code_digest(Path(__file__).parent),
            schema=types.Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)
