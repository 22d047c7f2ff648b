import json
import shutil
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts

from components import FederatedExamples
from components.federated_trainer import component
from lineage.digests import code_digest


def make(base_model: types.Channel | None = None, **settings: object) -> component.FederatedTrainer:
    return component.FederatedTrainer(
        federated_examples=types.Channel(type=FederatedExamples),
        module="examples.digits.digits_model",
        module_digest="0123",
        settings=settings,
        seed=7,
        state_dir="/somewhere/.federated_trainer",
        base_model=base_model,
    )


def test_parameters_that_decide_the_weights_are_in_the_cache_key_and_hold_no_client() -> None:
    parameters = make(rounds=3, algorithm="fedavg").exec_properties
    assert set(parameters) == {"module", "module_digest", "settings", "seed", "state_dir", "code_version"}
    assert json.loads(parameters["settings"]) == {"algorithm": "fedavg", "rounds": 3}


def test_a_model_to_begin_with_is_an_input_that_may_be_missing() -> None:
    assert set(make(rounds=3).inputs) == {"federated_examples"}
    base_model = types.Channel(type=standard_artifacts.Model)
    assert make(base_model, rounds=3).inputs["base_model"] is base_model


def test_beams_arguments_reach_the_executor() -> None:
    assert isinstance(make(rounds=3).executor_spec, executor_spec.BeamExecutorSpec)


def test_nested_settings_reach_the_executor_as_they_are() -> None:
    settings = {"participation": {"sampling": "full"}, "privacy": None, "client_learning_rate": 0.1}
    assert json.loads(make(**settings).exec_properties["settings"]) == settings


def test_the_order_of_the_settings_does_not_spoil_the_cache() -> None:
    first, second = make(rounds=3, algorithm="fedavg"), make(algorithm="fedavg", rounds=3)
    assert first.exec_properties == second.exec_properties


def test_an_edit_of_a_source_changes_the_code_version(tmp_path) -> None:
    package = Path(component.__file__).parent
    copy = tmp_path / package.name
    shutil.copytree(package, copy)
    before = code_digest(copy)
    assert before == code_digest(package)
    with open(copy / "algorithms.py", "a", encoding="utf-8") as file:
        file.write("# an edit\n")
    assert code_digest(copy) != before


def test_the_code_version_covers_the_package_the_block_readers_and_the_modeling_code() -> None:
    root = Path(component.__file__).parents[2]
    readers = [root / "components" / "federated_split" / name for name in ("blocks.py", "datasets.py")]
    package, lifetime = root / "components" / "federated_trainer", root / "components" / "lifetime.py"
    covered = code_digest(package, *readers, lifetime, root / "modeling")
    assert make().exec_properties["code_version"] == covered
