"""The code that made it: commit, digests of sources and locked set, versions; of earlier runs too, if these made parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.run_report.sources import Missing, Sources

_KEYS = ("git_commit", "code_version", "lock_digest", "config_digest", "python", "seed")
_VERSION = "version_"


def code(sources: Sources) -> dict[str, Any]:
    """Facts of the run, of the earlier runs that made what was taken from the cache, and the code version of each node."""
    run = sources.graph.runs.get(sources.run)
    if run is None:
        raise Missing("ML Metadata does not tell of the run")
    made = {maker.run for maker in sources.makers} - {sources.run}
    earlier = [sources.graph.runs[name] for name in sorted(made) if name in sources.graph.runs]
    return {
        "run": run.name,
        "started": run.created.isoformat(timespec="seconds"),
        **_facts(run.facts),
        "versions": {name.removeprefix(_VERSION): of for name, of in sorted(run.facts.items()) if name.startswith(_VERSION)},
        "earlier": [
            {
                "run": one.name,
                "nodes": [maker.node for maker in sources.makers if maker.run == one.name],
                **_facts(one.facts),
            }
            for one in earlier
        ],
        "nodes": [
            {"node": maker.node, "code_version": version}
            for maker in sources.makers
            if (version := maker.properties.get("code_version"))
        ],
        "module": next((one.properties["module"] for one in sources.makers if "module" in one.properties), None),
        "module_digest": next(
            (one.properties["module_digest"] for one in sources.makers if "module_digest" in one.properties), None
        ),
    }


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found.get(key) for key in _KEYS}
