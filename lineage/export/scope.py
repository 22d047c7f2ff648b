"""What an export is about: a part of the graph, and what of it is served."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.graph import CACHED, COMPLETE, Execution, Graph, Use

READ, MATCHED, MADE, TAKEN, UNFINISHED = "read", "matched", "made", "taken", "unfinished"
"""What an event means. Of a cached execution, inputs are `matched`: it was found by them and read none; outputs are `taken`,
as are those that were there already. `unfinished` are outputs of one that did not complete."""


@dataclass(frozen=True)
class Scope:
    """What is exported.

    Attributes:
      graph: artifacts, executions, uses and runs. Uses that point out of it are left out.
      store: the store's own id, see `gathering.identity`. Ids in it are those of ML Metadata.
      makers: artifact -> the execution that made it, though it be out of the graph.
      live: artifact -> NAME/VERSION, of models and pushed models that are live now.
      pushed_by: PushedModel -> the user who pushed it, if the log of releases knows.
    """

    graph: Graph
    store: uuid.UUID
    makers: Mapping[int, int]
    live: Mapping[int, str] = field(default_factory=dict)
    pushed_by: Mapping[int, str] = field(default_factory=dict)

    def uses(self, *roles: str) -> list[tuple[str, Use]]:
        """Returns the uses within the graph with their roles, by execution, what it read first; of these roles if any."""
        within = (use for use in self.graph.uses if use.execution in self.graph.executions)
        ordered = sorted(within, key=lambda use: (use.execution, use.output, use.key, use.index, use.artifact))
        found = [(self._role(use), use) for use in ordered if use.artifact in self.graph.artifacts]
        return [one for one in found if not roles or one[0] in roles]

    def executions(self) -> list[Execution]:
        """Returns the executions, oldest first."""
        return [self.graph.executions[number] for number in sorted(self.graph.executions)]

    def execution_uuid(self, execution: int) -> uuid.UUID:
        """Returns an id that is the same at every export from this store or a copy of it, and in no other store."""
        return uuid.uuid5(self.store, f"execution/{execution}")

    def run_uuid(self, run: str) -> uuid.UUID:
        """Returns the like for a run."""
        return uuid.uuid5(self.store, f"run/{run}")

    def _role(self, use: Use) -> str:
        state = self.graph.executions[use.execution].state
        if not use.output:
            return MATCHED if state == CACHED else READ
        if state not in (COMPLETE, CACHED):
            return UNFINISHED
        return MADE if self.makers.get(use.artifact) == use.execution else TAKEN
