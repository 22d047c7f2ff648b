"""Versions that were pushed and are not found: they protect what they were made from until a log of releases has them pruned.

Their serving directory may have been moved, or is not mounted, or --serving-root is wrong; who removed them by hand
told nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage import audit_log
from lineage.audit_log import Entry
from lineage.graph import Artifact, Graph
from lineage.questions.served import place
from lineage.retention import served
from lineage.retention.served import Version
from serving import records


@dataclass(frozen=True)
class Unseen:
    """A version that was pushed, is not found, and was not pruned as far as anybody can tell: it may be served.

    Attributes:
      name: `{model}/{version}`; `id:N`, of the PushedModel, if that does not tell where it went.
      folder: that it was pushed to; empty if that is not known.
      pushed: id of the PushedModel.
      models: ids of the Models that it is.
    """

    name: str
    folder: str
    pushed: tuple[int, ...]
    models: tuple[int, ...]
    live = False

    @property
    def why(self) -> str:
        """Why what it was made from stays."""
        where = f"to {self.folder}, is not there" if self.folder else "to a place that ML Metadata does not tell, is not found"
        return f"{self.name}, pushed {where} and was not pruned"


def pushed_and_unseen(serving_root: str | os.PathLike[str], graph: Graph, found: Iterable[Version]) -> list[Unseen]:
    """Returns what was pushed and is not among the `versions` that were found, but for what was pruned.

    Raises:
      IntegrityError: a log of releases was altered.
      OSError: it cannot be read.
    """
    seen = {one for version in found for one in version.pushed}
    missing = [one for one in served.pushes(graph) if one.id not in seen]
    roots = {os.path.dirname(folder) for one in missing if (folder := served.folder_of(one))} | {os.path.abspath(serving_root)}
    logs = [audit_log.read(Path(root, records.FILE)) for root in sorted(roots)]
    return [_unseen(one, graph) for one in missing if not any(_was_pruned(one, log) for log in logs)]


def _unseen(pushed: Artifact, graph: Graph) -> Unseen:
    model, to = graph.model_of(pushed.id), place(pushed)
    name = f"{to[0]}/{to[1]}" if to else f"id:{pushed.id}"
    return Unseen(name, served.folder_of(pushed), (pushed.id,), () if model is None else (model,))


def _was_pruned(pushed: Artifact, log: Sequence[Entry]) -> bool:
    """Whether a log's last word on a version is that it was removed. It must know these bytes: it may be of other models."""
    to = place(pushed)
    if to is None:
        return False
    told = [(event, facts) for event, facts in _of_versions(log) if (facts["model"], facts.get("version")) == to]
    last = next((event for event, _ in reversed(told) if event != records.MISSING), "")
    return last == records.PRUNE and (not pushed.digest or any(facts["digest"] == pushed.digest for _, facts in told))


def _of_versions(log: Sequence[Entry]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields event and facts, with a digest, for every version that entries tell of: one that prunes may tell of several."""
    for entry in log:
        several = entry.facts.get("removed", ()) if entry.event == records.PRUNE else [entry.facts]
        model = {"model": entry.facts.get("model")}
        yield from ((entry.event, {**facts, **model}) for facts in several if "digest" in facts)
