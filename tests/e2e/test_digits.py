"""Whole runs of the digits example from a copy of the checkout: what executes, what is recorded, what goes live.

The runs build on each other, as a user's do, so each is a module-scoped fixture that takes the one before it.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lineage import audit_log, signing, statement
from lineage.digests import tree_digest
from serving import statements
from tests.e2e.alterations import ALTERATIONS, OUTPUTS, Finished

CONFIG = "examples/digits/config.yaml"
ALWAYS_RUN = {"ServedModel", "DeployGate", "Pusher", "RunReport"}
JUDGES = {"ServingCheck", "PairedEvaluator", "Evaluator", "FederatedEvaluator"}
KINDS = {"log", "served", "statement", "decision", "files", "record", "execution", "run", "source"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def first(checkout: Any) -> Any:
    return checkout.run(CONFIG)


@pytest.fixture(scope="module")
def again(checkout: Any, first: Any) -> Any:
    return checkout.run(CONFIG)


def test_first_run_executes_every_node_and_pushes_a_model_that_is_good_enough(first: Any) -> None:
    assert first.code == 0, first
    assert set(first.states.values()) == {"complete"}
    assert first.result["metrics"]["federated"]["sparse_categorical_accuracy"] >= 0.95
    assert first.result["metrics"]["baseline"]["sparse_categorical_accuracy"] >= 0.95
    assert first.result["metrics"]["served"] is None
    assert first.result["decision"]["blessed"] is True
    assert first.result["pushed"]["new"] is True


def test_published_training_leaves_no_checkpoints(checkout: Any, first: Any) -> None:
    assert first.code == 0, first
    assert list((checkout.path / "pipeline_root" / ".federated_trainer" / "checkpoints").iterdir()) == []


def test_summary_names_decision_places_and_the_next_command(checkout: Any, first: Any) -> None:
    assert "BLESSED" in first.screen
    assert re.search(r"passed +SparseCategoricalAccuracy on all examples +0\.9\d+ +at least 0\.95", first.screen)
    for place in ("metadata", "log", "tensorboard", "partition", "decision", "report"):
        path = first.result["paths"][place]
        assert os.path.exists(path)
        assert os.path.relpath(path, checkout.path) in first.screen
    next_command = first.screen.rstrip().splitlines()[-1].split()
    assert os.path.exists(next_command[0])


def test_screen_shows_progress_and_none_of_the_libraries_output(first: Any) -> None:
    lines = first.screen.splitlines()
    assert sum(" done " in line for line in lines) == len(first.states)
    assert sum("round " in line for line in lines) == 40
    assert not [line for line in lines if "tensorflow" in line.lower() and "/" not in line]
    assert first.errors == ""


def test_pushed_model_answers_to_raw_image_bytes(first: Any) -> None:
    import numpy as np
    import tensorflow as tf
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = []
    for pixels in digits.images[:100]:
        buffer = io.BytesIO()
        Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(buffer, "PNG")
        images.append(buffer.getvalue())
    model = tf.saved_model.load(first.result["pushed"]["path"])
    answers = model.signatures["serving_default"](image=tf.constant(images))
    labels = [int(label) for label in answers["label"].numpy()]
    assert np.mean(np.array(labels) == digits.target[:100]) > 0.9
    assert set(model.signatures) == {"serving_default", "serve_examples", "classify"}


def test_metadata_holds_the_run_and_what_it_was_made_with(first: Any) -> None:
    store = _store(first)
    run = store.get_context_by_type_and_name("pipeline_run", first.result["run_id"])
    facts = {key: value.string_value or value.int_value for key, value in run.custom_properties.items()}
    recorded = {"config_digest", "code_version", "lock_digest", "seed", "version_tfx", "version_tensorflow-federated"}
    assert recorded <= facts.keys()
    assert facts["seed"] == 42
    model = store.get_artifacts_by_type("Model")
    federated = next(m for m in model if "algorithm" in m.custom_properties)
    assert federated.custom_properties["algorithm"].string_value == "fedavg"
    assert federated.custom_properties["rounds"].int_value == 40
    assert federated.custom_properties["clients"].int_value == 20
    pushed = store.get_artifacts_by_type("PushedModel")[-1]
    assert pushed.custom_properties["pushed"].int_value == 1
    assert pushed.custom_properties["model_id"].int_value == federated.id


def test_pushed_model_is_beside_a_statement_that_verifies_and_names_what_it_came_from(checkout: Any, first: Any) -> None:
    version, store = Path(first.result["pushed"]["path"]), _store(first)
    key = signing.load_public(checkout.path / "pipeline_root" / ".signing" / "public.pem")
    name = f"digits/{version.name}"
    checked = statement.check(
        statements.path(version.parent, int(version.name)).read_bytes(), key, tree_digest(version), name=name
    )
    assert checked.verified, checked.problem
    said = checked.statement["predicate"]
    assert said["runDetails"]["metadata"]["invocationId"] == first.result["run_id"]
    assert (said["fedtfx_model"]["algorithm"], said["fedtfx_model"]["clients"]) == ("fedavg", 20)
    listed = {each["name"]: each.get("digest") for each in said["buildDefinition"]["resolvedDependencies"]}
    for input_key, kind in {
        "examples": "Examples",
        "schema": "Schema",
        "federated_examples": "components.FederatedExamples",
    }.items():
        (made,) = store.get_artifacts_by_type(kind)
        assert listed[input_key] == {"sha256": tree_digest(made.uri)}
    private = (checkout.path / "pipeline_root" / ".signing" / "key.pem").read_text().splitlines()[1]
    assert private.encode() not in Path(first.result["paths"]["metadata"]).read_bytes()


def test_model_card_holds_the_numbers_of_the_run_and_all_that_ml_metadata_knows(first: Any) -> None:
    page = Path(first.result["paths"]["report"])
    facts = json.loads((page.parent / "facts.json").read_text(encoding="utf-8"))
    measured = first.result["metrics"]
    accuracy = next(row for row in facts["metrics"]["rows"] if row["metric"] == "SparseCategoricalAccuracy")["models"]
    assert accuracy["candidate"]["value"] == measured["federated"]["sparse_categorical_accuracy"]
    assert accuracy["baseline"]["value"] == measured["baseline"]["sparse_categorical_accuracy"]
    assert f"{accuracy['candidate']['value']:.4f}" in page.read_text(encoding="utf-8")
    assert facts["model"]["version"] == str(first.result["pushed"]["version"])
    assert len(facts["curves"]["metrics"]["loss"]["train"]) == 40
    missing = {name for name, section in facts.items() if isinstance(section, dict) and "not_available" in section}
    assert missing == {"slices"}  # the config has none
    known = {artifact.id: artifact for artifact in _store(first).get_artifacts()}
    listed = {row["id"]: row["digest"] for row in facts["artifacts"]["rows"]}
    assert len(listed) >= 17 and all(listed.values())
    assert all(known[number].uri for number in listed)
    report = _store(first).get_artifacts_by_type("components.RunReport")[0].custom_properties
    assert (report["model_id"].int_value, report["blessed"].int_value) == (facts["model"]["id"], 1)


def test_no_client_id_is_in_metadata_or_log_or_statement(first: Any) -> None:
    from components.federated_split.blocks import Clients

    store = _store(first)
    split = store.get_artifacts_by_type("components.FederatedExamples")[-1]
    ids = Clients.open(split.uri).ids
    metadata = Path(first.result["paths"]["metadata"]).read_bytes()
    log = Path(first.result["paths"]["log"]).read_bytes()
    assert len(ids) == 20
    assert not [client for client in ids if client.encode() in metadata or client.encode() in log]
    version = Path(first.result["pushed"]["path"])
    said = json.dumps(statement.unproven(statements.path(version.parent, int(version.name)).read_bytes())[0])
    assert not [client for client in ids if client in said]
    for judge in (*JUDGES, "DeployGate", "RunReport"):
        written = b"".join(file.read_bytes() for file in Path(split.uri).parents[2].glob(f"{judge}/**/*") if file.is_file())
        assert written
        assert not [client for client in ids if client.encode() in written], judge


def _store(run: Any) -> Any:
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = run.result["paths"]["metadata"]
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return metadata_store.MetadataStore(connection)


def test_second_run_reuses_everything_and_pushes_nothing_new(checkout: Any, first: Any, again: Any) -> None:
    assert again.code == 0, again
    assert again.executed == ALWAYS_RUN
    assert again.result["pushed"] == {**first.result["pushed"], "new": False}
    assert again.result["metrics"] == first.result["metrics"]


@pytest.fixture(scope="module")
def finished(checkout: Any, again: Any) -> Finished:
    root = checkout.path / "pipeline_root"
    return Finished(root, checkout.path / "serving" / "models", root / "metadata.sqlite")


def test_everything_a_run_left_is_verified(finished: Finished) -> None:
    report = finished.verify()
    assert not report.failing()
    assert {finding.kind for finding in report.findings} == KINDS
    assert finished.verify(everything=True).exit_code() == 0


@pytest.mark.parametrize(("node", "output"), OUTPUTS.items())
def test_changed_byte_of_an_artifact_is_found_and_the_file_named(finished: Finished, node: str, output: str) -> None:
    file = finished.files(node, output)[0]
    with finished.one_byte_changed(file, file.stat().st_size // 2):
        found = [one for one in finished.verify().of("altered") if one.kind == "files"]
    assert len(found) == 1
    assert file.is_relative_to(found[0].path)
    assert found[0].got.endswith(f"written since: {file.relative_to(found[0].path)}")


@pytest.mark.parametrize("column", ALTERATIONS)
def test_edited_column_of_ml_metadata_is_found_and_named(finished: Finished, column: str) -> None:
    sql, subject = ALTERATIONS[column]
    with finished.edited(sql):
        report = finished.verify()
        assert report.exit_code() == 10
        found = [one for one in report.failing() if one.kind not in ("files", "statement", "decision")]
        assert [one for one in found if subject in one.subject]
        assert finished.verify(everything=True).exit_code() == 10


@pytest.mark.parametrize("folder", ["root", "serving_root"])
def test_changed_byte_of_any_line_of_a_log_and_a_cut_off_end_are_found(finished: Finished, folder: str) -> None:
    log: Path = getattr(finished, folder) / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    for number in range(len(lines)):
        before = len(b"".join(lines[:number]))
        with finished.one_byte_changed(log, before + len(lines[number]) // 2):
            assert str(log) in [one.path for one in finished.verify().of("altered")], number
    for kept in (0, len(lines) // 2, len(lines) - 1):
        with finished.kept(log):
            log.write_bytes(b"".join(lines[:kept]))
            assert str(log) in [one.path for one in finished.verify().failing()], kept
    with finished.kept(log):
        log.unlink()
        assert str(log) in [one.path for one in finished.verify().of("missing")]


def test_changed_served_version_and_statement_are_found(finished: Finished, first: Any) -> None:
    version = Path(first.result["pushed"]["path"])
    with finished.one_byte_changed(version / "saved_model.pb", 100):
        (served,) = (one for one in finished.verify().of("altered") if one.kind == "served")
        assert "written since: saved_model.pb" in served.got
    statement_file = statements.path(version.parent, int(version.name))
    with finished.one_byte_changed(statement_file, 500):
        assert [one.kind for one in finished.verify().of("altered")] == ["statement"]
    with finished.kept(statement_file):
        statement_file.unlink()
        assert [one.kind for one in finished.verify().failing()] == ["statement"]


def test_limit_above_the_model_exits_10_and_only_the_gate_and_the_pusher_work_again(checkout: Any, again: Any) -> None:
    before, page = checkout.served("digits"), checkout.path / "summary.md"
    limits = (
        "gate.thresholds.SparseCategoricalAccuracy.min=0.9999",
        "gate.baseline.margin=0.1",
        "gate.serving.max_p99_ms=5000",
    )
    run = checkout.run(CONFIG, *(word for limit in limits for word in ("--set", limit)), "--summary", str(page))
    assert run.code == 10, run
    assert run.executed == ALWAYS_RUN  # the judges hold no limit
    assert run.result["pushed"] is None
    assert run.result["decision"]["blessed"] is False
    assert "SparseCategoricalAccuracy" in run.result["decision"]["reasons"][0]
    assert "REFUSED" in run.screen
    assert _ends(checkout)[-1] == ("run_ended", "refused")
    assert page.read_text().startswith("## digits: refused, what is served is untouched\n")
    assert "against the centralised baseline" in page.read_text()
    assert checkout.served("digits") == before


def test_run_killed_while_a_judge_works_decides_nothing_and_the_next_one_finishes(checkout: Any, again: Any) -> None:
    import psutil

    before = checkout.served("digits")
    process = subprocess.Popen(
        checkout.command(CONFIG, "--from", "ServingCheck"),
        cwd=checkout.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    servers: list[psutil.Process] = []
    while not servers:
        assert process.poll() is None, "the run ended before its model server was seen"
        children = psutil.Process(process.pid).children(recursive=True)
        servers = [child for child in children if "serve" in _command_line(child)]
    process.kill()
    process.wait()
    assert checkout.served("digits") == before
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert not alive
    run = checkout.run(CONFIG, "--from", "Evaluator")
    assert run.code == 0, run
    assert "an earlier run died in ServingCheck" in run.screen
    assert _ends(checkout)[-2:] == [("run_died", None), ("run_ended", "pushed")]
    assert run.executed == {"Evaluator", *ALWAYS_RUN}  # that is what `--from` asks for; the others are as they were
    assert run.result["pushed"]["new"] is False
    assert checkout.served("digits") == before


def _command_line(process: Any) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())
    except psutil.Error:  # it has just ended
        return []


def test_edited_model_module_and_an_interruption_rerun_only_what_depends_on_it(checkout: Any, again: Any) -> None:
    checkout.append("examples/digits/digits_model.py", "# an edit")
    _interrupt_at(checkout, "round 3/")
    run = checkout.run(CONFIG)
    assert run.code == 0, run
    assert "an earlier run" not in run.screen  # an interruption cleans up after itself
    assert _ends(checkout)[-2:] == [("run_ended", "interrupted"), ("run_ended", "pushed")]
    assert run.states["Trainer"] == "cached"  # it had completed before the interruption
    assert run.executed == {"FederatedTrainer", *JUDGES, *ALWAYS_RUN}
    assert run.result["metrics"]["federated"] == again.result["metrics"]["federated"]  # same seed, same weights
    assert run.result["metrics"]["served"] == again.result["metrics"]["federated"]  # compared with what is served


def _interrupt_at(checkout: Any, text: str) -> None:
    """Starts a run, sends it SIGINT when its output has `text`, and checks how it ends."""
    import psutil

    process = subprocess.Popen(
        checkout.command(CONFIG), cwd=checkout.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert children  # the training process and TFF's worker
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    psutil.wait_procs(children, timeout=5)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def _ends(checkout: Any) -> list[tuple[str, str | None]]:
    """How runs came to their end, by the log: event and outcome."""
    told = audit_log.read(checkout.path / "pipeline_root" / "audit.jsonl", strict=True)
    return [(entry.event, entry.facts.get("outcome")) for entry in told if entry.event in ("run_ended", "run_died")]


def test_whatever_ran_before_all_of_it_is_verified(checkout: Any, finished: Finished) -> None:
    command = [sys.executable, "-m", "lineage", "verify", "--all", "--json"]
    process = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert json.loads(process.stdout)["verified"] is True


def test_lineage_tells_the_story_of_the_live_model_and_of_each_run(checkout: Any, finished: Finished) -> None:
    def ask(*arguments: str) -> Any:
        command = [sys.executable, "-m", "lineage", *arguments, "--json"]
        done = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    listed = ask("list", "--limit", "0")
    # More than one if a model was trained again, to the same bytes: then both are what is served.
    live = {
        model["id"]: {one["version"] for one in model["versions"] if one["live"]} for model in listed["models"] if model["live"]
    }
    assert {run["state"] for run in listed["runs"]} >= {"complete", "cached"}
    shown = ask("show", "digits")
    assert shown["served"]["bytes"] == "as pushed"
    assert live[shown["model"]["id"]] == set().union(*live.values()) == {shown["served"]["version"]}
    assert shown["served"]["statement"]
    assert shown["decision"]["file"] == "as published"
    assert shown["evaluations"][0]["metrics"]["candidate"]["SparseCategoricalAccuracy"] >= 0.95
    assert (shown["training"]["algorithm"], shown["training"]["clients"], shown["split"]["strategy"]) == (
        "fedavg",
        20,
        "dirichlet",
    )
    assert (shown["schema"]["inferred"], shown["validation"]["no_anomalies"]) == (True, {"eval": True, "train": True})
    assert all(thing["digest"] for thing in shown["things"])
    assert shown["gone"] == []
    reached = ask("impact", f"id:{shown['data'][0]['record']['id']}")
    assert shown["model"]["id"] in [came["model"]["id"] for came in reached["models"]]
    assert reached["live"] == [f"digits/{shown['served']['version']}"]
    assert ask("diff", "digits", f"id:{shown['model']['id']}")["same"] is True
