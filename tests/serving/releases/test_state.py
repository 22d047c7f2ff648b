"""What a command makes of what is served."""

from __future__ import annotations

import itertools

import pytest

from errors import ConfigError
from serving.models_config import Following, Held
from serving.records import Serving
from serving.releases import state, wording

COMPLETE = (1, 2, 3, 4)
FOLLOWS = Serving(Following(), COMPLETE)


def held(*versions: int, complete: tuple[int, ...] = COMPLETE, **labels: int) -> Serving:
    return Serving(Held((*versions, *labels.values()), labels), complete)


PROMOTED = [
    (FOLLOWS, 3, "stable", held(stable=3)),
    (FOLLOWS, 4, "stable", held(stable=4)),
    (FOLLOWS, 2, "beta", held(4, beta=2)),  # only stable takes the place of what is live
    (held(2), 3, "stable", held(stable=3)),
    (held(2), 3, "beta", held(2, beta=3)),
    (held(stable=2), 3, "stable", held(stable=3)),
    (held(stable=2, canary=3), 3, "stable", held(stable=3, canary=3)),
    (held(stable=2, canary=3), 4, "canary", held(stable=2, canary=4)),
    (held(1, stable=2), 3, "canary", held(1, stable=2, canary=3)),
    (held(1, stable=2), 3, "stable", held(stable=3)),
    (held(stable=2), 2, "stable", held(stable=2)),
]


@pytest.mark.parametrize(("now", "version", "name", "after"), PROMOTED)
def test_label(now, version, name, after):
    assert state.label(now, version, name) == after.state


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a b", "a\n"])
def test_label_that_cannot_stand_in_a_url_is_refused(name):
    with pytest.raises(ConfigError, match="such as stable"):
        state.label(FOLLOWS, 3, name)


@pytest.mark.parametrize(
    ("now", "version", "after"),
    [(FOLLOWS, 2, held(4, canary=2)), (held(stable=2), 3, held(stable=2, canary=3)), (held(2), 1, held(2, canary=1))],
)
def test_canary_is_served_beside_what_was(now, version, after):
    assert state.canary(now, version) == after.state


def test_canary_that_would_be_alone_is_refused():
    with pytest.raises(ConfigError, match="expected a version beside the one that is served, got 4"):
        state.canary(FOLLOWS, 4)


@pytest.mark.parametrize(
    ("now", "name", "after"),
    [
        (held(stable=2, canary=3), "canary", held(stable=2)),
        (held(stable=2, canary=3), "stable", held(2, canary=3)),  # stable stays served
        (held(stable=3, canary=3), "canary", held(stable=3)),
        (held(4, canary=3), "canary", held(4)),
        (held(canary=3), "canary", held(3)),  # nothing else is served
        (held(stable=3), "stable", held(3)),
    ],
)
def test_unlabel(now, name, after):
    assert state.unlabel(now, name) == after.state


@pytest.mark.parametrize("now", [FOLLOWS, held(2), held(stable=2)])
def test_label_that_is_not_given_cannot_be_taken_away(now):
    with pytest.raises(ConfigError, match="got 'canary'"):
        state.unlabel(now, "canary")


@pytest.mark.parametrize(
    ("now", "current", "lived", "to", "after"),
    [
        (FOLLOWS, 4, [], None, held(3)),
        (FOLLOWS, 4, [1, 2, 4], None, held(2)),  # what was live before, not what lies below
        (FOLLOWS, 4, [1, 9, 4], None, held(1)),  # 9 is not there any more
        (FOLLOWS, 4, [1, 2, 4], 3, held(3)),
        (held(3), 3, [2, 4, 3], None, held(2)),  # never forward
        (held(stable=3), 3, [], None, held(stable=2)),
        (held(stable=2, canary=3), 3, [2, 3], None, held(stable=2)),
        (held(stable=3, canary=2), 3, [2, 3], 2, held(stable=2, canary=2)),
        (held(stable=4, beta=1, canary=3), 4, [], 2, held(stable=2, beta=1)),
        (held(4, stable=2), 4, [], 3, held(3, stable=2)),
        (Serving(Following(), (1, 2)), 3, [1, 2, 3], None, held(2, complete=(1, 2))),  # 3 is broken
        (Serving(Held((3,), {"stable": 3}), (1, 2)), 3, [1, 2, 3], None, held(stable=2, complete=(1, 2))),
        (Serving(Held((1, 3), {"beta": 1, "stable": 3}), (2,)), 3, [], None, held(stable=2, complete=(2,))),
    ],
)
def test_rollback(now, current, lived, to, after):
    assert state.rollback(now, current, lived, to) == after.state


