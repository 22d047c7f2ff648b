"""What a drawing of a model's lineage leaves out unless it is asked for, because it would cover what mostly is looked for."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from lineage.graph import MODEL, PUSHED_MODEL, RUN_REPORT, Artifact, Graph


@dataclass(frozen=True)
class SetAside:
    """Artifacts by what they are to what is in focus; one may be in several.

    Attributes:
      others: about another model than is in focus, with which it was only compared.
      again: about a model, but of another run than that which pushed it, or else made it.
      reports: run reports, which take in everything that their run made.
    """

    others: frozenset[int]
    again: frozenset[int]
    reports: frozenset[int]

    def hidden(self, *, others: bool, again: bool, reports: bool) -> frozenset[int]:
        """Returns what is left out where some kinds are asked for."""
        kinds = ((self.others, others), (self.again, again), (self.reports, reports))
        return frozenset[int]().union(*(kind for kind, wanted in kinds if not wanted))

    def counted(self, hidden: Set[int]) -> dict[str, int]:
        """Returns of what is hidden how much asking for one kind more would show."""
        return {
            "again": len((hidden & self.again) - self.others - self.reports),
            "reports": len((hidden & self.reports) - self.others - self.again),
        }


def set_aside(graph: Graph, start: Iterable[int]) -> SetAside:
    """Returns what may be left out of a drawing around artifacts; none of these themselves is in it."""
    focus = frozenset(start)
    reports = frozenset(one.id for one in graph.of_type(RUN_REPORT))
    return SetAside(_foreign(graph, focus), _again(graph, focus) - focus, reports - focus)


def _foreign(graph: Graph, focus: frozenset[int]) -> frozenset[int]:
    """What says that it is about a model which is none of those in focus; nothing if no model is in focus."""
    looked_at = [graph.artifacts[number] for number in focus]
    own = {one.model_id for one in looked_at if one.model_id} | {one.id for one in looked_at if one.type == MODEL}
    if not own:
        return frozenset()
    return frozenset(number for number, one in graph.artifacts.items() if one.model_id and one.model_id not in own)


def _again(graph: Graph, focus: frozenset[int]) -> frozenset[int]:
    told: dict[int, list[Artifact]] = {}
    for _, one in sorted(graph.artifacts.items()):
        if one.type != MODEL and (model := graph.model_of(one.id)):
            told.setdefault(model, []).append(one)
    found: set[int] = set()
    for model, some in told.items():
        run = _run_of(graph, model, some, focus)
        found |= {one.id for one in some} - {one.id for one in graph.outputs_of_run(run)} if run else set()
    return frozenset(found)


def _run_of(graph: Graph, model: int, told: list[Artifact], focus: frozenset[int]) -> str:
    """The run whose word about a model is shown: of what is in focus, or that pushed it, or made it; empty if none is known."""
    looked_at = [one.id for one in told if one.id in focus]
    pushed = [one.id for one in told if one.type == PUSHED_MODEL and one.properties.get("pushed") == 1]
    makers = (graph.producer(number) for number in (*looked_at, *pushed, model))
    return next((maker.run for maker in makers if maker is not None), "")
