"""What the Pusher pushes, what it refuses, and that a refusal leaves the serving directory as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.atomic_pusher.executor import Executor
from errors import IntegrityError, PushError
from lineage.digests import file_digest, tree_digest
from serving import layout, models_config


def test_blessed_model_is_served_and_recorded(push):
    pushed = push.run()
    version = layout.live_version(push.model_dir)
    assert tree_digest(push.model_dir / str(version)) == tree_digest(push.export)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == str(version)
    assert pushed.get_string_custom_property("pushed_destination") == str(push.model_dir / str(version))
    assert pushed.get_string_custom_property("digest") == tree_digest(push.export)
    assert pushed.get_int_custom_property("model_id") == push.model.id
    assert pushed.get_int_custom_property("already_served") == 0
    assert not pushed.has_custom_property("reason")


def test_artifact_directory_tells_the_same_facts(push):
    record = json.loads((Path(push.run().uri) / "pushed.json").read_text())
    assert record["pushed_version"] == str(layout.live_version(push.model_dir))
    assert (record["pushed"], record["model_id"], record["digest"]) == (1, push.model.id, tree_digest(push.export))


def test_same_model_twice_is_one_version_and_two_records(push):
    first = push.run().get_string_custom_property("pushed_version")
    again = push.run()
    assert layout.versions(push.model_dir) == [int(first)]
    assert again.get_int_custom_property("pushed") == again.get_int_custom_property("already_served") == 1
    assert again.get_string_custom_property("pushed_version") == first


def test_wiped_serving_directory_is_pushed_to_again(push):
    push.run()
    shutil.rmtree(push.model_dir)
    assert push.run().get_int_custom_property("already_served") == 0
    assert len(layout.versions(push.model_dir)) == 1


@pytest.mark.usefixtures("served")
def test_rejected_model_is_recorded_but_not_served(push):
    push.decide(passed=False)
    pushed = push.run()
    assert pushed.get_int_custom_property("pushed") == 0
    assert "was not blessed" in pushed.get_string_custom_property("reason")
    assert json.loads((Path(pushed.uri) / "pushed.json").read_text())["pushed"] == 0


@pytest.mark.usefixtures("served")
def test_blessing_without_a_decision_is_a_refusal(push):
    (Path(push.blessing.uri) / "BLESSED").unlink()
    push.inputs["model_blessing"] = [undecided := standard_artifacts.ModelBlessing()]
    undecided.id, undecided.uri = 8, push.blessing.uri
    assert "no decision" in push.run().get_string_custom_property("reason")


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("key", ["model", "model_blessing"])
def test_nothing_is_pushed_without_a_model_and_its_blessing(push, key):
    push.inputs[key] = []
    with pytest.raises(PushError, match=f"Pusher has no {key}:"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(("blessed", "infra_blessed"), [(1, 0), (0, 1), (0, 0)])
def test_one_refusing_gate_of_two_is_enough(push, tmp_path, blessed, infra_blessed):
    infra = push.artifact(standard_artifacts.InfraBlessing, 20, tmp_path / "infra")
    infra.set_int_custom_property("blessed", infra_blessed)
    push.inputs["infra_blessing"] = [infra]
    if not blessed:
        push.decide(passed=False)
    assert push.run().get_int_custom_property("pushed") == 0


@pytest.mark.usefixtures("served")
def test_blessing_of_another_model_is_refused(push, tmp_path):
    push.inputs["model_blessing"] = [push.another(30, tmp_path / "elsewhere").blessing]
    with pytest.raises(
        IntegrityError, match=r"is for model 30 .* but the model to push is 7 .*; run again with --from DeployGate\.$"
    ):
        push.run()


@pytest.mark.usefixtures("served")
def test_blessing_of_the_same_id_at_another_place_is_refused(push):
    push.blessing.set_string_custom_property("current_model", "/elsewhere")
    with pytest.raises(IntegrityError, match="at /elsewhere"):
        push.run()


@pytest.mark.usefixtures("served")
def test_blessing_set_by_hand_in_ml_metadata_is_refused(push):
    push.decide(passed=False)
    push.blessing.set_int_custom_property("blessed", 1)
    with pytest.raises(IntegrityError, match="says blessed=1 in ML Metadata"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("keep_the_refusal", [True, False])
def test_blessed_file_dropped_by_hand_is_refused(push, keep_the_refusal):
    push.decide(passed=False)
    push.blessing.set_string_custom_property("digest", "")
    (Path(push.blessing.uri) / "BLESSED").touch()
    if not keep_the_refusal:
        (Path(push.blessing.uri) / "NOT_BLESSED").unlink()
    with pytest.raises(IntegrityError, match="says blessed=0 in ML Metadata"):
        push.run()


def forged(push):
    """A refusal turned into a blessing by hand, in ML Metadata and in the folder."""
    push.decide(passed=False)
    push.blessing.set_int_custom_property("blessed", 1)
    (Path(push.blessing.uri) / "NOT_BLESSED").rename(Path(push.blessing.uri) / "BLESSED")
    push.blessing.set_string_custom_property("digest", tree_digest(push.blessing.uri))


def forged_with_its_decision(push):
    forged(push)
    file = Path(push.decision.uri, "decision.json")
    file.write_text(file.read_text().replace('"blessed": false', '"blessed": true'))


def forged_with_its_decision_and_digest(push):
    forged_with_its_decision(push)
    digest = file_digest(Path(push.decision.uri, "decision.json"))
    push.blessing.set_string_custom_property("decision_digest", digest)


def of_the_evaluator_alone(push):
    push.bless(1)


def without_its_decision(push):
    shutil.rmtree(push.decision.uri)


def with_a_cut_decision(push):
    file = Path(push.decision.uri, "decision.json")
    file.write_text(file.read_text()[:40])


def with_a_decision_on_another_model(push):
    other = push.another(50)
    push.bless(1)
    for name in ("decision_uri", "decision_digest"):
        push.blessing.set_string_custom_property(name, other.blessing.get_string_custom_property(name))
    (Path(push.blessing.uri) / "BLESSED").write_text(other.blessing.get_string_custom_property("decision_digest"))


def with_a_decision_on_other_bytes(push):
    (push.export / "saved_model.pb").write_text("better weights")
    push.model.set_string_custom_property("digest", tree_digest(push.model.uri))


FORGERIES = {
    forged: "expected a decision that says blessed, got a refusal",
    forged_with_its_decision: "expected the decision with digest .*, got another one",
    forged_with_its_decision_and_digest: "expected the digest of its decision in the file BLESSED",
    of_the_evaluator_alone: "expected a decision of DeployGate behind it, got none",
    without_its_decision: "expected a decision that can be read",
    with_a_cut_decision: "expected a decision that can be read",
    with_a_decision_on_another_model: "expected a decision about model 7, got one about model 50",
    with_a_decision_on_other_bytes: "expected the bytes that were decided on, got others",
}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("forgery", FORGERIES)
def test_blessing_without_a_decision_that_says_the_same_is_refused(push, forgery):
    forgery(push)
    with pytest.raises(IntegrityError, match=FORGERIES[forgery]) as refused:
        push.run()
    assert str(refused.value).endswith("; run again with --from DeployGate.") and "\n" not in str(refused.value)


def test_push_is_recorded_with_the_decision_behind_it(push):
    pushed = push.run()
    assert pushed.get_string_custom_property("decision_uri") == push.decision.uri
    assert pushed.get_string_custom_property("decision_digest") == file_digest(Path(push.decision.uri, "decision.json"))
    assert not pushed.has_custom_property("override")


def approval(**changes):
    expires = datetime.now(timezone.utc) + timedelta(hours=1)
    said = {
        "action": "force",
        "by": "Ada",
        "reason": "a drill",
        "expires": expires.isoformat(),
        "checks": [],
        "file_sha256": "",
    }
    return {**said, **changes}


def test_forced_model_is_served_and_recorded_as_forced(push):
    push.decide(passed=False, override=approval())
    pushed = push.run()
    assert pushed.get_int_custom_property("pushed") == 1
    names = ("override", "override_by", "override_reason")
    assert [pushed.get_string_custom_property(name) for name in names] == ["force", "Ada", "a drill"]
    assert pushed.get_string_custom_property("override_until").startswith("20")


@pytest.mark.usefixtures("served")
def test_forced_model_is_not_served_once_the_approval_has_expired(push):
    push.decide(passed=False, override=approval(expires="2026-01-01T00:00:00+00:00"))
    pushed = push.run()
    assert pushed.get_int_custom_property("pushed") == 0
    assert "expired at 2026-01-01" in pushed.get_string_custom_property("reason")


def another_version(push):
    (push.model_dir / str(2**40)).mkdir()
    (push.model_dir / str(2**40) / "saved_model.pb").write_text("rolled out by another run")


def altered_version(push):
    (push.model_dir / str(layout.live_version(push.model_dir)) / "saved_model.pb").write_text("altered")


def wiped(push):
    shutil.rmtree(push.model_dir)


@pytest.mark.parametrize("change", [another_version, altered_version, wiped])
def test_model_is_not_pushed_over_another_than_it_was_judged_beside(push, change):
    push.another(1).run()
    push.decide()
    change(push)
    before = layout.versions(push.model_dir)
    pushed = push.run()
    assert (pushed.get_int_custom_property("pushed"), layout.versions(push.model_dir)) == (0, before)
    assert "what is served has changed since model 7 was judged" in pushed.get_string_custom_property("reason")


def test_model_is_pushed_beside_a_lost_version_only_if_it_was_judged_beside_that(push):
    push.another(1).run()
    lost = layout.live_version(push.model_dir)
    models_config.put(push.model_dir.parent, "digits", models_config.Held((lost,)))
    shutil.rmtree(push.model_dir / str(lost))
    reason = push.run().get_string_custom_property("reason")
    assert f"expected nothing, got version {lost}" in reason
    push.decide()
    assert push.run().get_int_custom_property("pushed") == 1


def test_pushed_model_holds_the_digest_of_the_newest_line_of_the_log(push):
    for _ in range(2):  # the second time it is there already
        newest = push.run().get_string_custom_property("audit_digest")
        line = (push.model_dir.parent / "audit.jsonl").read_bytes().splitlines()[-1]
        assert newest == hashlib.sha256(line).hexdigest()


def test_first_model_is_not_pushed_over_one_that_came_first(push):
    push.another(1).run()
    assert "expected nothing, got version" in push.run().get_string_custom_property("reason")


@pytest.mark.usefixtures("served")
def test_both_blessing_files_at_once_are_refused(push):
    push.bless(1)
    (Path(push.blessing.uri) / "NOT_BLESSED").touch()
    with pytest.raises(IntegrityError, match=r"holds \['BLESSED', 'NOT_BLESSED'\]"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(("blessed", "file"), [(1, "BLESSED"), (0, "NOT_BLESSED")])
def test_emptied_blessing_is_refused_with_the_command_that_makes_it_again(push, blessed, file):
    push.bless(blessed)
    (Path(push.blessing.uri) / file).unlink()
    with pytest.raises(IntegrityError, match=rf"blessed={blessed} in .* holds \[\]; run again with --from DeployGate\.$"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("which", ["model", "blessing"])
def test_artifact_altered_after_it_was_published_is_refused(push, which):
    push.blessing.set_string_custom_property("digest", tree_digest(push.blessing.uri))
    (push.export / "saved_model.pb" if which == "model" else Path(push.blessing.uri) / "BLESSED").write_text("altered")
    node = {"model": "FederatedTrainer", "blessing": "DeployGate"}[which]
    with pytest.raises(IntegrityError, match=rf"altered after it was published: .*; run again with --from {node}\.$"):
        push.run()


@pytest.mark.usefixtures("served")
def test_altered_model_is_refused_with_the_node_that_the_pipeline_names(push):
    (push.export / "saved_model.pb").write_text("altered")
    with pytest.raises(IntegrityError, match=r"; run again with --from Trainer\.$"):
        push.run(custom_config='{"model_node": "Trainer"}')


@pytest.mark.usefixtures("served")
def test_link_put_into_a_model_is_refused(push):
    (push.export / "variables" / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="altered after it was published"):
        push.run()


def test_file_in_place_of_the_serving_directory_is_an_error_in_one_line(push):
    push.model_dir.parent.mkdir()
    push.model_dir.write_text("keep me")
    with pytest.raises(PushError, match="a directory is expected") as refused:
        push.run()
    assert "\n" not in str(refused.value)
    assert push.model_dir.read_text() == "keep me"


@pytest.mark.usefixtures("served")
def test_nothing_is_pushed_in_a_run_in_which_a_node_failed(push):
    with pytest.raises(PushError, match="got ServedModel, Trainer"):
        Executor().Do(push.inputs, {"pushed_model": [push.pushed]}, {"failed_nodes": "ServedModel, Trainer"})


def test_model_without_an_export_is_an_error_in_one_line(push):
    shutil.rmtree(push.export)
    (push.export.parent / "notes.txt").write_text("no model")
    push.model.set_string_custom_property("digest", tree_digest(push.model.uri))
    push.decide()
    with pytest.raises(PushError, match="no model to publish"):
        push.run()


def servers(*addresses: str, seconds: float = 0.1) -> str:
    return json_utils.dumps({"model_servers": addresses, "server_seconds": seconds})


def test_push_fails_if_a_server_does_not_answer_and_the_version_stays(push):
    with pytest.raises(PushError, match=r"127\.0\.0\.1:1 after 0 s: it does not answer") as refused:
        push.run(custom_config=servers("127.0.0.1:1"))
    (version,) = layout.versions(push.model_dir)
    assert f"version {version} is in {push.model_dir}, but is not what the model servers answer with" in str(refused.value)
    root = push.model_dir.parent
    command = f"`python -m serving rollback --root {root} --model_name digits --server 127.0.0.1:1`"
    assert command in str(refused.value) and "\n" not in str(refused.value)


def test_no_server_is_asked_for_a_model_that_is_not_pushed_or_not_live(push):
    push.another(1).run()
    push.decide(passed=False)
    assert push.run(custom_config=servers("127.0.0.1:1")).get_int_custom_property("pushed") == 0
    live = layout.live_version(push.model_dir)
    models_config.put(push.model_dir.parent, "digits", models_config.Held((live,)))
    push.decide()
    held = push.run(custom_config=servers("127.0.0.1:1"))
    assert [held.get_int_custom_property(name) for name in ("pushed", "live")] == [1, 0]
    assert held.get_string_custom_property("held_at") == str(live)


def test_server_is_asked_again_for_a_model_that_was_live_already(push):
    assert push.run().get_int_custom_property("live") == 1
    with pytest.raises(PushError, match="it does not answer"):
        push.run(custom_config=servers("127.0.0.1:1"))


def test_missing_destination_is_named(push):
    with pytest.raises(PushError, match="base_directory"):
        Executor().Do(push.inputs, {"pushed_model": [push.pushed]}, {})
