"""The data: where it came from, how much there is, which features, and how it is divided among clients."""

from __future__ import annotations

import fnmatch
import json
import os
from pathlib import Path
from typing import Any

from components.run_report.sources import Missing, Sources

_SOURCES = {
    "DigitsExampleGen": "handwritten digits of scikit-learn",
    "IdxExampleGen": "images and labels in IDX files",
    "ContentExampleGen": "files",
}
_FEATURES_SHOWN = 200


def data(sources: Sources) -> dict[str, Any]:
    """Source, fingerprint, examples per split and features."""
    examples = sources.artifact("examples")
    counts = {name.removeprefix("num_examples_"): value for name, value in examples.properties.items() if _counts(name)}
    return {
        "source": _source(sources),
        "fingerprint": examples.properties.get("input_fingerprint"),
        "digest": examples.digest,
        "splits": dict(sorted(counts.items(), reverse=True)),
        "seed": examples.properties.get("seed"),
        "features": _part(_features, sources),
    }


def _counts(name: str) -> bool:
    return name.startswith("num_examples_")


def _part(read: Any, sources: Sources) -> Any:
    """A part of a section that may be missing by itself."""
    try:
        return read(sources)
    except Missing as reason:
        return str(reason)


def _source(sources: Sources) -> str:
    """What ExampleGen read: the kind of source and, of files, where they lay and their names."""
    try:
        maker = sources.maker("examples")
    except Missing as reason:
        return f"not available: {reason}"
    kind = _SOURCES.get(maker.type.rpartition(".")[2], maker.type.rpartition(".")[2])
    folder = str(maker.properties.get("input_base", ""))
    patterns = _patterns(str(maker.properties.get("input_config", "")))
    if any(fnmatch.fnmatchcase(os.path.basename(folder), pattern) for pattern in patterns):
        return f"{kind}: {folder}"  # data.path names one file
    return f"{kind}: {', '.join(patterns)} in {folder}" if folder else kind


def _patterns(config: str) -> list[str]:
    try:
        return [split["pattern"] for split in json.loads(config)["splits"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _features(sources: Sources) -> list[dict[str, Any]]:
    """Name, type, shape and allowed values of the schema's features."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    artifact = sources.artifact("schema")
    path = next((path for path in sorted(Path(artifact.uri).glob("*.pbtxt")) if path.is_file()), None)
    if path is None:
        raise Missing("SchemaGen's schema is gone")
    schema = text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    return [_feature(feature, domains) for feature in schema.feature[:_FEATURES_SHOWN]]


def _feature(feature: Any, domains: dict[str, list[str]]) -> dict[str, Any]:
    shape = [dimension.size for dimension in feature.shape.dim] if feature.HasField("shape") else None
    return {
        "name": feature.name,
        "type": type(feature).DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[feature.type].name.lower(),
        "shape": "x".join(map(str, shape)) or "scalar" if shape is not None else "any",
        "required": feature.presence.min_fraction == 1.0,
        "values": _values(feature, domains),
    }


def _values(feature: Any, domains: dict[str, list[str]]) -> str | None:
    """How many values are allowed, not which: they come from the data."""
    if feature.HasField("domain"):
        return f"{len(domains.get(feature.domain, [])):,} allowed"
    if feature.HasField("int_domain"):
        return f"{feature.int_domain.min} to {feature.int_domain.max}"
    if feature.HasField("float_domain"):
        return f"{feature.float_domain.min:g} to {feature.float_domain.max:g}"
    return None


def split(sources: Sources) -> dict[str, Any]:
    """How the examples are divided among clients, without any client's id."""
    if not sources.federated:
        raise Missing("the model is trained on pooled examples; there are no clients")
    found = sources.json("federated_examples", "partition.json")
    kept = found.get("eval") or {}
    return {
        "strategy": found["strategy"],
        "parameters": {name: value for name, value in found["parameters"].items() if isinstance(value, int | float | str)},
        "seed": found["seed"],
        "clients": found["num_clients"],
        "examples": found["num_examples"],
        "sizes": found["examples_per_client"],
        "dropped": found.get("dropped_examples", 0),
        "held_out_clients": found.get("held_out_clients", 0),
        "heterogeneity": found.get("heterogeneity", {}),
        "labels": found.get("label_totals", {}),
        "evaluation": {"clients": kept["num_clients"], "examples": kept["num_examples"]} if kept else None,
    }
