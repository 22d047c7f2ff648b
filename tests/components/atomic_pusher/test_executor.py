"""What the Pusher pushes, what it refuses, and that a refusal leaves the serving directory as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.atomic_pusher.executor import Executor
from errors import IntegrityError, PushError
from lineage.digests import tree_digest
from serving import layout


class Push:
    """One model with its blessing, ready to be pushed."""

    def __init__(self, root: Path, model_id: int = 7) -> None:
        self.model_dir = root / "served" / "digits"
        self.export = root / str(model_id) / "model" / "Format-Serving"
        self.model = self.artifact(standard_artifacts.Model, model_id, self.export.parent)
        (self.export / "variables").mkdir(parents=True)
        (self.export / "saved_model.pb").write_text(f"graph {model_id}")
        self.model.set_string_custom_property("digest", tree_digest(self.model.uri))
        self.blessing = self.artifact(standard_artifacts.ModelBlessing, model_id + 1, root / str(model_id) / "blessing")
        self.bless(1)
        self.pushed = self.artifact(standard_artifacts.PushedModel, model_id + 2, root / str(model_id) / "pushed")
        self.inputs = {"model": [self.model], "model_blessing": [self.blessing]}

    def artifact(self, artifact_type, artifact_id, uri):
        made = artifact_type()
        made.id, made.uri = artifact_id, str(uri)
        uri.mkdir(parents=True)
        return made

    def bless(self, blessed: int) -> None:
        self.blessing.set_int_custom_property("blessed", blessed)
        self.blessing.set_string_custom_property("current_model", self.model.uri)
        self.blessing.set_int_custom_property("current_model_id", self.model.id)
        (Path(self.blessing.uri) / "BLESSED").unlink(missing_ok=True)
        (Path(self.blessing.uri) / ("BLESSED" if blessed else "NOT_BLESSED")).touch()

    def run(self, **properties: str) -> standard_artifacts.PushedModel:
        filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=str(self.model_dir))
        destination = proto_utils.proto_to_json(pusher_pb2.PushDestination(filesystem=filesystem))
        Executor().Do(self.inputs, {"pushed_model": [self.pushed]}, {"push_destination": destination, **properties})
        return self.pushed


@pytest.fixture
def push(tmp_path):
    return Push(tmp_path)


@pytest.fixture
def served(tmp_path):
    """The serving directory with an older model in it; fails the test if anything in it changes."""
    older = Push(tmp_path, model_id=1)
    older.run()
    before = tree_digest(older.model_dir)
    yield older.model_dir
    assert tree_digest(older.model_dir) == before


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
    push.bless(0)
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
        push.bless(0)
    assert push.run().get_int_custom_property("pushed") == 0


@pytest.mark.usefixtures("served")
def test_blessing_of_another_model_is_refused(push, tmp_path):
    push.inputs["model_blessing"] = [Push(tmp_path, model_id=30).blessing]
    with pytest.raises(
        IntegrityError, match=r"is for model 30 .* but the model to push is 7 .*; run again with --from Evaluator\.$"
    ):
        push.run()


@pytest.mark.usefixtures("served")
def test_blessing_of_the_same_id_at_another_place_is_refused(push):
    push.blessing.set_string_custom_property("current_model", "/elsewhere")
    with pytest.raises(IntegrityError, match="at /elsewhere"):
        push.run()


@pytest.mark.usefixtures("served")
def test_blessing_set_by_hand_in_ml_metadata_is_refused(push):
    push.bless(0)
    push.blessing.set_int_custom_property("blessed", 1)
    with pytest.raises(IntegrityError, match="says blessed=1 in ML Metadata"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("keep_the_refusal", [True, False])
def test_blessed_file_dropped_by_hand_is_refused(push, keep_the_refusal):
    push.bless(0)
    (Path(push.blessing.uri) / "BLESSED").touch()
    if not keep_the_refusal:
        (Path(push.blessing.uri) / "NOT_BLESSED").unlink()
    with pytest.raises(IntegrityError, match="says blessed=0 in ML Metadata"):
        push.run()


@pytest.mark.usefixtures("served")
def test_both_blessing_files_at_once_are_refused(push):
    (Path(push.blessing.uri) / "NOT_BLESSED").touch()
    with pytest.raises(IntegrityError, match=r"holds \['BLESSED', 'NOT_BLESSED'\]"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(("blessed", "file"), [(1, "BLESSED"), (0, "NOT_BLESSED")])
def test_emptied_blessing_is_refused_with_the_command_that_makes_it_again(push, blessed, file):
    push.bless(blessed)
    (Path(push.blessing.uri) / file).unlink()
    with pytest.raises(IntegrityError, match=rf"blessed={blessed} in .* holds \[\]; run again with --from Evaluator\.$"):
        push.run()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("which", ["model", "blessing"])
def test_artifact_altered_after_it_was_published_is_refused(push, which):
    push.blessing.set_string_custom_property("digest", tree_digest(push.blessing.uri))
    (push.export / "saved_model.pb" if which == "model" else Path(push.blessing.uri) / "BLESSED").write_text("altered")
    node = {"model": "FederatedTrainer", "blessing": "Evaluator"}[which]
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


def test_missing_destination_is_named(push):
    with pytest.raises(PushError, match="base_directory"):
        Executor().Do(push.inputs, {"pushed_model": [push.pushed]}, {})
