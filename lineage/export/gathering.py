"""From a store to the Scope of an export."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from errors import FedtfxError
from lineage import audit_log, reading
from lineage.export.scope import Scope
from lineage.graph import Artifact, Graph
from lineage.places import Places
from lineage.questions import naming, served
from serving import records

MODEL_KEY = "model"
"""Under this key all nodes take in the model that they judge, bless or push; what it is compared with comes under another."""

_STORES = uuid.UUID("5d0d4f0a-4c0e-5b5e-9f0e-0a3d7d1f6a57")  # any constant: names of stores are made in it


def identity(store: Any) -> uuid.UUID:
    """Returns an id for an ML Metadata store, by its first context: the same wherever the store or a copy of it lies."""
    from ml_metadata.metadata_store import ListOptions, OrderByField

    first = store.get_contexts(ListOptions(limit=1, order_by=OrderByField.ID, is_asc=True))
    return uuid.uuid5(_STORES, "/".join(f"{one.type}/{one.name}/{one.create_time_since_epoch}" for one in first))


def of_model(store: Any, model: int) -> Graph:
    """Returns what a model was made from, what judged it, and its pushes; of what it was compared with only that."""
    return reading.joined(reading.upstream(store, [model]), reading.users(store, [model], MODEL_KEY))


def scope(store: Any, graph: Graph, places: Places) -> Scope:
    """Returns the scope of a part of the graph, with what is served now.

    Args:
      store: ML Metadata.
      graph: the part.
      places: where models are served; a live version is known by its bytes, one that was altered is not marked.
    """
    pushed = [one for one in served.pushes(store) if one.id in graph.artifacts or one.model_id in graph.artifacts]
    makers = reading.makers(store, graph.artifacts)
    made = {number: maker.id for number in graph.artifacts if (maker := makers.producer(number)) is not None}
    return Scope(graph, identity(store), made, _live(store, places, pushed), _pushed_by(places, pushed))


def _live(store: Any, places: Places, pushed: list[Artifact]) -> dict[int, str]:
    live: dict[int, str] = {}
    for name in sorted({place[0] for one in pushed if (place := served.place(one))} & set(served.names(places.serving_root))):
        here = served.model(places.serving_root, name, pushed)
        version = here.version(here.live)
        checked = served.checked(version, pushed) if version else None
        if checked is None or checked.bytes != served.AS_PUSHED:
            continue
        for push in checked.pushes:
            model = naming.model_of(store, push)
            live |= {push.id: checked.name} | ({model.id: checked.name} if model else {})
    return live


def _pushed_by(places: Places, pushed: list[Artifact]) -> dict[int, str]:
    """By the line that the push wrote; who found these bytes served already pushed nothing. An altered log is not believed."""
    try:
        log = audit_log.read(Path(places.serving_root, records.FILE))
    except FedtfxError:
        return {}
    by = {
        (entry.facts.get("model"), entry.facts.get("version"), entry.facts.get("digest")): entry.by
        for entry in log
        if entry.event == records.PUSH
    }
    keys = {one.id: (*(served.place(one) or ()), one.digest) for one in pushed if not one.properties.get("already_served")}
    return {number: by[key] for number, key in keys.items() if key in by}
