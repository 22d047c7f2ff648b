"""What a report is made from: the artifacts of one run by their roles, and the graph of what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.run_report.roles import ROLES
from lineage.graph import DELETED, Artifact, Execution, Graph

_LARGEST = 64 << 20


class Missing(Exception):
    """Something is not available; says why, in words that stand in the page."""


@dataclass(frozen=True)
class Sources:
    """Attributes:
    name: of the pipeline, under which the model is served.
    run: name of the run that is reported on.
    artifacts: by role; a role that the run does not have is not there.
    graph: at least what made these artifacts; empty where ML Metadata cannot be read.
    card: the config's section `model_card`, as plain values; empty where it has none, None where that was not recorded.
    """

    name: str
    run: str
    artifacts: Mapping[str, Artifact]
    graph: Graph
    card: Mapping[str, Any] | None

    @classmethod
    def of_run(cls, graph: Graph, run: str, card: Mapping[str, Any] | None) -> Sources:
        """Finds the artifacts of a run in a graph that holds the whole run, whether they were made or taken from the cache."""
        by_output = {output: role for role, output in ROLES.items()}
        found: dict[str, Artifact] = {}
        for execution in graph.of_run(run):
            for key, artifacts in graph.outputs(execution.id).items():
                if (role := by_output.get((execution.node, key))) and artifacts:
                    found[role] = artifacts[0]
            if execution.node == ROLES["decision"][0]:  # a Resolver has no outputs in ML Metadata
                served = graph.inputs(execution.id).get("served", [])
                found |= dict(zip(["served_model"], served, strict=False))
        return cls(graph.runs[run].pipeline, run, found, graph, card)

    @property
    def federated(self) -> bool:
        """Whether the model under test was trained by clients."""
        return "federated_model" in self.artifacts

    @property
    def model(self) -> Artifact:
        """The model under test."""
        return self.artifact("federated_model" if self.federated else "central_model")

    def artifact(self, role: str) -> Artifact:
        """Returns an artifact; raises Missing if the run has none in this role."""
        if role not in self.artifacts:
            raise Missing(f"the run has no {ROLES[role][1].replace('_', ' ')} of {ROLES[role][0]}")
        return self.artifacts[role]

    def file(self, role: str, name: str) -> Path:
        """Returns a file of an artifact; raises Missing if it is not there or too large to be what it should be."""
        artifact = self.artifact(role)
        path = Path(artifact.uri, name)
        if artifact.state == DELETED or not Path(artifact.uri).is_dir():
            raise Missing(f"the directory of {ROLES[role][0]}'s {ROLES[role][1].replace('_', ' ')} is gone")
        if not path.is_file():
            raise Missing(f"{ROLES[role][0]} left no {name}")
        if path.stat().st_size > _LARGEST:
            raise Missing(f"{name} is larger than such a file can be")
        return path

    def json(self, role: str, name: str) -> dict[str, Any]:
        """Returns the JSON object in a file of an artifact; raises Missing if there is none."""
        path = self.file(role, name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise Missing(f"{name} cannot be read ({type(error).__name__})") from error
        if not isinstance(content, dict):
            raise Missing(f"{name} holds no JSON object")
        return content

    def maker(self, role: str) -> Execution:
        """Returns the execution that made an artifact; raises Missing if ML Metadata does not tell."""
        maker = self.graph.producer(self.artifact(role).id)
        if maker is None:
            raise Missing(f"ML Metadata does not tell what made the {ROLES[role][1].replace('_', ' ')}")
        return maker

    @cached_property
    def makers(self) -> list[Execution]:
        """The executions that made the artifacts, each once, in their order."""
        found = (self.graph.producer(artifact.id) for artifact in self.artifacts.values())
        by_id = {maker.id: maker for maker in found if maker is not None}
        return [by_id[number] for number in sorted(by_id)]
