"""docs/reference/lineage-json.md tells of every key that `--json` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineage.questions import differing, listing, origin, reaching

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "lineage-json.md"
# Below these the keys are names of settings, metrics, splits, facts, and what decision.json has.
OPEN = {
    "settings",
    "in_effect",
    "recorded",
    "privacy",
    "parameters",
    "metrics",
    "facts",
    "counts",
    "patterns",
    "checks",
    "nodes",
}
OPEN |= {"no_anomalies", "override", "approvals", "groups"}


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in OPEN:
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_is_documented(pipelines: Any) -> None:
    first = pipelines.whole("r-1", text="1")
    pipelines.whole("r-2", base=first["model"], served=first["model"], text="1")
    pipelines.remove(first["model"])
    places = pipelines.places
    with places.opened() as store:
        printed = [
            origin.of_text("p", store, places).as_json(),
            reaching.of_text(f"id:{first['examples']}", store, places).as_json(),
            differing.of_texts("p", f"id:{first['model']}", store, places).as_json(),
            [line.as_json() for line in listing.model_lines(store, places)],
            [line.as_json() for line in listing.run_lines(store, places)],
        ]
    documented = set(re.findall(r"`([a-z_]+)`", PAGE.read_text(encoding="utf-8")))
    assert set(keys(printed)) - documented == set()
