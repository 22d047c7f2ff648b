"""What a serving root holds, and which push each version is."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from lineage.questions import commands, listing, origin, served
from lineage.questions.served import Version
from serving import models_config
from serving.__main__ import main as serving_command


def version(pipelines: Any, number: int, name: str = "p", checked: bool = True) -> Version:
    with pipelines.places.opened() as store:
        pushed = served.pushes(store)
        found = served.model(pipelines.places.serving_root, name, pushed).version(number)
        assert found is not None
        return served.checked(found, pushed) if checked else found


def test_pushed_version_is_live_with_the_bytes_that_were_pushed(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    found = version(pipelines, made["version"])
    assert (found.live, found.how, found.bytes) == (True, served.PUSHED, served.AS_PUSHED)
    assert version(pipelines, made["version"], checked=False).bytes == served.UNCHECKED


def test_altered_bytes_are_found_and_keep_the_push_of_what_should_be_there(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    (pipelines.serving / "p" / str(made["version"]) / "saved_model.pb").write_text("other", encoding="utf-8")
    found = version(pipelines, made["version"])
    assert (found.bytes, len(found.pushes)) == (served.ALTERED, 1)
    assert found.digest != found.recorded


def test_bytes_altered_together_with_a_log_written_anew_are_found(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    (pipelines.serving / "p" / str(made["version"]) / "saved_model.pb").write_text("other", encoding="utf-8")
    (pipelines.serving / "audit.jsonl").unlink()
    assert version(pipelines, made["version"]).bytes == served.ALTERED


def test_version_copied_by_hand_is_known_by_its_bytes_and_said_to_be_by_hand(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    shutil.copytree(pipelines.serving / "p" / str(made["version"]), pipelines.serving / "q" / "5")
    found = version(pipelines, 5, "q")
    assert (found.how, found.bytes) == (served.BY_HAND, served.AS_PUSHED)
    assert [pushed.properties["model_id"] for pushed in found.pushes] == [made["model"]]


def test_version_of_unknown_bytes_is_unproven(pipelines: Any) -> None:
    pipelines.whole("r-1")
    (pipelines.serving / "q" / "5").mkdir(parents=True)
    (pipelines.serving / "q" / "5" / "saved_model.pb").write_text("who knows", encoding="utf-8")
    found = version(pipelines, 5, "q")
    assert (found.how, found.bytes, found.pushes) == (served.BY_HAND, served.UNPROVEN, ())


def test_lost_and_pruned_versions_are_told_apart(pipelines: Any, capsys: Any) -> None:
    numbers = [pipelines.whole(f"r-{one}", text=str(one))["version"] for one in range(3)]
    command = ["prune", "--root", str(pipelines.serving), "--model_name", "p", "--keep", "2", "--no_wait"]
    assert serving_command(command) == 0
    shutil.rmtree(pipelines.serving / "p" / str(numbers[1]))
    found = {number: version(pipelines, number) for number in numbers}
    assert [found[number].how for number in numbers] == [served.PRUNED, served.LOST, served.PUSHED]
    assert [found[number].bytes for number in numbers] == [served.GONE, served.GONE, served.AS_PUSHED]
    assert "pruned" in capsys.readouterr().out or not found[numbers[0]].there


def test_held_model_tells_labels_and_what_is_loaded(pipelines: Any) -> None:
    first, second = (pipelines.whole(f"r-{one}", text=str(one))["version"] for one in range(2))
    models_config.put(pipelines.serving, "p", models_config.Held((first,), {"stable": first}))
    assert version(pipelines, first).labels == ("stable",)
    assert [version(pipelines, number).live for number in (first, second)] == [True, False]
    assert not version(pipelines, second).in_service


def test_log_that_was_altered_is_told_and_hides_nothing(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    log = pipelines.serving / "audit.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace("push", "pull"), encoding="utf-8")
    with pipelines.places.opened() as store:
        found = served.model(pipelines.places.serving_root, "p", served.pushes(store))
    assert "was altered" in found.problem
    assert found.live == made["version"]


def test_cached_push_of_the_same_bytes_is_another_push_of_that_version(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    pipelines.push("r-2", made["model"], made["blessing"])
    assert len(version(pipelines, made["version"]).pushes) == 2


def test_version_is_json(pipelines: Any) -> None:
    made = pipelines.whole("r-1")
    told = json.loads(json.dumps(version(pipelines, made["version"]).as_json()))
    assert (told["version"], told["bytes"], told["live"]) == (made["version"], "as pushed", True)


def test_folder_elsewhere_that_is_served_is_said_by_show_and_list(pipelines: Any, capsys: Any) -> None:
    made = pipelines.whole("r-1")
    shutil.copytree(pipelines.serving / "p", pipelines.root / "other")
    config = pipelines.serving / "models.config"
    config.write_text(config.read_text().replace(str(pipelines.serving / "p"), str(pipelines.root / "other")))
    assert version(pipelines, made["version"]).elsewhere == str(pipelines.root / "other")
    places = ["--pipeline-root", str(pipelines.root), "--serving-root", str(pipelines.serving)]
    places += ["--metadata", pipelines.places.metadata]
    assert commands.show(["p", *places]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"ALTERED: models.config has {pipelines.root}/other served, not this folder" in said
    assert commands.list_(["--models", *places]) == 0
    assert "ALTERED" in capsys.readouterr().out
    assert commands.list_(["--models", "--json", *places]) == 0
    [line] = json.loads(capsys.readouterr().out)["models"]
    assert line["versions"][0]["elsewhere"] == str(pipelines.root / "other")


def test_finding_that_became_a_pipe_is_altered_and_not_waited_for(pipelines: Any) -> None:
    pipelines.whole("r-1")
    file = pipelines.decision_uri / "decision.json"
    file.unlink()
    os.mkfifo(file)
    with pipelines.places.opened() as store:
        decided = origin.of_text("p", store, pipelines.places).decision
        assert listing.model_lines(store, pipelines.places)
    assert decided is not None and decided.file == "altered"
