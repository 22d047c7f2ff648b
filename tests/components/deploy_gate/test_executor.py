"""The whole gate on one model: what it decides, what it writes down, and that anything amiss means not blessed."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components import evidence
from components.federated_evaluator.picture import draw
from lineage.digests import tree_digest
from serving import layout, models_config

JUDGED = ("serving_report", "evaluation", "paired_scores", "client_metrics")
NODES = dict(zip(JUDGED, ("ServingCheck", "Evaluator", "PairedEvaluator", "FederatedEvaluator"), strict=True))


def failed(decision):
    return [check["id"] for check in decision["checks"] if check["verdict"] == "failed"]


def test_model_that_meets_everything_is_blessed_and_the_blessing_bound_to_the_decision(bench):
    decision, blessing, recorded = bench.decide()
    assert (decision["blessed"], decision["passed"], failed(decision)) == (True, True, [])
    assert decision["model"] == {
        "id": bench.model.id,
        "name": "digits",
        "node": "FederatedTrainer",
        "digest": tree_digest(bench.model.uri),
    }
    assert decision["served"] == {"version": 1, "digest": tree_digest(bench.model_dir / "1"), "same_as_model": False}
    digest = hashlib.sha256(Path(recorded.uri, "decision.json").read_bytes()).hexdigest()
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == bench.model.id
    assert blessing.get_string_custom_property("current_model") == bench.model.uri
    assert blessing.get_int_custom_property("baseline_model_id") == bench.served.id
    assert blessing.get_string_custom_property("decision_digest") == digest
    assert blessing.get_string_custom_property("decision_uri") == recorded.uri
    assert [(file.name, file.read_text()) for file in Path(blessing.uri).iterdir()] == [("BLESSED", digest)]
    assert blessing.get_string_custom_property("digest") == tree_digest(blessing.uri)


def test_refusal_is_recorded_as_fully_as_a_blessing(bench):
    bench.metrics[()]["candidate"]["sparse_categorical_accuracy"] = 0.5
    decision, blessing, recorded = bench.decide()
    assert (decision["blessed"], decision["passed"]) == (False, False)
    assert failed(decision) == ["evaluation/value/SparseCategoricalAccuracy", "evaluation/change/SparseCategoricalAccuracy"]
    assert [file.name for file in Path(blessing.uri).iterdir()] == ["NOT_BLESSED"]
    assert blessing.get_int_custom_property("blessed") == 0
    facts = {name: recorded.get_int_custom_property(name) for name in ("blessed", "passed", "failed", "skipped", "checks")}
    assert facts == {"blessed": 0, "passed": 0, "failed": 2, "skipped": 0, "checks": len(decision["checks"])}
    assert recorded.get_string_custom_property("failed_checks") == ", ".join(failed(decision))
    assert {file.name for file in Path(recorded.uri).iterdir()} == {"decision.json", "decision.html", "decision.md"}
    assert recorded.get_string_custom_property("digest") == tree_digest(recorded.uri)


def logged(caplog):
    return [(record.levelname, record.message) for record in caplog.records if record.name.endswith("deploy_gate.executor")]


def test_log_tells_a_refusal_in_one_line(bench, caplog):
    bench.metrics[()]["candidate"]["sparse_categorical_accuracy"] = 0.5
    ids = ", ".join(failed(bench.decide()[0]))
    assert logged(caplog) == [("WARNING", f"Model {bench.model.id} of digits is refused: 2 checks failed: {ids}")]


def test_log_warns_of_a_model_that_is_forced_live_and_of_one_that_is_held_back(bench, caplog):
    approvals_file(bench, action="hold")
    bench.decide()
    bench.settings["serving"]["max_p99_ms"] = 1.0
    approvals_file(bench, action="force")
    bench.decide()
    model = f"Model {bench.model.id} of digits"
    assert logged(caplog) == [
        ("WARNING", f"{model} is held back"),
        ("WARNING", f"{model} is forced live: 1 check failed: serving/p99"),
    ]


def test_log_of_a_model_that_may_go_live_warns_of_nothing(bench, caplog):
    caplog.set_level("INFO", logger="components.deploy_gate")
    bench.decide()
    assert logged(caplog) == [("INFO", f"Model {bench.model.id} of digits may go live")]


@pytest.mark.parametrize("key", [key for key in JUDGED if key != "client_metrics"])
def test_missing_judge_means_not_blessed_and_fails_all_that_it_decides(bench, key):
    bench.write()[key] = []
    decision, _, _ = bench.decide()
    theirs = [check for check in decision["checks"] if check["judge"] == NODES[key]]
    assert not decision["blessed"]
    assert {check["verdict"] for check in theirs} == {"failed"}
    assert f"evidence/{NODES[key]}" in failed(decision)


def test_judge_that_nothing_needs_may_be_missing_unless_the_config_names_it(bench):
    bench.write()["client_metrics"] = []
    assert bench.decide()[0]["blessed"]
    bench.judges = ["FederatedEvaluator"]
    assert failed(bench.decide()[0]) == ["clients/finite", "evidence/FederatedEvaluator"]


@pytest.mark.parametrize("key", JUDGED)
@pytest.mark.parametrize("damage", ["altered", "emptied", "of another model", "of other bytes"])
def test_finding_that_is_not_what_was_found_about_this_model_counts_for_nothing(bench, key, damage):
    bench.judges = ["FederatedEvaluator"]
    finding = bench.write()[key][0]
    if damage == "altered":
        file = next(Path(finding.uri).iterdir())
        file.write_bytes(file.read_bytes() + b" ")
    elif damage == "emptied":
        shutil.rmtree(finding.uri)
    elif damage == "of another model":
        evidence.record(finding, bench.make_model("another"), bench.served)
    else:
        finding.set_string_custom_property("model_digest", "0" * 64)
    decision, _, _ = bench.decide()
    assert f"evidence/{NODES[key]}" in failed(decision)
    assert not decision["blessed"]


@pytest.mark.parametrize("key", [key for key in JUDGED if key != "serving_report"])
def test_finding_beside_an_older_served_model_counts_for_nothing(bench, key):
    bench.judges = ["FederatedEvaluator"]
    evidence.record(bench.write()[key][0], bench.model, bench.make_model("older"))
    assert f"evidence/{NODES[key]}" in failed(bench.decide()[0])


def test_failed_node_of_the_same_run_means_not_blessed(bench):
    bench.failed_nodes = "ServedModel"
    assert failed(bench.decide()[0]) == ["run/nodes"]


@pytest.mark.parametrize("digest", ["0" * 64, ""])
def test_model_with_other_bytes_than_were_published_is_not_blessed(bench, digest):
    bench.model.set_string_custom_property("digest", digest)
    assert failed(bench.decide()[0]) == ["model/bytes"]


def test_model_whose_files_are_gone_is_not_blessed(bench):
    bench.write()
    shutil.rmtree(bench.model.uri)
    decision, _, _ = bench.decide()
    assert "model/bytes" in failed(decision) and not decision["blessed"]


def test_report_of_a_form_that_nobody_foresaw_fails_its_checks_and_hides_no_others(bench):
    bench.report["weights"] = {"values": 1000, "non_finite": {"some": "thing"}}
    bench.report["server"]["latency_ms"] = 5
    bench.settings["serving"]["max_p99_ms"] = 10.0
    assert failed(bench.decide()[0]) == ["serving/weights", "serving/p99"]


def check_of(decision, name):
    (check,) = [check for check in decision["checks"] if check["id"] == name]
    return check["what"], check["observed"], check["required"]


def test_first_deploy_has_to_be_allowed_and_skips_the_comparisons(bench):
    shutil.rmtree(bench.model_dir)
    bench.served = None
    bench.metrics[()] = {"": bench.metrics[()]["candidate"]}
    decision, blessing, _ = bench.decide()
    assert failed(decision) == ["first-deploy"] and decision["served"] is None
    assert not blessing.has_custom_property("baseline_model_id")
    assert check_of(decision, "first-deploy") == (
        "the model that is served now",
        "none yet",
        "one to compare with (for a first deploy set gate.first_deploy: allow)",
    )
    bench.settings["first_deploy"] = "allow"
    decision, _, _ = bench.decide()
    assert check_of(decision, "first-deploy")[1:] == ("none yet", "one to compare with, or none yet")
    skipped = {check["id"]: check["observed"] for check in decision["checks"] if check["verdict"] == "skipped"}
    assert decision["blessed"]
    assert skipped == {"evaluation/change/SparseCategoricalAccuracy": "nothing is served to compare with"}


def test_model_that_is_live_already_is_compared_with_the_one_before_it(bench):
    bench.serve(bench.model, version=2)
    decision, _, _ = bench.decide()
    assert decision["blessed"] and decision["served"]["same_as_model"]
    assert check_of(decision, "first-deploy")[1] == "version 2, this very model"
    bench.metrics[()]["baseline"]["sparse_categorical_accuracy"] = 0.99
    bench.write()
    assert failed(bench.decide()[0]) == ["evaluation/change/SparseCategoricalAccuracy"]


def test_model_that_is_live_already_with_none_before_it_skips_the_comparisons(bench):
    bench.served = None
    bench.serve(bench.model, version=2)
    decision, _, _ = bench.decide()
    (skipped,) = [check for check in decision["checks"] if check["verdict"] == "skipped"]
    assert decision["blessed"]
    assert skipped["observed"].startswith("it is what is served already (version 2)")


def test_served_model_that_could_not_be_resolved_fails_the_comparisons(bench):
    bench.served = None
    assert failed(bench.decide()[0]) == ["evaluation/change/SparseCategoricalAccuracy"]


def test_served_model_that_changed_since_the_run_began_fails_the_comparisons(bench):
    bench.serve(bench.make_model("rolled out by another run"), version=9)
    assert failed(bench.decide()[0]) == ["evaluation/change/SparseCategoricalAccuracy"]


def test_serving_directory_wiped_since_the_run_began_is_no_first_deploy_without_comparison(bench):
    bench.settings["first_deploy"] = "allow"
    shutil.rmtree(bench.model_dir)
    assert failed(bench.decide()[0]) == ["evaluation/change/SparseCategoricalAccuracy"]


def held_and_lost(model_dir):
    models_config.put(model_dir.parent, model_dir.name, models_config.Held((1,)))
    shutil.rmtree(model_dir)


def followed_and_lost(model_dir):
    layout.settle(model_dir)
    shutil.rmtree(model_dir)
    model_dir.mkdir()
    layout.settle(model_dir)  # writes down that it is missing


@pytest.mark.parametrize("lose", [held_and_lost, followed_and_lost])
def test_version_that_should_be_live_and_is_gone_from_the_disk_is_no_first_deploy(bench, lose):
    lose(bench.model_dir)
    bench.served = None
    bench.settings["first_deploy"] = "allow"
    decision, _, _ = bench.decide()
    assert failed(decision) == ["evaluation/change/SparseCategoricalAccuracy"]
    assert decision["served"] == {"version": 1, "digest": "", "same_as_model": False}
    assert check_of(decision, "first-deploy")[1] == "version 1, whose files cannot be read"


def test_served_model_altered_after_it_was_measured_fails_the_findings_beside_it(bench):
    bench.write()
    Path(bench.served.uri, "Format-Serving", "saved_model.pb").write_text("altered")
    assert {"evidence/Evaluator", "evidence/PairedEvaluator"} <= set(failed(bench.decide()[0]))


def stock_infra_blessing(bench, blessed, file):
    infra = bench.artifact(standard_artifacts.InfraBlessing, "infra")
    infra.set_int_custom_property("blessed", blessed)
    Path(infra.uri, file).touch()
    return infra


@pytest.mark.parametrize(
    ("blessed", "file", "passes"),
    [(1, "INFRA_BLESSED", True), (0, "INFRA_NOT_BLESSED", False), (1, "INFRA_NOT_BLESSED", False), (0, "INFRA_BLESSED", False)],
)
def test_verdict_of_the_stock_infra_validator_counts_where_it_is_a_judge(bench, blessed, file, passes):
    bench.judges = ["InfraValidator"]
    bench.write()
    assert failed(bench.decide()[0]) == ["infra/blessed"]
    bench.inputs["infra_blessing"] = [stock_infra_blessing(bench, blessed, file)]
    assert bench.decide()[0]["blessed"] is passes


def approvals_file(bench, **entry):
    expires = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat(timespec="seconds")
    said = {"model": tree_digest(bench.model.uri)[:12], "by": "Ada", "reason": "a drill", "expires": expires, **entry}
    bench.approvals = bench.root / "approvals.yaml"
    bench.approvals.write_text(json.dumps({"approvals": [said]}))


def test_refused_model_is_forced_live_by_name_reason_and_expiry(bench):
    bench.metrics[()]["candidate"]["sparse_categorical_accuracy"] = 0.5
    approvals_file(bench, action="force")
    decision, blessing, recorded = bench.decide()
    assert (decision["blessed"], decision["passed"]) == (True, False)
    assert decision["override"]["by"] == "Ada"
    assert decision["override"]["checks"] == failed(decision)
    assert decision["override"]["file_sha256"] == hashlib.sha256(bench.approvals.read_bytes()).hexdigest()
    assert blessing.get_int_custom_property("blessed") == 1
    assert recorded.get_string_custom_property("override") == "force"
    assert recorded.get_string_custom_property("override_reason") == "a drill"


def test_nobody_can_force_weights_that_are_not_numbers(bench):
    bench.report["weights"]["non_finite"] = 3
    approvals_file(bench, action="force")
    decision, _, _ = bench.decide()
    assert not decision["blessed"] and decision["override"] is None
    assert decision["approvals"][0]["note"] == "no approval can override serving/weights"


def test_model_that_passed_is_held_back(bench):
    approvals_file(bench, action="hold", model="any")
    decision, blessing, _ = bench.decide()
    assert (decision["blessed"], decision["passed"], decision["override"]["action"]) == (False, True, "hold")
    assert blessing.get_int_custom_property("blessed") == 0


def test_approval_with_a_wrong_digest_is_told(bench):
    bench.metrics[()]["candidate"]["sparse_categorical_accuracy"] = 0.5
    approvals_file(bench, action="force", model="0" * 12)
    decision, _, recorded = bench.decide()
    (told,) = decision["approvals"]
    assert not decision["blessed"] and not told["applied"]
    assert told["note"] == f"names another model than {tree_digest(bench.model.uri)[:12]}"
    assert told["note"] in Path(recorded.uri, "decision.html").read_text()


@pytest.mark.parametrize("content", [None, "approvals: {", "approvals: [{action: force}]"])
def test_approvals_that_cannot_be_read_mean_not_blessed_for_a_hold_may_be_among_them(bench, content):
    bench.approvals = bench.root / "approvals.yaml"
    if content is not None:
        bench.approvals.write_text(content)
    decision, _, _ = bench.decide()
    assert failed(decision) == ["approvals/file"] and not decision["blessed"]


@pytest.mark.parametrize("altered", [False, True])
def test_picture_of_the_clients_is_in_the_page_if_it_is_what_was_drawn(bench, altered):
    finding = bench.write()["client_metrics"][0]
    drawn = Path(finding.uri, "clients.svg")
    drawn.write_bytes(draw("SparseCategoricalAccuracy", {"candidate": np.linspace(0.5, 1, 20)}))
    evidence.record(finding, bench.model, bench.served)
    if altered:
        drawn.write_bytes(drawn.read_bytes() + b" ")
    recorded = bench.decide()[2]
    assert ("<svg" in Path(recorded.uri, "decision.html").read_text()) is not altered


def test_decision_names_no_client_and_no_place_beyond_the_model(bench):
    bench.settings["clients"]["quantiles"] = {"0.1": {"min": 0.95}}
    bench.clients["candidate"]["SparseCategoricalAccuracy"] = np.linspace(0.5, 0.9, 20)
    decision, _, recorded = bench.decide()
    assert failed(decision) == ["clients/quantile/0.1"]
    for file in Path(recorded.uri).iterdir():
        assert str(bench.root) not in file.read_text()
