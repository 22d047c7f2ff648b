"""A run that takes its training from the cache judges a pushed model again: what it was pushed by stays what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from lineage.questions import differing, impact, listing, origin, story, wording

SINCE = "blessed; refused since by r-2"


def asked(again: Any, question: Any, *given: Any) -> Any:
    with again.places.opened() as store:
        return question(*given, store, again.places)


def test_live_model_is_listed_with_the_decision_it_went_live_by_and_the_later_one_beside_it(again: Any) -> None:
    line = asked(again, listing.model_lines)[0]
    assert (line.live, line.decision) == (True, "blessed")
    told = [(one.run, one.decision, one.failed_checks, one.later) for one in line.other_decisions]
    assert told == [("r-2", "refused", ("value",), True), ("r-3", "blessed", (), True)]
    assert SINCE in "\n".join(wording.model_table([line], 160))


def test_impact_tells_of_both_decisions(again: Any) -> None:
    found = asked(again, impact.of_text, str(again.source))
    assert [one.model.decision for one in found.models] == ["blessed"]
    assert SINCE in "\n".join(wording.impact(found, 160))


def test_show_tells_the_decision_of_the_push_and_every_later_one(again: Any) -> None:
    found = asked(again, origin.of_text, "p")
    assert (found.decision.record.run, found.decision.blessed) == ("r-1", True)
    assert [(one.run, one.decision) for one in found.other_decisions] == [("r-2", "refused"), ("r-3", "blessed")]
    text = "\n".join(story.lines(found, 160))
    assert "later  refused by run r-2" in text and "failed value" in text and "later  blessed by run r-3" in text


def test_show_of_the_later_run_tells_its_decision_and_the_one_of_the_push(again: Any) -> None:
    found = asked(again, origin.of_text, "run:r-2")
    assert (found.decision.record.run, found.decision.blessed) == ("r-2", False)
    assert [(one.run, one.decision, one.later) for one in found.other_decisions] == [
        ("r-1", "blessed", False),
        ("r-3", "blessed", True),
    ]
    text = "\n".join(story.lines(found, 160))
    assert "before  blessed by run r-1" in text


def test_diff_tells_that_a_side_was_judged_otherwise_since(again: Any) -> None:
    decision = {fact.name: fact for fact in asked(again, differing.of_texts, "p", "run:r-2").groups["decision"]}
    assert (decision["verdict"].a, decision["verdict"].b) == ("blessed", "refused")
    assert decision["judged since"].a == "refused by r-2"


def test_model_that_was_never_pushed_has_the_newest_decision(pipelines: Any) -> None:
    made = pipelines.data("r-1")
    made["model"] = pipelines.train("r-1", made["federated_examples"])
    pipelines.judge("r-1", made["model"], made["examples"], blessed=False)
    pipelines.judged_again("r-2", made, blessed=True)
    line = asked(pipelines, listing.model_lines)[0]
    assert (line.decision, [(one.run, one.decision) for one in line.other_decisions]) == ("blessed", [("r-1", "refused")])
    assert "since" not in "\n".join(wording.model_table([line], 160))


@pytest.mark.parametrize("text", ["p", "id"])
def test_version_that_was_held_back_first_is_live_by_the_later_push(pipelines: Any, text: str) -> None:
    made = pipelines.whole("r-1")
    model = made["model"]
    pushed = pipelines.writer.store.get_artifacts_by_type("PushedModel")[-1]
    pushed.custom_properties["live"].int_value = 0
    pipelines.writer.store.put_artifacts([pushed])
    pipelines.judge("r-2", model, made["examples"])
    pipelines.push("r-2", model, made["blessing"])
    found = asked(pipelines, origin.of_text, text if text == "p" else f"id:{model}")
    assert (found.decision.record.run, found.pushed_by.name, found.push.record.run) == ("r-2", "r-2", "r-2")
