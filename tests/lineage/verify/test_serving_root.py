"""What verification says of a serving root, and of links and pipes: what is gone, served from elsewhere, or no version."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineage import audit_log
from lineage.verify import checking
from lineage.verify.command import as_text
from serving.__main__ import main as serving_command


def folder(small: Any) -> Path:
    return Path(small.places.serving_root, "small")


def versions(small: Any) -> list[Path]:
    return sorted(path for path in folder(small).iterdir() if path.name.isdecimal())


def everywhere(small: Any) -> list[list[tuple[str, str]]]:
    """Subject and state of what is not verified of served versions: of what is live, and of everything."""
    found = []
    for find in (checking.live_models, checking.all_versions):
        with small.places.opened() as store:
            report = checking.verify(store, small.places, find(store, small.places), everything=find is checking.all_versions)
        found.append([(one.subject, one.state) for one in report.findings if one.kind == "served" and one.state != "verified"])
    return found


@pytest.mark.parametrize("also", ["", "log", "folder"])
def test_live_version_that_was_deleted_is_missing_though_an_older_one_answers(small: Any, also: str) -> None:
    old, new = versions(small)[0], versions(small.run("run-2"))[1]
    shutil.rmtree(new)
    expected = [(f"version small/{new.name}", "missing")]
    if also == "log":
        Path(small.places.serving_root, "audit.jsonl").unlink()
    if also == "folder":
        shutil.rmtree(folder(small))
        expected.insert(0, (f"version small/{old.name}", "missing"))
    assert everywhere(small) == [expected, expected]


def test_only_version_that_was_deleted_is_missing(small: Any) -> None:
    [only] = versions(small)
    shutil.rmtree(only)
    assert everywhere(small) == [[(f"version small/{only.name}", "missing")]] * 2


def test_version_that_models_config_lists_and_nobody_knows_is_missing(small: Any) -> None:
    [only] = versions(small)
    assert serving_command(["pin", only.name, "--root", small.places.serving_root, "--no_wait"]) == 0
    config = Path(small.places.serving_root, "models.config")
    config.write_text(config.read_text().replace(f"versions: {only.name}", f"versions: {only.name}\n        versions: 7"))
    assert everywhere(small) == [[("version small/7", "missing")]] * 2


def test_version_that_was_pruned_is_as_it_should_be(small: Any) -> None:
    for run in ("run-2", "run-3"):
        small.run(run)
    assert serving_command(["prune", "--keep", "1", "--root", small.places.serving_root, "--no_wait"]) == 0
    assert len(versions(small)) == 2
    assert everywhere(small) == [[], []]


def serve_from(small: Any, base: str) -> None:
    config = Path(small.places.serving_root, "models.config")
    config.write_text(config.read_text().replace(str(folder(small)), base))


def test_folder_elsewhere_that_models_config_has_served_is_an_alteration(small: Any, tmp_path: Path) -> None:
    shutil.copytree(folder(small), tmp_path / "other")
    serve_from(small, str(tmp_path / "other"))
    assert everywhere(small) == [[("folder that small is served from", "altered")]] * 2


def test_folder_that_is_not_on_this_machine_is_unproven_and_another_name_of_the_same_is_fine(
    small: Any, tmp_path: Path
) -> None:
    serve_from(small, "/srv/nowhere/small")
    assert everywhere(small) == [[("folder that small is served from", "unproven")]] * 2
    (tmp_path / "mounted").symlink_to(small.places.serving_root)
    config = Path(small.places.serving_root, "models.config")
    config.write_text(config.read_text().replace("/srv/nowhere", str(tmp_path / "mounted")))
    assert everywhere(small) == [[], []]


def test_copied_root_whose_original_is_served_is_unproven(small: Any, tmp_path: Path) -> None:
    shutil.copytree(small.places.serving_root, tmp_path / "copy")
    places = replace(small.places, serving_root=str(tmp_path / "copy"))
    with places.opened() as store:
        report = checking.verify(store, places, checking.live_models(store, places))
    found = [(one.subject, one.state) for one in report.findings if one.kind == "served" and one.state != "verified"]
    assert found == [("folder that small is served from", "unproven")]


def test_models_config_that_names_a_model_nobody_knows_or_cannot_be_read_is_told(small: Any) -> None:
    config = Path(small.places.serving_root, "models.config")
    text = config.read_text()
    more = 'config { name: "evil" base_path: "/srv/evil" model_platform: "tensorflow" }'
    config.write_text(text.replace("model_config_list {", f"model_config_list {{ {more} "))
    assert everywhere(small) == [[], [("folder that evil is served from", "unproven")]]
    config.write_text("nonsense")
    assert everywhere(small) == [[("models.config", "altered")]] * 2


def test_version_that_was_replaced_by_a_link_is_an_alteration(small: Any, tmp_path: Path) -> None:
    [only] = versions(small)
    only.rename(tmp_path / "moved")
    only.symlink_to(tmp_path / "moved")
    assert everywhere(small) == [[(f"version small/{only.name}", "altered")]] * 2


def test_artifact_whose_directory_is_a_link_is_an_alteration(small: Any, tmp_path: Path) -> None:
    uri = Path(small.artifact(small.model).uri)
    uri.rename(tmp_path / "moved")
    uri.symlink_to(tmp_path / "moved")
    [found] = small.found("files")
    assert (found.state, "symbolic link" in found.got) == ("altered", True)


def test_pipe_in_a_version_and_in_an_artifact_is_an_alteration_and_not_waited_for(small: Any) -> None:
    [only] = versions(small)
    os.mkfifo(only / "pipe")
    os.mkfifo(Path(small.artifact(small.model).uri, "pipe"))
    assert everywhere(small) == [[(f"version small/{only.name}, live", "altered")]] * 2
    assert [(one.state, "neither" in one.got) for one in small.found("files")] == [("altered", True)]


def test_entries_that_a_model_server_may_take_for_versions_are_named(small: Any) -> None:
    [only] = versions(small)
    (folder(small) / "9999999999").symlink_to(only)
    for name in ("0009999999999", "-5", "8888888888"):
        (folder(small) / name).mkdir()
    (folder(small) / "9999999998").mkdir()
    (folder(small) / "9999999998" / "saved_model.pb").write_bytes(b"RestoreV2")  # its variables are not there
    (folder(small) / ".incoming-5-ab").mkdir()
    (folder(small) / "notes").touch()
    names = ("-5", "0009999999999", "8888888888", "9999999998", "9999999999")
    assert everywhere(small) == [[(f"entry small/{name}", "altered") for name in names]] * 2


def test_what_a_file_is_called_reaches_the_terminal_as_text_only(small: Any) -> None:
    (Path(small.artifact(small.model).uri) / "\x1b[2J\x1b[HVERIFIED\n").touch()
    (folder(small) / "notes").touch()
    audit_log.append(small.places.audit_log, "note", text="\x1b[2J")
    model = small.artifact(small.model)
    model.uri += "\x1b[2J"
    small.store.put_artifacts([model])
    text = as_text(small.verify(everything=True))
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("VERIFIED")] == []


def test_served_version_without_a_push_is_unproven(small: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "models")
    (tmp_path / "models" / "small" / "7").mkdir(parents=True)
    (tmp_path / "models" / "small" / "7" / "saved_model.pb").touch()
    found, lost = small.found("served")
    assert (found.state, found.expected) == ("unproven", "a push of it on record")
    assert lost.state == "missing"  # which was pushed


def test_symbolic_link_in_an_artifact_is_an_alteration(small: Any) -> None:
    uri = Path(small.artifact(small.model).uri)
    (uri / "more").symlink_to("/etc/hostname")
    [found] = small.found("files")
    assert (found.state, found.path) == ("altered", str(uri))
    assert "symbolic link" in found.got
