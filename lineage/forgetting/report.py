"""What a client's data went into: splits, models, and which of these are served now; no client ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lineage import clients
from lineage.clients import Division, Holding
from lineage.graph import EXAMPLES, FEDERATED_EXAMPLES, MODEL, Artifact, Graph
from lineage.retention.served import Version


@dataclass(frozen=True)
class Trained:
    """A model that holds a client's data, or may: `served` are the versions on the disk that it is, with their state."""

    artifact: Artifact
    node: str
    run: str
    there: bool
    served: tuple[Version, ...]


@dataclass(frozen=True)
class Report:
    """What is known of a client of one pipeline.

    Attributes:
      pipeline: whose client it is.
      features: that name it: those of the splits that hold it, or may, or else of all.
      holding: splits that hold it, may hold it, or cannot tell any more.
      data: the examples and splits that have a directory still and hold its data, or may.
      models: oldest first.
    """

    pipeline: str
    features: tuple[str, ...]
    holding: Holding
    data: tuple[Artifact, ...]
    models: tuple[Trained, ...]

    @property
    def live(self) -> list[Version]:
        """The versions that answer requests now and hold its data."""
        return [
            version for model in self.models for version in model.served if version.live or version.labels or version.listed
        ]


def report(root: str, graph: Graph, versions: Sequence[Version], client: str, natural: Sequence[Division]) -> Report:
    """Returns what is known of a client of a pipeline.

    Args:
      root: the pipeline root.
      graph: all that ML Metadata knows.
      versions: on the disk of serving directories.
      client: see `lineage.clients`.
      natural: the divisions of one pipeline, at least one, whose clients a feature names.
    """
    pipeline = natural[0].pipeline
    ours = {one.artifact.id for one in natural}
    everywhere = clients.splits_holding(root, graph, client, pipeline)
    held, possible, unknown = (
        tuple(one for one in part if one in ours) for part in (everywhere.held, everywhere.possible, everywhere.unknown)
    )
    holding = Holding(held, possible, unknown, everywhere.clear)
    named = [one for one in natural if one.artifact.id in {*holding.held, *holding.possible}]
    carried = [graph.artifacts[one] for one in sorted(clients.carriers(graph, holding))]
    return Report(
        pipeline=pipeline,
        features=tuple(sorted({str(one.feature) for one in named or natural})),
        holding=holding,
        data=tuple(one for one in carried if one.type in (EXAMPLES, FEDERATED_EXAMPLES) and os.path.isdir(one.uri)),
        models=tuple(_trained(graph, one, versions) for one in carried if one.type == MODEL),
    )


def _trained(graph: Graph, model: Artifact, versions: Sequence[Version]) -> Trained:
    maker = graph.producer(model.id)
    served = tuple(version for version in versions if model.id in version.models)
    return Trained(model, maker.node if maker else "", maker.run if maker else "", os.path.isdir(model.uri), served)
