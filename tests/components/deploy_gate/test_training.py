"""What the model says of its training, and the ledger that knows what came later."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from components.federated_trainer.privacy.accounting import Release
from components.federated_trainer.privacy.ledger import Ledger

DELTA = 1e-4
RELEASE = Release(
    mechanism="gaussian", sampling="poisson", noise_multiplier=1.0, clients_per_round=10, population=1000, rounds=5
)


@pytest.fixture
def limited(bench):
    bench.settings["participation"] = {
        "min_clients_per_round": 5,
        "min_rounds": 10,
        "max_excluded_updates": 2,
        "max_weight_share": 0.1,
    }
    return bench


FACTS = {
    "clients-per-round": ("least_clients", 5, 4),
    "rounds": ("rounds", 10, 9),
    "excluded-updates": ("excluded_updates", 2, 3),
    "weight-share": ("largest_weight_share", 0.10000000149011612, 0.1001),
}


def record(model, name, value):
    (model.set_int_custom_property if isinstance(value, int) else model.set_float_custom_property)(name, value)


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("outcome", ["at the limit", "beyond it", "not recorded", "not a number"])
def test_participation_is_held_against_its_limits(limited, name, outcome):
    fact, at, beyond = FACTS[name]
    if outcome != "not recorded":
        record(limited.model, fact, {"at the limit": at, "beyond it": beyond, "not a number": math.nan}[outcome])
    assert limited.verdict(f"participation/{name}") == ("passed" if outcome == "at the limit" else "failed")


def test_excluded_updates_of_none_are_a_figure(limited):
    record(limited.model, "excluded_updates", 0)
    assert limited.check("participation/excluded-updates").observed == "0"


@pytest.fixture(scope="module")
def entered(tmp_path_factory):
    """A ledger with one training, and the epsilon of it, which takes a second to compute."""
    path = tmp_path_factory.mktemp("ledger") / "digits.jsonl"
    ledger = Ledger(str(path))
    ledger.reserve("first", RELEASE, DELTA)
    ledger.spend("first", 5)
    return path, ledger.total(DELTA).epsilon, ledger.head()


@pytest.fixture
def private(bench, entered):
    """A model of a private training; the ledger that it was entered in is in `kept`, where no state_dir is set."""
    path, bench.epsilon, head = entered
    kept = bench.root / "state" / "privacy"
    kept.mkdir(parents=True)
    bench.ledger = Ledger(str(shutil.copy(path, kept)))
    bench.settings["privacy"] = {"max_epsilon": 3.0, "max_delta": 1e-4}
    for name, value in {"epsilon": bench.epsilon, "epsilon_total": bench.epsilon, "delta": DELTA}.items():
        record(bench.model, name, value)
    bench.model.set_string_custom_property("privacy_unit", "client level, add/remove one client, delta=1e-4")
    bench.model.set_string_custom_property("privacy_ledger_digest", head)
    return bench


@pytest.fixture
def ledgered(private):
    """The same, with the ledger where the gate looks for it."""
    private.state_dir = str(private.root / "state")
    return private


@pytest.mark.parametrize(("times", "verdict"), [(1.0, "passed"), (0.999, "failed")])
def test_epsilon_at_its_limit_passes_and_beyond_it_fails(private, times, verdict):
    private.settings["privacy"]["max_epsilon"] = private.epsilon * times
    assert private.verdict("privacy/epsilon") == verdict


@pytest.mark.parametrize("name", ["epsilon_total", "epsilon", "delta"])
@pytest.mark.parametrize("value", [math.inf, math.nan, -1.0, None])
def test_privacy_that_is_no_figure_fails(private, name, value):
    private.model._artifact.custom_properties.pop(name)
    if value is not None:
        record(private.model, name, value)
    assert private.verdict("privacy/epsilon") == "failed"


@pytest.mark.parametrize(("delta", "verdict"), [(1e-4, "passed"), (1.1e-4, "failed"), (0.0, "failed"), (1.0, "failed")])
def test_delta_has_a_limit_of_its_own(private, delta, verdict):
    record(private.model, "delta", delta)
    assert private.verdict("privacy/delta") == verdict


@pytest.mark.slow
def test_later_trainings_on_the_same_clients_count(ledgered):
    ledgered.settings["privacy"]["max_epsilon"] = ledgered.epsilon * 1.05
    assert ledgered.verdict("privacy/epsilon") == "passed"
    ledgered.ledger.reserve("second", RELEASE, DELTA)
    assert ledgered.verdict("privacy/epsilon") == "failed"


def test_other_populations_ledgers_do_not_count(ledgered):
    other = Ledger(str(Path(ledgered.state_dir, "privacy", "another.jsonl")))
    other.reserve("theirs", RELEASE, DELTA)
    ledgered.settings["privacy"]["max_epsilon"] = ledgered.epsilon
    assert ledgered.verdict("privacy/epsilon") == "passed"


def altered(ledger):
    ledger.write_text(ledger.read_text().replace('"rounds": 5', '"rounds": 1', 1))


def cut(ledger):
    ledger.write_text(ledger.read_text().splitlines(keepends=True)[0])


@pytest.mark.parametrize("damage", [altered, cut, Path.unlink])
def test_ledger_that_is_not_what_the_training_left_fails(ledgered, damage):
    damage(Path(ledgered.state_dir, "privacy", "digits.jsonl"))
    assert ledgered.verdict("privacy/epsilon") == "failed"


def test_model_alone_is_believed_where_no_ledgers_are_kept(private):
    assert private.verdict("privacy/epsilon") == "passed"


def test_epsilon_is_told_with_its_unit(private):
    private.model.set_string_custom_property("noise", "secret")
    check = private.check("privacy/epsilon")
    assert check.verdict == "passed"
    assert check.observed.endswith(" (client level, add/remove one client, delta=1e-4)")


def test_epsilon_of_seeded_noise_is_none_that_can_be_relied_on(private):
    private.model.set_string_custom_property("noise", "seeded")
    check = private.check("privacy/epsilon")
    assert (check.verdict, check.forceable) == ("failed", True)
    assert check.observed.endswith("; its noise is seeded: epsilon holds for nobody who knows the seed")
    assert private.verdict("privacy/delta") == "passed"


def test_model_that_was_trained_without_privacy_fails(bench):
    bench.settings["privacy"] = {"max_epsilon": 8.0, "max_delta": None}
    assert bench.check("privacy/epsilon").observed == "not known: FederatedTrainer recorded no delta with the model"
