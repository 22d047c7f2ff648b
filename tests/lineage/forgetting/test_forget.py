"""`python -m lineage forget` on a real store, real indexes and served versions."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.federated_split.blocks import INDEX_FILE, INDEX_SCHEMA
from errors import ConfigError, IntegrityError
from lineage import audit_log, forgotten
from lineage.digests import tree_digest
from lineage.forgetting.command import forget
from serving import layout

REPOSITORY = Path(__file__).parents[3]
CLIENT = "ann@clinic.example"


@dataclass
class Clinic:
    """A root with runs of pipelines whose clients are named."""

    folder: Path
    writer: Any

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def run(self, clients: Sequence[str], pipeline: str = "clinic", strategy: str = "by_key") -> dict[str, int]:
        number = len(self.writer.store.get_executions())
        made: dict[str, int] = {}

        def node(name: str, inputs: dict[str, str], outputs: dict[str, str], facts: dict | None = None, **asked: Any) -> None:
            artifacts = {}
            for key, kind in outputs.items():
                uri = self.root / pipeline / name / key / str(number)
                uri.mkdir(parents=True)
                (uri / "saved_model.pb").write_text(f"{name} {number}")
                artifacts[key] = [self.writer.artifact(kind, str(uri), **(facts or {}))]
            given = {key: [made[source]] for key, source in inputs.items()}
            _, ids = self.writer.execute(pipeline, f"run-{number}", name, given, artifacts, **asked)
            made.update({f"{name}.{key}": several[0] for key, several in ids.items()})

        node("ExampleGen", {}, {"examples": "Examples"})
        asked = {"key": "patient"} if strategy.endswith("by_key") else {"clients": len(clients)}
        split = {"federated_examples": "components.FederatedExamples"}
        node(
            "FederatedSplit",
            {"examples": "ExampleGen.examples"},
            split,
            strategy=strategy,
            parameters=json.dumps({**asked, "label": "label"}),
        )
        self.index(pipeline, number, clients)
        node("Trainer", {"examples": "ExampleGen.examples"}, {"model": "Model"})
        node("FederatedTrainer", {"federated_examples": "FederatedSplit.federated_examples"}, {"model": "Model"})
        model = self.root / pipeline / "FederatedTrainer" / "model" / str(number)
        there = layout.publish(model, self.folder / "models" / pipeline)
        facts = {"pushed": 1, "model_id": made["FederatedTrainer.model"], "pushed_destination": there.path}
        node("Pusher", {"model": "FederatedTrainer.model"}, {"pushed_model": "PushedModel"}, facts)
        return {**made, "version": there.version}

    def index(self, pipeline: str, number: int, clients: Sequence[str]) -> None:
        folder = self.root / pipeline / "FederatedSplit" / "federated_examples" / str(number) / "Split-train"
        folder.mkdir()
        zeros = [0] * len(clients)
        columns = {"client_id": sorted(clients), **dict.fromkeys(INDEX_SCHEMA.names[1:6], zeros)}
        rest = {"held_out": [False] * len(clients), "labels": [[]] * len(clients), "sha256": [""] * len(clients)}
        pq.write_table(pa.table({**columns, **rest}, INDEX_SCHEMA), folder / INDEX_FILE)

    @property
    def options(self) -> list[str]:
        where = ["--pipeline-root", str(self.root), "--serving-root", str(self.folder / "models")]
        return [*where, "--metadata", str(self.writer.path)]

    def forget(self, *arguments: str) -> int:
        return forget([*arguments, *self.options])

    @property
    def log(self) -> list[audit_log.Entry]:
        return audit_log.read(self.root / "audit.jsonl")


@pytest.fixture
def clinic(tmp_path: Path, store_writer: Any) -> Clinic:
    (tmp_path / "root").mkdir()
    return Clinic(tmp_path, store_writer)


def reported(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_report_names_splits_models_and_what_is_live(clinic, capsys) -> None:
    with_it = clinic.run([CLIENT, "bob"])
    clinic.run(["bob"])
    clinic.forget(CLIENT, "--json")
    [told] = reported(capsys)
    assert told["splits"] == [with_it["FederatedSplit.federated_examples"]]
    models = {one["id"]: one for one in told["models"]}
    assert set(models) == {with_it["Trainer.model"], with_it["FederatedTrainer.model"]}
    [version] = models[with_it["FederatedTrainer.model"]]["versions"]
    assert version["version"] == f"clinic/{with_it['version']}"
    assert (version["state"], told["in_service"]) == ("on the disk", [])
    assert models[with_it["Trainer.model"]]["versions"] == []


def test_live_model_that_holds_its_data_is_named_as_what_answers_until_the_next_one(clinic, capsys) -> None:
    made = clinic.run([CLIENT, "bob"])
    clinic.forget(CLIENT)
    said = capsys.readouterr().out
    assert f"clinic/{made['version']} live" in said
    assert "run pipeline clinic again" in said
    assert f"until its version is live, clinic/{made['version']} answers requests" in said


def test_forgotten_client_is_on_the_list_and_in_the_log_by_its_keyed_hash_alone(clinic, capsys) -> None:
    made = clinic.run([CLIENT, "bob"])
    clinic.forget(CLIENT, "--json")
    [told] = reported(capsys)
    expected = forgotten.keyed_hash(forgotten.read_key(clinic.root), "clinic", CLIENT)
    assert told["client"] == expected
    [entry] = clinic.log
    assert (entry.event, entry.facts["client"], entry.facts["pipeline"]) == ("forget", expected, "clinic")
    assert entry.facts["models"] == [made["Trainer.model"], made["FederatedTrainer.model"]]
    assert entry.facts["live"] == [f"clinic/{made['version']}"]
    omission = forgotten.omission(clinic.root, "clinic")
    assert omission is not None
    assert omission.features == ("patient",)
    assert [omission.check()(one) for one in (CLIENT, "bob")] == [True, False]


def test_id_is_in_no_file_but_the_data(clinic, capsys) -> None:
    clinic.run([CLIENT, "bob"])
    clinic.forget(CLIENT)
    assert CLIENT not in capsys.readouterr().out
    files = [Path(folder, name) for folder, _, names in os.walk(clinic.folder) for name in names]
    assert {file.name for file in files if CLIENT.encode() in file.read_bytes()} == {INDEX_FILE}


@pytest.mark.slow
def test_id_on_the_command_line_is_not_told_to_those_who_wait_for_a_lock(clinic) -> None:
    clinic.run([CLIENT])
    program = (
        "import sys\nfrom lineage import locking\nfrom lineage.forgetting import command\n"
        "command.forget(sys.argv[1:])\nprint(locking._myself())"
    )
    ran = [sys.executable, "-c", program, CLIENT, "--dry-run", *clinic.options]
    done = subprocess.run(ran, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert CLIENT not in done.stdout
    assert "--dry-run" in done.stdout.splitlines()[-1]


def test_dry_run_writes_nothing(clinic, capsys) -> None:
    clinic.run([CLIENT])
    before = tree_digest(clinic.root)
    clinic.forget(CLIENT, "--dry-run")
    assert tree_digest(clinic.root) == before
    assert "A dry run" in capsys.readouterr().out


def test_forgetting_twice_says_so_and_writes_nothing_more(clinic, capsys) -> None:
    clinic.run([CLIENT])
    clinic.forget(CLIENT)
    before = tree_digest(clinic.root)
    assert clinic.forget(CLIENT) == 0
    assert tree_digest(clinic.root) == before
    assert "already" in capsys.readouterr().out


def test_killed_before_the_log_was_written_it_is_written_the_next_time(clinic) -> None:
    clinic.run([CLIENT])
    key = forgotten.make_key(clinic.root)
    forgotten.add(clinic.root, "clinic", forgotten.keyed_hash(key, "clinic", CLIENT), "patient")
    clinic.forget(CLIENT)
    assert [entry.event for entry in clinic.log] == ["forget"]


def test_id_is_read_from_a_file_or_from_stdin(clinic, tmp_path, monkeypatch) -> None:
    clinic.run([CLIENT, "bob"])
    (tmp_path / "id.txt").write_text(f"{CLIENT}\n")
    clinic.forget("--client-file", str(tmp_path / "id.txt"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("bob"))
    clinic.forget("-")
    omission = forgotten.omission(clinic.root, "clinic")
    assert omission is not None
    assert [omission.check()(one) for one in (CLIENT, "bob")] == [True, True]


@pytest.mark.parametrize("arguments", [[], ["a", "--client-file", "f"], [""], ["a\nb"], ["--client-file", "none"]])
def test_what_is_no_id_is_refused_in_one_line(clinic, arguments) -> None:
    clinic.run([CLIENT])
    with pytest.raises(ConfigError) as refused:
        clinic.forget(*arguments)
    assert "\n" not in str(refused.value)


def test_unknown_client_is_refused_without_repeating_it_and_can_be_listed_all_the_same(clinic, capsys) -> None:
    clinic.run(["bob"])
    with pytest.raises(ConfigError, match="none of those that are still there does; --even-if-unknown") as refused:
        clinic.forget(CLIENT)
    assert CLIENT not in str(refused.value)
    assert not (clinic.root / ".clients").exists()
    clinic.forget(CLIENT, "--even-if-unknown")
    assert "no split that is still there holds it" in capsys.readouterr().out
    assert forgotten.omission(clinic.root, "clinic") is not None


def test_invented_clients_are_nobody_to_forget(clinic) -> None:
    clinic.run(["client-0", "client-1"], strategy="dirichlet")
    with pytest.raises(ConfigError, match="name nobody"):
        clinic.forget("client-0")


def test_members_of_groups_are_forgotten_though_no_index_tells_of_them(clinic, capsys) -> None:
    made = clinic.run(["group-00000"], strategy="grouped_by_key")
    clinic.forget(CLIENT, "--json")
    [told] = reported(capsys)
    assert (told["splits"], told["splits_of_groups"]) == ([], [made["FederatedSplit.federated_examples"]])
    assert len(told["models"]) == 2


def test_client_of_two_pipelines_is_forgotten_by_both_and_one_of_one_by_that_alone(clinic, capsys) -> None:
    clinic.run([CLIENT, "bob"])
    clinic.run([CLIENT], pipeline="ward")
    clinic.forget("bob")
    assert forgotten.pipelines(clinic.root) == ["clinic"]
    clinic.forget(CLIENT)
    assert forgotten.pipelines(clinic.root) == ["clinic", "ward"]
    capsys.readouterr()
    clinic.forget("--list", "--json")
    assert {name: told["forgotten"] for name, told in reported(capsys).items()} == {"clinic": 2, "ward": 1}
    with pytest.raises(ConfigError, match="name one of clinic, ward by --pipeline"):
        clinic.forget("nobody", "--even-if-unknown")
    with pytest.raises(ConfigError, match="expected one of clinic, ward"):
        clinic.forget("nobody", "--pipeline", "none")


def test_nobody_forgotten_is_an_empty_list(clinic, capsys) -> None:
    clinic.run([CLIENT])
    clinic.forget("--list")
    assert capsys.readouterr().out == "nobody was forgotten\n"


def test_list_that_was_removed_or_cut_off_is_missed(clinic) -> None:
    clinic.run([CLIENT, "bob"])
    clinic.forget(CLIENT)
    clinic.forget("bob")
    file = clinic.root / ".clients" / "clinic.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(IntegrityError, match="got 1 fewer"):
        forgotten.omission(clinic.root, "clinic")
    file.unlink()
    with pytest.raises(IntegrityError, match="got 2 fewer"):
        forgotten.omission(clinic.root, "clinic")


def test_lost_key_is_told_and_nothing_is_forgotten_with_another(clinic) -> None:
    clinic.run([CLIENT, "bob"])
    clinic.forget(CLIENT)
    (clinic.root / ".clients" / "key").unlink()
    with pytest.raises(IntegrityError, match="put it back from a copy"):
        clinic.forget("bob")
