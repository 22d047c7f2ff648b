"""The gate, shown to work: bad models end as they should, and what is served is untouched. See conftest.py for the bank."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from components.federated_trainer.privacy.accounting import Release
from components.federated_trainer.privacy.ledger import Ledger
from serving import layout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ACCURACY = "SparseCategoricalAccuracy"


def test_first_model_goes_live_where_the_config_allows_it(bank: Any, live: Any) -> None:
    assert live.decision.blessed and live.pushed, live
    assert live.check("first-deploy")["verdict"] == "passed"
    assert live.check(f"evaluation/change/{ACCURACY}")["verdict"] == "skipped"
    assert len(layout.versions(bank.served)) == 1


def test_first_model_stays_out_where_the_config_does_not_allow_it(turned_away: Any) -> None:
    assert turned_away.failed == ["first-deploy"], turned_away
    assert not turned_away.pushed


def test_not_a_number_in_the_weights_is_refused_before_anything_loads_the_model(bank: Any, live: Any) -> None:
    with bank.untouched():
        refused = bank.run(bank.NOT_A_NUMBER, {"thresholds": {ACCURACY: {"min": 0.1}}})
    assert not refused.decision.blessed and not refused.pushed
    assert {"serving/weights", "serving/loadable", "evaluation/made", f"constant/{ACCURACY}"} <= set(refused.failed), refused
    assert refused.states["Evaluator"] == "complete"  # it wrote down that it did not look


def test_constant_predictor_is_refused_without_any_threshold_of_the_config(bank: Any, live: Any) -> None:
    with bank.untouched():
        refused = bank.run(bank.CONSTANT, {"change": {}})
    assert refused.failed == [f"constant/{ACCURACY}"], refused


def test_better_overall_but_worse_on_a_slice_is_refused(bank: Any, live: Any) -> None:
    by_region = {"features": ["region"], "change": {ACCURACY: {"min": -0.05}}}
    with bank.untouched():
        refused = bank.run(bank.NORTHERN, {"slices": [by_region]})
    assert refused.failed == [f"slice/region/change/{ACCURACY}"], refused
    assert refused.check(f"evaluation/change/{ACCURACY}")["verdict"] == "passed"
    assert "south" in refused.check(f"slice/region/change/{ACCURACY}")["observed"]


def test_better_overall_but_worse_for_a_tenth_of_the_clients_is_refused(bank: Any, live: Any) -> None:
    rule = {"min_clients": 10, "worsened": {"by": 0.1, "max_share": 0.1}}
    with bank.untouched():
        refused = bank.run(bank.NOT_FOR_ODD, {"clients": rule})
    assert refused.failed == ["clients/worsened"], refused
    assert refused.check(f"evaluation/change/{ACCURACY}")["verdict"] == "passed"


def test_too_few_clients_are_neither_shown_nor_judged(bank: Any, live: Any) -> None:
    with bank.untouched():  # the rough model is live already
        same = bank.run(bank.ROUGH, {"clients": {"min_clients": 25, "quantiles": {0.5: {"min": 0.999}}}})
    assert same.decision.blessed, same
    assert same.check("clients/quantile/0.5")["verdict"] == "skipped"


def test_model_that_is_served_already_stays_as_the_same_version(bank: Any, live: Any) -> None:
    with bank.untouched():
        same = bank.run(bank.ROUGH, {"first_deploy": "refuse"})
    assert same.decision.blessed and same.pushed, same
    assert json.loads(Path(str(same.decision.folder), "decision.json").read_text())["served"]["same_as_model"] is True


def test_worse_than_the_baseline_by_more_than_allowed_is_refused(bank: Any, live: Any) -> None:
    with bank.untouched():
        refused = bank.run(bank.ROUGH, {"baseline": {"margin": 0.05}})
    assert refused.failed == [f"baseline/{ACCURACY}"], refused
    assert bank.run(bank.ROUGH, {"baseline": {"margin": 0.3}}).decision.blessed


def test_exceeded_privacy_budget_is_refused(bank: Any, live: Any) -> None:
    private = {"weighting": "uniform", "privacy": {"clip": 1.0, "noise_multiplier": 1.0, "delta": 0.001}}
    release = Release("gaussian", "poisson", noise_multiplier=1.0, clients_per_round=8, population=900, rounds=5)
    ledger = Ledger(os.path.join(bank.environment.state_dir, "privacy", "bank.jsonl"))
    once = ledger.reserve("training", release, 0.001)
    ledger.spend("training", 5)
    facts = {"epsilon": once.epsilon, "epsilon_total": once.epsilon, "delta": 0.001, "privacy_ledger_digest": ledger.head()}
    again = ledger.reserve("a later training", release, 0.001)
    between = (once.epsilon + again.epsilon) / 2
    with bank.untouched():
        refused = bank.run(bank.ROUGH, {"privacy": {"max_epsilon": between}}, facts=facts, train=private)
        allowed = bank.run(bank.ROUGH, {"privacy": {"max_epsilon": again.epsilon * 1.01}}, facts=facts, train=private)
    assert refused.failed == ["privacy/epsilon"], refused  # what a later training cost these clients counts as well
    assert allowed.decision.blessed, allowed


def test_unapproved_operation_is_refused_and_never_executed(bank: Any, live: Any) -> None:
    with bank.untouched():
        refused = bank.run(bank.EXACT, {}, source=bank.READS_A_FILE)
    assert "serving/ops" in refused.failed, refused
    assert "ReadFile" in refused.check("serving/ops")["observed"]


def assert_no_client_is_told(outcome: Any, log: str) -> None:
    """No bank's name, as a quoted example has it, in the log or in what was written about the decision."""
    pages = [path.read_text() for path in Path(str(outcome.decision.folder)).iterdir()]
    assert not re.findall(r"bank \d+", "".join([log, *pages]))


