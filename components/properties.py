"""Custom properties of an artifact, from plain values."""

from __future__ import annotations

from collections.abc import Mapping

from tfx import types


def put(artifact: types.Artifact, facts: Mapping[str, int | float | str]) -> None:
    """Sets a custom property for each fact, of the type that its value has; a bool is an int."""
    for key, value in facts.items():
        if isinstance(value, str):
            artifact.set_string_custom_property(key, value)
        elif isinstance(value, int):
            artifact.set_int_custom_property(key, value)
        else:
            artifact.set_float_custom_property(key, value)
