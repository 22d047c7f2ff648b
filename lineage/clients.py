"""Which splits hold a client, and what was trained on them; client ids come in, and never go out.

A client is given as its id, or as `hash:` and its keyed hash, as the lists of `lineage.forgotten` have it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.federated_split.blocks import INDEX_FILE
from lineage import forgotten
from lineage.graph import COMPLETE, EXAMPLES, FEDERATED_EXAMPLES, MODEL, PUSHED_MODEL, Artifact, Graph

HASH = "hash:"
_COLUMN = "client_id"
_CARRIERS = (EXAMPLES, FEDERATED_EXAMPLES, "TransformGraph", MODEL, PUSHED_MODEL)
_ROWS = 1 << 16


@dataclass(frozen=True)
class Division:
    """How a split was divided, as its execution was told.

    Attributes:
      artifact: the split.
      pipeline: that made it.
      strategy: of `components.federated_split`.
      feature: whose value names the client, or the member of a group of clients; None where clients were invented.
    """

    artifact: Artifact
    pipeline: str
    strategy: str
    feature: str | None

    @property
    def grouped(self) -> bool:
        """Whether the index names groups of what the feature names."""
        return self.feature is not None and self.strategy != "by_key"


@dataclass(frozen=True)
class Holding:
    """What is known of a client; artifact ids of splits, rising.

    Attributes:
      held: their index has it.
      possible: its clients are groups, and who is in them is not written down.
      unknown: there is no index any more, or none that can be read.
      clear: a feature names their clients, and it is none of them.
    """

    held: tuple[int, ...]
    possible: tuple[int, ...]
    unknown: tuple[int, ...]
    clear: tuple[int, ...]


def divisions(graph: Graph, pipeline: str | None = None) -> list[Division]:
    """Returns how every split was divided, of one pipeline or of all, oldest first."""
    found = (_division(graph, artifact) for artifact in graph.of_type(FEDERATED_EXAMPLES))
    return [one for one in found if pipeline in (None, one.pipeline)]


def splits_holding(root: str | os.PathLike[str], graph: Graph, client: str, pipeline: str | None = None) -> Holding:
    """Returns which splits hold a client.

    Args:
      root: the pipeline root, whose key a keyed hash was made with.
      graph: all that ML Metadata knows, or the part to look in.
      client: see above. An id that a strategy invented names somebody in one split only.
      pipeline: look at its splits alone.

    Raises:
      IntegrityError: for a keyed hash: the key is gone.
    """
    found: dict[str, list[int]] = {"held": [], "possible": [], "unknown": [], "clear": [], "": []}
    for division in divisions(graph, pipeline):
        found[_kind(root, division, client)].append(division.artifact.id)
    return Holding(*(tuple(found[kind]) for kind in ("held", "possible", "unknown", "clear")))


def carriers(graph: Graph, holding: Holding) -> set[int]:
    """Returns the ids of all that has the client's data in it: splits, examples, models, pushed models.

    From the splits that hold it, or may, to the Examples they divided; from there to every model that was trained on any of
    these, or began with one that was, and to what was pushed of it. Not what was only found out about models: a decision, or a
    later model that was compared with one.
    """
    splits = {*holding.held, *holding.possible, *holding.unknown}
    examples = {one for one in graph.upstream(splits) if graph.artifacts[one].type == EXAMPLES}
    found: set[int] = set()
    ahead = [*(splits & graph.artifacts.keys()), *examples]
    while ahead:
        one = ahead.pop()
        if one not in found and one not in holding.clear:
            found.add(one)
            ahead.extend(_made_of(graph, one))
    return found


def _made_of(graph: Graph, artifact: int) -> Iterator[int]:
    for user in graph.users(artifact):
        if user.state != COMPLETE:
            continue
        keys = {key for key, given in graph.inputs(user.id).items() if any(one.id == artifact for one in given)}
        for one in _flat(graph.outputs(user.id).values()):
            if one.type in _CARRIERS and (one.type != PUSHED_MODEL or "model" in keys):
                yield one.id


def _flat(lists: Iterable[list[Artifact]]) -> list[Artifact]:
    return [one for several in lists for one in several]


def _division(graph: Graph, artifact: Artifact) -> Division:
    maker = graph.producer(artifact.id)
    strategy = str(artifact.properties.get("strategy", ""))
    if maker is None:
        return Division(artifact, "", strategy, None)
    try:
        parameters = json.loads(str(maker.properties.get("parameters", "{}")))
    except (ValueError, RecursionError):  # somebody wrote to ML Metadata by hand
        parameters = {}
    return Division(artifact, maker.pipeline, str(maker.properties.get("strategy", strategy)), _key(parameters))


def _key(parameters: Any) -> str | None:
    key = parameters.get("key") if isinstance(parameters, dict) else None
    return key if isinstance(key, str) else None


def _kind(root: str | os.PathLike[str], division: Division, client: str) -> str:
    if division.grouped and not client.startswith(HASH) and _in_index(root, division, client) == "held":
        return "held"  # the id of the group itself
    if division.grouped:
        return "possible"
    kind = _in_index(root, division, client)
    return "" if division.feature is None and kind == "clear" else kind


def _in_index(root: str | os.PathLike[str], division: Division, client: str) -> str:
    folders = sorted(Path(division.artifact.uri).glob("Split-*"))
    try:
        if not folders:
            raise FileNotFoundError(division.artifact.uri)
        held = any(_index_holds(root, division.pipeline, folder / INDEX_FILE, client) for folder in folders)
    except (OSError, pa.ArrowException):
        return "unknown"
    return "held" if held else "clear"


def _index_holds(root: str | os.PathLike[str], pipeline: str, index: Path, client: str) -> bool:
    with pq.ParquetFile(index) as file:
        if client.startswith(HASH):
            key, wanted = forgotten.read_key(root), client.removeprefix(HASH)
            return any(forgotten.keyed_hash(key, pipeline, one) == wanted for one in _ids(file))
        groups = (group for group in range(file.num_row_groups) if _may_hold(file, group, client))
        return any(
            pc.any(pc.equal(file.read_row_group(group, columns=[_COLUMN]).column(0), client)).as_py() for group in groups
        )


def _ids(file: pq.ParquetFile) -> Iterator[str]:
    """Yields a split's clients, a batch of them in memory; one may come twice where batches meet."""
    for batch in file.iter_batches(_ROWS, columns=[_COLUMN]):
        yield from pc.unique(batch.column(0)).to_pylist()


def _may_hold(file: pq.ParquetFile, group: int, client: str) -> bool:
    """Rows are sorted by client: most groups tell by their first and last one that it is not among theirs."""
    metadata = file.metadata.row_group(group)
    column = next(metadata.column(at) for at in range(metadata.num_columns) if metadata.column(at).path_in_schema == _COLUMN)
    known = column.statistics
    return known is None or not known.has_min_max or known.min <= client <= known.max
