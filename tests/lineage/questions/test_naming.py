"""What a MODEL on the command line means."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from lineage.questions import naming, served


def resolve(pipelines: Any, text: str) -> naming.Named:
    with pipelines.places.opened() as store:
        return naming.resolve(text, store, pipelines.places)


def test_all_names_of_a_model_mean_the_same_one(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    model_folder = Path(pipelines.writer.store.get_artifacts_by_id([made["model"]])[0].uri)
    version = pipelines.serving / "p" / str(made["version"])
    names = [
        "p",
        f"p/{made['version']}",
        str(made["version"]),
        f"id:{made['model']}",
        "run:r-1",
        "run:r",
        "r-1",
        str(pipelines.serving),
        str(version.parent),
        str(version),
        str(version / "saved_model.pb"),
        str(model_folder),
        str(model_folder / "Format-Serving"),
        str(pipelines.decision_uri),
    ]
    found = {name: resolve(pipelines, name) for name in names}
    told = {name: (named.model and named.model.id, named.version and named.version.number) for name, named in found.items()}
    assert told == dict.fromkeys(names, (made["model"], made["version"]))


def test_a_name_means_the_live_version(pipelines: Any) -> None:
    pipelines.whole("r-1")
    second = pipelines.whole("r-2", text="2")
    assert resolve(pipelines, "p").model.id == second["model"]


def test_copy_of_a_version_is_known_by_its_bytes(pipelines: Any, tmp_path: Path) -> None:
    made = pipelines.whole("r-1")
    shutil.copytree(pipelines.serving / "p" / str(made["version"]), tmp_path / "taken" / "along")
    named = resolve(pipelines, str(tmp_path / "taken" / "along"))
    assert named.model.id == made["model"]
    assert named.version.bytes == served.AS_PUSHED


def test_versions_of_another_serving_root_are_known_by_their_bytes(pipelines: Any, tmp_path: Path) -> None:
    made = pipelines.whole("r-1")
    shutil.copytree(pipelines.serving / "p" / str(made["version"]), tmp_path / "other" / "renamed" / "7")
    assert resolve(pipelines, str(tmp_path / "other" / "renamed")).model.id == made["model"]


def test_folder_that_is_gone_still_names_its_artifact(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    folder = pipelines.writer.store.get_artifacts_by_id([made["model"]])[0].uri
    pipelines.remove(made["model"])
    assert resolve(pipelines, folder).model.id == made["model"]


def test_path_through_a_link_means_what_it_leads_to(pipelines: Any, tmp_path: Path) -> None:
    made = pipelines.whole("r-1")
    (tmp_path / "link").symlink_to(pipelines.serving / "p")
    assert resolve(pipelines, str(tmp_path / "link")).model.id == made["model"]


def test_version_whose_folder_and_log_are_gone_is_known_by_its_push(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    shutil.rmtree(pipelines.serving)
    assert resolve(pipelines, f"p/{made['version']}").model.id == made["model"]
    assert resolve(pipelines, str(made["version"])).model.id == made["model"]


def test_run_that_only_trained_means_its_last_model(pipelines: Any) -> None:
    data = pipelines.data("r-1")
    model = pipelines.train("r-1", data["federated_examples"])
    assert resolve(pipelines, "run:r-1").model.id == model


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("q", "did you mean p"),
        ("p/1", "did you mean p"),
        ("id:99999", "expected the id of an artifact"),
        ("id:1", "got Examples 1; see what came of it with `python -m lineage impact id:1`"),
        ("id:-1", "expected the id of an artifact"),
        ("run:nope", "did you mean r-1 or r-2"),
        ("run:r", "did you mean r-2 or r-1"),
        ("/nowhere/at/all", "got what is none of them"),
        ("", "nothing: expected a model"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line_with_what_comes_nearest(two_runs: Any, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(two_runs, text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_version_that_two_models_have_must_be_named_with_its_model(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    shutil.copytree(pipelines.serving / "p", pipelines.serving / "q")
    with pytest.raises(ConfigError, match=f"p/{made['version']}, q/{made['version']}"):
        resolve(pipelines, str(made["version"]))


def test_nothing_is_served_yet(pipelines: Any) -> None:
    pipelines.data("r-1")
    with pytest.raises(ConfigError, match="there is none yet"):
        resolve(pipelines, "p")