def test_model_that_fails_on_some_customers_is_refused_on_record(bank: Any, live: Any, caplog: Any) -> None:
    with bank.untouched():
        refused = bank.run(bank.EXACT, {}, source=bank.PICKY)
    assert not refused.decision.blessed and not refused.pushed
    assert refused.check("serving/loadable")["verdict"] == "passed"
    assert {"predictions/finite", "evaluation/made", f"constant/{ACCURACY}"} <= set(refused.failed), refused
    observed = refused.check(f"evaluation/change/{ACCURACY}")["observed"]
    assert "failed on the evaluation examples: an index is outside of the valid range" in observed
    assert_no_client_is_told(refused, caplog.text)


def test_baseline_that_fails_on_some_customers_matters_where_it_is_compared_with(bank: Any, live: Any, caplog: Any) -> None:
    failing = bank.model(bank.EXACT, bank.PICKY)
    with bank.untouched():
        compared = bank.run(bank.ROUGH, {"baseline": {"margin": 0.3}}, baseline_model=failing)
        alone = bank.run(bank.ROUGH, {}, baseline_model=failing)
    assert compared.failed == [f"baseline/{ACCURACY}"], compared
    assert alone.decision.blessed, alone
    assert_no_client_is_told(compared, caplog.text)


def test_slow_model_is_refused(bank: Any, live: Any) -> None:
    limits = {"serving": {"max_p50_ms": 10, "samples": 2, "requests": 5}}
    with bank.untouched():
        refused = bank.run(bank.EXACT, limits, source=bank.SLOW)
    assert refused.failed == ["serving/p50"], refused


def approvals(folder: Path, **entry: Any) -> str:
    import yaml

    file = folder / "approvals.yaml"
    given = {"action": "force", "by": "Ada Vogel", "reason": "agreed by the board", "expires": "2100-01-01T00:00:00Z", **entry}
    file.write_text(yaml.safe_dump({"approvals": [given]}))
    return str(file)


