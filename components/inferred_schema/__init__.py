"""The schema that is inferred from the data, as a node."""

from components.inferred_schema.component import InferredSchema

__all__ = ["InferredSchema"]
