"""Which of several decisions about a model counts: a run that took the training from the cache judges the same model again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lineage.graph import Artifact, Graph, Value
from lineage.jsonable import jsonable
from lineage.questions.facts import Judgement

BLESSED, REFUSED, FORCED, HELD = "blessed", "refused", "forced", "held back"


def in_a_word(said: Mapping[str, Value]) -> str:
    """Returns what a decision or a blessing says; empty if it says nothing."""
    if "blessed" not in said:
        return ""
    forced = {"force": FORCED, "hold": HELD}.get(str(said.get("override", "")))
    return forced or (BLESSED if said["blessed"] == 1 else REFUSED)


def pushed_live(pushed: Sequence[Artifact]) -> Artifact | None:
    """Returns the PushedModel by which a version is live: the oldest that was not held back, or else the oldest."""
    return next((one for one in pushed if one.properties.get("live") != 0), pushed[0] if pushed else None)


def deciding(decisions: Sequence[Artifact], pushed: Artifact | None) -> Artifact | None:
    """Returns the decision that a model was pushed by, or else the newest; None if nobody decided.

    Args:
      decisions: about the model, oldest first.
      pushed: its PushedModel. A stock one does not name its decision: that is the newest of before it.
    """
    if pushed is not None:
        uri = pushed.properties.get("decision_uri")
        named = [one for one in decisions if uri and one.uri == uri]
        if found := named or [one for one in decisions if one.id < pushed.id]:
            return found[-1]
    return decisions[-1] if decisions else None


def others(graph: Graph, decisions: Iterable[Artifact], told: Artifact) -> tuple[Judgement, ...]:
    """Returns the decisions about a model but for the one that is told, oldest first; `graph` holds what made them."""
    return tuple(_judgement(graph, one, one.id > told.id) for one in decisions if one.id != told.id)


def otherwise(decision: str, judged: Iterable[Judgement]) -> list[Judgement]:
    """Returns the later decisions that say something else than the one that is told, newest first."""
    return [one for one in reversed(tuple(judged)) if one.later and one.decision not in ("", decision)]


def _judgement(graph: Graph, decided: Artifact, later: bool) -> Judgement:
    maker = graph.producer(decided.id)
    failed = str(decided.properties.get("failed_checks", "")).split(",")
    return Judgement(
        id=decided.id,
        run=maker.run if maker else "",
        created=jsonable(decided.created),
        decision=in_a_word(decided.properties),
        failed_checks=tuple(name.strip() for name in failed if name.strip()),
        later=later,
    )