def test_expired_approval_forces_nothing(bank: Any, live: Any, tmp_path: Path) -> None:
    model = tree_digest_of_model(bank, bank.CONSTANT)
    file = approvals(tmp_path, model=model, expires="2020-01-01T00:00:00Z")
    with bank.untouched():
        refused = bank.run(bank.CONSTANT, {"change": {}, "approvals": file})
    assert refused.failed == [f"constant/{ACCURACY}"], refused
    assert refused.decision.override is None


def tree_digest_of_model(bank: Any, weights: tuple[float, ...]) -> str:
    """The digest that an approval names: of the Model artifact, as the decision that refused it says."""
    refused = bank.run(weights, {"change": {}})
    return str(json.loads(Path(str(refused.decision.folder), "decision.json").read_text())["model"]["digest"])


def test_blessing_written_by_hand_into_the_store_changes_nothing(bank: Any, live: Any) -> None:
    refused = bank.run(bank.CONSTANT, {"change": {}})
    blessing = max(refused.store.get_artifacts_by_type("ModelBlessing"), key=lambda artifact: artifact.id)
    blessing.custom_properties["blessed"].int_value = 1
    refused.store.put_artifacts([blessing])
    Path(blessing.uri, "NOT_BLESSED").rename(Path(blessing.uri, "BLESSED"))
    with bank.untouched():
        again = bank.run(bank.CONSTANT, {"change": {}})
    assert again.states["DeployGate"] == "complete"
    assert not again.decision.blessed and not again.pushed


# The last ones put models live.


def test_hold_keeps_an_accepted_model_back_and_is_on_record(bank: Any, live: Any, tmp_path: Path) -> None:
    with bank.untouched():
        held = bank.run(bank.EXACT, {"approvals": approvals(tmp_path, action="hold", model="any")})
    assert not held.failed and not held.decision.blessed and not held.pushed, held
    assert held.decision.override is not None
    assert held.decision.override["by"] == "Ada Vogel"
    assert "held back by Ada Vogel" in held.decision.reasons[0]


def test_better_model_goes_live(bank: Any, live: Any) -> None:
    better = bank.run(bank.EXACT, {"baseline": {"margin": 0.01}, "clients": {"worst_decile": {"min": 0.9}}})
    assert better.decision.blessed and better.pushed, better
    assert len(layout.versions(bank.served)) == 2


def test_forced_model_goes_live_and_says_by_whom_why_and_until_when(bank: Any, live: Any, tmp_path: Path) -> None:
    file = approvals(tmp_path, model=tree_digest_of_model(bank, bank.CONSTANT))
    forced = bank.run(bank.CONSTANT, {"change": {}, "approvals": file})
    assert forced.decision.blessed and forced.pushed, forced
    assert forced.failed == [f"constant/{ACCURACY}"]
    recorded = max(forced.store.get_artifacts_by_type("components.GateDecision"), key=lambda artifact: artifact.id)
    told = {key: recorded.custom_properties[f"override{key}"].string_value for key in ("", "_by", "_reason")}
    assert told == {"": "force", "_by": "Ada Vogel", "_reason": "agreed by the board"}
    assert recorded.custom_properties["override_until"].string_value.startswith("2100-01-01")


def test_served_model_that_cannot_answer_any_more_is_no_obstacle_where_nothing_is_compared(
    bank: Any, live: Any, caplog: Any
) -> None:
    bank.live_needs_a_column_of_the_past()
    with bank.untouched():
        compared = bank.run(bank.EXACT, {})
    assert not compared.decision.blessed
    assert compared.failed == [f"evaluation/change/{ACCURACY}"], compared
    assert compared.states["Evaluator"] == "complete"
    alone = bank.run(bank.EXACT, {"change": {}})
    assert alone.decision.blessed and alone.pushed, alone
    for outcome in (compared, alone):
        assert_no_client_is_told(outcome, caplog.text)
