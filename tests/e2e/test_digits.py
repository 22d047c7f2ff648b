"""Whole runs of the digits example from a copy of the checkout: what executes, what is recorded, what goes live.

The runs build on each other, as a user's do, so each is a module-scoped fixture that takes the one before it.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

CONFIG = "examples/digits/config.yaml"
ALWAYS_RUN = {"ServedModel", "DeployGate", "Pusher"}
JUDGES = {"ServingCheck", "PairedEvaluator", "Evaluator", "FederatedEvaluator"}
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
    for place in ("metadata", "log", "tensorboard", "partition", "decision"):
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


def test_no_client_id_is_in_metadata_or_log(first: Any) -> None:
    from components.federated_split.blocks import Clients

    store = _store(first)
    split = store.get_artifacts_by_type("components.FederatedExamples")[-1]
    ids = Clients.open(split.uri).ids
    metadata = Path(first.result["paths"]["metadata"]).read_bytes()
    log = Path(first.result["paths"]["log"]).read_bytes()
    assert len(ids) == 20
    assert not [client for client in ids if client.encode() in metadata or client.encode() in log]
    for judge in (*JUDGES, "DeployGate"):
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
