"""The schema that a user wrote, as a node."""

from components.curated_schema.component import CuratedSchema

__all__ = ["CuratedSchema"]