@pytest.mark.parametrize(
    ("now", "current", "to", "told"),
    [
        (Serving(Following(), (4,)), 4, None, "expected a complete version before 4, which is live, got none"),
        (Serving(Following(), ()), None, None, "expected any complete version, got none"),
        (Serving(Following(), (5,)), 4, None, "before 4"),
        (FOLLOWS, 4, 4, "expected a version before 4, which is live, got 4"),
        (held(2), 2, 3, "expected a version before 2, which is live, got 3"),
        (FOLLOWS, 4, 9, r"expected a complete version \(1, 2, 3, 4\), got 9"),
    ],
)
def test_rollback_to_nothing_earlier_is_refused(now, current, to, told):
    with pytest.raises(ConfigError, match=told):
        state.rollback(now, current, [], to)


@pytest.mark.parametrize(
    ("now", "version", "after"),
    [(FOLLOWS, 2, held(2)), (held(stable=2), 3, held(3, stable=2)), (held(1), 3, held(3)), (held(stable=2), 2, held(stable=2))],
)
def test_pin(now, version, after):
    assert state.pin(now, version) == after.state


def test_pin_below_a_label_is_refused():
    with pytest.raises(ConfigError, match="expected no label above version 1, got stable at 2"):
        state.pin(held(stable=2), 1)


def test_unpin_follows_again_but_not_with_labels():
    assert state.unpin(held(2)) == state.unpin(FOLLOWS) == Following()
    assert state.unpin(Serving(Following(2), COMPLETE)) == Following(2)
    with pytest.raises(ConfigError, match="expected a model without labels, got canary at 3, stable at 2"):
        state.unpin(held(stable=2, canary=3))


@pytest.mark.parametrize("act", [lambda now: state.label(now, 9, "stable"), lambda now: state.pin(now, 9)])
@pytest.mark.parametrize("complete", [(), (8,), tuple(range(1, 9))])
def test_version_that_is_not_complete_is_refused(act, complete):
    with pytest.raises(ConfigError, match=r"expected a complete version \(.*\), got 9"):
        act(Serving(Following(), complete))


@pytest.mark.parametrize(
    ("now", "keep", "answering", "removed"),
    [
        (FOLLOWS, 1, (), [1, 2, 3]),
        (FOLLOWS, 3, (), [1]),
        (FOLLOWS, 9, (), []),
        (FOLLOWS, 1, (2,), [1, 3]),
        (held(1), 1, (), [2, 3]),
        (held(stable=1, canary=3), 1, (), [2]),
        (held(9), 1, (), [1, 2, 3]),  # nothing is live, and the newest stays
        (Serving(Following(), ()), 1, (), []),
        (Serving(Following(3), COMPLETE), 1, (), [1]),
        (Serving(Following(None), COMPLETE), 1, (), []),
    ],
)
def test_prunable(now, keep, answering, removed):
    assert state.prunable(now, keep, answering) == removed


@pytest.mark.parametrize(
    ("now", "lived", "removed"),
    [
        (FOLLOWS, (1, 2, 3, 4), [1, 2]),  # 3 is what rollback takes, and a server that cannot load 4
        (FOLLOWS, (1, 4, 2, 4), [1, 3]),
        (held(2), (1, 3, 2), []),
        (FOLLOWS, (9, 4), [1, 2, 3]),
    ],
)
def test_what_was_live_before_is_not_pruned(now, lived, removed):
    assert state.prunable(now, 1, (), lived) == removed


@pytest.mark.parametrize("keep", [0, -1])
def test_prune_that_keeps_nothing_is_refused(keep):
    with pytest.raises(ConfigError, match="expected at least 1"):
        state.prunable(FOLLOWS, keep, ())


STATES = [FOLLOWS, held(1), held(4), held(2, 3), held(stable=2), held(stable=3, canary=2), held(1, stable=2, canary=4)]


@pytest.mark.parametrize(("before", "after"), itertools.product(STATES, STATES))
def test_no_step_moves_a_label_to_a_version_that_was_not_listed_before_or_drops_what_a_label_needs(before, after):
    path = state.steps(before, after.state)
    assert path[-1:] == ([after.state] if before != after else [])
    reached = before
    for step in path:
        there = reached.state.versions if isinstance(reached.state, Held) else (reached.live,)
        old = reached.state.labels if isinstance(reached.state, Held) else {}
        new = step.labels if isinstance(step, Held) else {}
        assert all(version in there for name, version in new.items() if old.get(name) != version)
        reached = Serving(step, COMPLETE)


def test_what_changes_is_told():
    before, after = held(stable=3, canary=3), held(2, stable=2)
    assert wording.changed("digits", before, after) == "digits: live 3 -> 2; label stable 3 -> 2; canary dropped (was 3)"
    assert wording.changed("digits", FOLLOWS, held(3)) == "digits: live 4 -> 3 (pinned)"
    assert wording.changed("digits", held(3), FOLLOWS) == "digits: live 3 -> 4 (follows the newest)"
    assert wording.changed("digits", FOLLOWS, held(4, canary=2)) == "digits: live 4 (pinned); label canary -> 2"
