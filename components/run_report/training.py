"""How the model was trained, and what is promised of its clients' privacy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.federated_trainer.privacy.accounting import NOT_COVERED, SEEDED_NOISE
from components.run_report.sources import Sources

NO_PRIVACY = (
    "No differential privacy. Nothing limits what this model, or the records of its training, can reveal about any one client;"
    " that examples stay with their clients while they train is not a privacy guarantee."
)
NO_PRIVACY_POOLED = (
    "No differential privacy. The model is trained on pooled examples, and nothing limits what it, or its records,"
    " can reveal about any one of them."
)
_FACTS = (
    "algorithm",
    "rounds",
    "clients",
    "clients_per_round",
    "exported",
    "exported_round",
    "attempts",
    "excluded_updates",
    "least_clients",
    "largest_weight_share",
    "sampling_digest",
)
_PRIVACY = ("epsilon", "epsilon_total", "epsilon_rdp", "delta", "noise_multiplier", "privacy_unit", "noise")


def training(sources: Sources) -> dict[str, Any]:
    """Algorithm, rounds, clients and settings, of the training itself and not of the config: it may be from the cache."""
    properties = sources.model.properties
    maker = sources.graph.producer(sources.model.id)
    settings = _settings(maker.properties if maker else {}, "settings" if sources.federated else "custom_config")
    return {
        "federated": sources.federated,
        **{name: properties[name] for name in _FACTS if name in properties},
        "seed": maker.properties.get("seed", settings.get("seed")) if maker else None,
        "settings": settings,
        "seconds": maker.seconds if maker else None,
        "run": maker.run if maker else None,
        "module": maker.properties.get("module", maker.properties.get("run_fn")) if maker else None,
    }


def _settings(properties: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        given = json.loads(str(properties[key]))
    except (KeyError, ValueError, RecursionError):
        return {}
    return dict(_flat(given, "")) if isinstance(given, dict) else {}


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys, without those that are not used."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif value is not None:
            yield f"{before}{key}", value


def privacy(sources: Sources) -> dict[str, Any]:
    """Epsilon with its unit and what it does not cover; that there is none, where there is none."""
    properties = sources.model.properties
    if "epsilon" not in properties:
        return {"private": False, "said": NO_PRIVACY if sources.federated else NO_PRIVACY_POOLED}
    return {
        "private": True,
        **{name: properties[name] for name in _PRIVACY if name in properties},
        "not_covered": NOT_COVERED,
        "seeded": SEEDED_NOISE if properties.get("noise") == "seeded" else None,
    }
