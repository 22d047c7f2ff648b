"""One configuration after another: Manager.reload and apply."""

import shutil
import threading

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.model_config import Policy, Settings
from serving.server.status import ApiError


def config(**models: tuple) -> ModelServerConfig:
    """Models by name: (base path, the rest of the entry)."""
    entries = [
        f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {more} }}'
        for name, (base, more) in models.items()
    ]
    return text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", ModelServerConfig())


def specific(*versions: int, **labels: int) -> str:
    """A policy, and labels with their versions."""
    listed = " ".join(f"versions: {version}" for version in versions)
    named = " ".join(f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items())
    return f"model_version_policy {{ specific {{ {listed} }} }} {named}"


def refusal(tried, asked: ModelServerConfig) -> ApiError:
    with pytest.raises(ApiError) as refused:
        tried.manager.reload(asked)
    return refused.value


@pytest.fixture
def three(base, put):
    for version in (1, 2, 3):
        put(version)
    return base


def test_a_reload_replaces_the_models_and_returns_when_the_new_ones_answer(three, put, manage, tmp_path) -> None:
    tried = manage(m=Settings(three))
    put(7, tmp_path / "new")
    tried.manager.reload(config(new=(tmp_path / "new", "")))
    assert tried.answers(name="new") == 7
    assert tried.manager.names() == ["new"]
    assert tried.refused().message == "Servable not found for request: Latest(m)"
    assert tried.manager.settle(20)
    assert tried.states() == {3: "END"}  # what was known is told until the end


@pytest.mark.parametrize("problem", ["missing", "empty", "broken"])
def test_a_reload_whose_new_model_does_not_load_changes_nothing(three, put, manage, tmp_path, problem: str) -> None:
    if problem == "empty":
        (tmp_path / "new").mkdir()
    if problem == "broken":
        put(1, tmp_path / "new", broken=True)
    tried = manage(m=Settings(three))
    refused = refusal(tried, config(new=(tmp_path / "new", "")))
    assert refused.code == "UNKNOWN"
    assert refused.message.startswith("1 model(s) did not become available: new: ")
    assert tried.manager.names() == ["m"]
    assert tried.answers() == 3


def test_a_wrong_configuration_changes_nothing_and_spoils_no_later_one(three, manage) -> None:
    tried = manage(m=Settings(three))
    wrong = config(m=(three, specific(1)), other=(three, ""))
    wrong.model_config_list.config[1].model_platform = ""
    assert refusal(tried, wrong).code == "INVALID_ARGUMENT"
    tried.look()
    assert tried.answers() == 3
    tried.manager.reload(config(m=(three, specific(1))))
    assert tried.manager.settle(20)
    assert tried.answers() == 1


def test_labels_are_looked_at_after_their_versions_are_loaded(three, manage) -> None:
    tried = manage(m=Settings(three))
    tried.manager.reload(config(m=(three, specific(1, 3, stable=1, canary=3))))
    assert (tried.answers(label="stable"), tried.answers(label="canary"), tried.answers()) == (1, 3, 3)
    assert tried.refused(label="other").message == "Unrecognized servable version label: other"


def test_all_labels_switch_at_once(three, manage, gated) -> None:
    gate = gated(2)
    tried = manage(gate, m=Settings(three, Policy(listed=frozenset([1, 3])), {"stable": 1, "canary": 3}))
    reloading = threading.Thread(target=tried.manager.reload, args=[config(m=(three, specific(2, 3, stable=3, canary=2)))])
    reloading.start()
    gate.wait_for(2)
    assert (tried.answers(label="stable"), tried.answers(label="canary")) == (1, 3)
    gate.open(2)
    reloading.join(20)
    assert (tried.answers(label="stable"), tried.answers(label="canary")) == (3, 2)
    assert tried.manager.settle(20)
    assert tried.states() == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_label_in_use_moves_to_no_version_that_is_not_available(three, put, manage, allowed: bool) -> None:
    put(4, broken=True)
    options = {"labels_for_unavailable": allowed}
    tried = manage(options=options, m=Settings(three, Policy(listed=frozenset([1])), {"stable": 1}))
    for version, listed in [(4, [1, 4]), (9, [1, 9]), (2, [1])]:
        refused = refusal(tried, config(m=(three, specific(*listed, stable=version))))
        assert refused.code == "FAILED_PRECONDITION"
        assert f"label stable to version {version} of model m, which is not currently available" in refused.message
        assert (tried.answers(label="stable"), tried.answers()) == (1, 1)
    assert tried.manager.settle(20)
    assert {version for version, state in tried.states().items() if state == "AVAILABLE"} == {1}


def test_a_new_label_may_be_of_a_version_to_come_only_where_that_is_allowed(three, manage) -> None:
    asked = config(m=(three, specific(3, 9, canary=9)))
    assert refusal(manage(m=Settings(three)), asked).code == "FAILED_PRECONDITION"
    tried = manage(options={"labels_for_unavailable": True}, m=Settings(three))
    tried.manager.reload(asked)
    tried.manager.reload(asked)
    refused = tried.refused(label="canary")
    assert (refused.code, refused.message) == ("NOT_FOUND", "Servable not found for request: Specific(m, 9)")


def test_a_start_takes_labels_before_their_versions_are_loaded(three, manage) -> None:
    tried = manage(m=Settings(three, Policy(listed=frozenset([2])), {"stable": 2}))
    assert tried.answers(label="stable") == 2


def test_another_base_path_brings_its_own_versions_even_of_the_same_number(three, put, manage, tmp_path) -> None:
    put(3, tmp_path / "new")
    tried = manage(m=Settings(three))
    with tried.manager.lease("m") as servable:
        assert servable.path == three / "3"
    tried.manager.reload(config(m=(tmp_path / "new", "")))
    assert tried.manager.settle(20)
    with tried.manager.lease("m") as servable:
        assert servable.path == tmp_path / "new" / "3"


def test_another_base_path_that_is_missing_takes_nothing_away(three, manage, tmp_path) -> None:
    tried = manage(m=Settings(three))
    tried.manager.reload(config(m=(tmp_path / "missing", "")))
    tried.look()
    assert tried.answers() == 3


def test_an_empty_list_of_models_unloads_all(three, manage) -> None:
    tried = manage(m=Settings(three))
    tried.manager.reload(config())
    assert tried.manager.settle(20)
    assert (tried.manager.names(), tried.manager.ready(), tried.states()) == ([], [], {3: "END"})


def test_before_its_first_configuration_a_server_is_not_ready(three, manage) -> None:
    from serving.server import servable
    from serving.server.manager import Manager

    manager = Manager(lambda name, path, version: servable.load(path, version))
    assert manager.ready() == ["(no configuration yet)"]
    manager.reload(config(m=(three, "")))
    assert manager.ready() == []
    manager.stop()


def test_a_reload_ends_when_the_server_does(three, manage, gated) -> None:
    gate, refused = gated(2), []
    tried = manage(gate, m=Settings(three))
    reloading = threading.Thread(target=lambda: refused.append(refusal(tried, config(m=(three, specific(2, stable=2))))))
    reloading.start()
    gate.wait_for(2)
    tried.manager.stop()
    reloading.join(20)
    gate.open(2)
    assert refused[0].code == "UNAVAILABLE"


def test_a_model_that_comes_back_while_its_version_is_being_unloaded_is_loaded_again(three, manage) -> None:
    tried = manage(m=Settings(three))
    with tried.manager.lease("m"):
        tried.manager.apply({})
        assert tried.states() == {3: "UNLOADING"}
        tried.manager.apply({"m": Settings(three)})
    tried.wait_for("m", None)
    assert tried.manager.settle(20)
    assert tried.answers() == 3


def test_a_held_version_that_is_deleted_is_unloaded_and_the_rest_stay(three, manage) -> None:
    tried = manage(m=Settings(three, Policy(listed=frozenset([1, 2]))))
    shutil.rmtree(three / "2")
    tried.look()
    assert (tried.answers(), tried.states()) == (1, {2: "END", 1: "AVAILABLE"})


def test_what_a_reload_adds_and_removes_is_logged(three, put, manage, caplog, tmp_path) -> None:
    caplog.set_level("INFO")
    put(7, tmp_path / "new")
    tried = manage(m=Settings(three))
    only = {"new": (tmp_path / "new", "")}
    for models in ({"m": (three, ""), **only}, only, only):
        tried.manager.reload(config(**models))
    told = [(record.levelname, record.message) for record in caplog.records if "over gRPC" in record.message]
    assert told == [
        ("INFO", "configuration replaced over gRPC: +new"),
        ("WARNING", "configuration replaced over gRPC: -m"),
        ("INFO", "configuration replaced over gRPC: the same models"),
    ]
