"""Whole checks: real models in a real model server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tensorflow as tf

from components.serving_check import checking
from components.serving_check.checking import Limits, Request, check
from components.serving_check.measuring import Deadline
from components.serving_check.processes import Finding, worker

_others: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Takes note of the processes of other tests that share this one's."""
    _others.clear()
    _others.update(psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    """Processes that the test at hand started."""
    return [child for child in psutil.Process().children(recursive=True) if child not in _others]


def no_process_is_left() -> bool:
    return not [child for child in children() if any("serving" in word for word in child.cmdline())]


@pytest.fixture(scope="module")
def odd_report(tmp_path_factory: pytest.TempPathFactory, flowers: str, flower_records: list[bytes]) -> dict[str, Any]:
    """Of a model that works hard, answers raw features with half a point more and one example in three with a NaN."""
    model = tf.Module()
    model.weight = tf.Variable(1.0)

    def score(width: Any) -> Any:
        def multiply(at: Any, product: Any) -> Any:
            return at + 1, tf.nn.softmax(tf.matmul(product, product))

        start = tf.fill([600, 600], tf.reduce_mean(width))
        product = tf.while_loop(lambda at, _: at < 6, multiply, (0, start))[1]
        return width * model.weight + 0.0 * product[0, 0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve_examples(examples: Any) -> dict[str, Any]:
        width = tf.io.parse_example(examples, {"width": tf.io.FixedLenFeature([], tf.float32)})["width"]
        return {"predictions": tf.where(width > 1.0, float("nan"), score(width))}

    @tf.function
    def serving_default(**raw: Any) -> dict[str, Any]:
        return {"predictions": tf.where(raw["width"] > 1.0, float("nan"), score(raw["width"])) + 0.5}

    specs = {
        "width": tf.TensorSpec([None], tf.float32, "width"),
        "petals": tf.TensorSpec([None, 2], tf.int64, "petals"),
        "name": tf.TensorSpec([None], tf.string, "name"),
    }
    folder = str(tmp_path_factory.mktemp("odd"))
    signatures = {"serve_examples": serve_examples, "serving_default": serving_default.get_concrete_function(**specs)}
    tf.saved_model.save(model, folder, signatures=signatures)
    return check(folder, Request(flowers, flower_records[:6], requests=10))


@pytest.mark.slow
def test_a_model_that_is_not_finite_is_told_example_by_example(odd_report: dict[str, Any]) -> None:
    assert odd_report["loadable"]
    assert odd_report["server"]["non_finite"] == 6  # two of six samples, asked in three ways


@pytest.mark.slow
def test_an_answer_other_than_the_evaluated_one_is_told(odd_report: dict[str, Any]) -> None:
    differences = odd_report["server"]["max_difference"]
    assert differences["rest"] == pytest.approx(0.5, abs=1e-6)
    assert differences["grpc"] == pytest.approx(0.5, abs=1e-6)
    assert odd_report["server"]["errors"] == {"rest": 0, "grpc": 0}


@pytest.mark.slow
def test_a_model_that_works_hard_is_measured_as_slow(odd_report: dict[str, Any]) -> None:
    for latency in odd_report["server"]["latency_ms"].values():
        assert latency["p99"] >= latency["p50"] > 4


def is_asked(child: psutil.Process) -> bool:
    """Whether somebody talks to a model server over gRPC, as nobody does before it serves the model."""
    with contextlib.suppress(psutil.Error):
        ports = {int(word.removeprefix("--port=")) for word in child.cmdline() if word.startswith("--port=")}
        return any(one.laddr.port in ports and one.status == psutil.CONN_ESTABLISHED for one in child.connections())
    return False


@contextmanager
def killing_the_server() -> Iterator[None]:
    """Kills the model server that we start once it is asked."""
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.05):
            for child in filter(is_asked, children()):
                os.kill(child.pid, signal.SIGKILL)
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_a_server_killed_while_it_is_asked_is_a_finding(good_model: str, flowers: str, flower_records: list[bytes]) -> None:
    with killing_the_server():
        report = check(good_model, Request(flowers, flower_records[:4], requests=1_000_000))
    assert report["loadable"]
    assert report["server"]["problem"] == "the model server died with signal 9 while it was asked"
    assert no_process_is_left()
    json.dumps(report, allow_nan=False)


def test_files_that_no_process_may_read_are_a_finding(tmp_path: Path, good_model: str, flowers: str) -> None:
    (tmp_path / "saved_model.pb").symlink_to(Path(good_model, "saved_model.pb"))
    report = check(str(tmp_path), Request(flowers, [b""], requests=1))
    assert report["problems"] == ["'saved_model.pb' is neither a file nor a directory"]
    assert (report["loadable"], report["server"]) == (False, None)


def test_a_look_that_takes_too_long_is_a_finding(good_model: str, flowers: str) -> None:
    report = check(good_model, Request(flowers, [b""], requests=1, limits=Limits(inspect_seconds=0.01)))
    assert report["problems"] == ["its files cannot be read: the process was not done after 0.01 s"]
    assert no_process_is_left()
    assert report["format"] == checking.FORMAT


def test_a_server_that_a_refused_model_was_never_given_is_gone_too(good_model: str, flowers: str, watched_server: Any) -> None:
    with watched_server() as seen:
        report = check(good_model, Request(flowers, [b""], requests=1, limits=Limits(inspect_seconds=0.5)))
    assert not report["loadable"]
    assert (seen.started, seen.given_anything) == (True, False)
    assert no_process_is_left()


def test_a_worker_that_dies_after_the_inspection_is_a_finding(good_model: str, flowers: str) -> None:
    with worker() as asked:
        deadline = Deadline(60, request_seconds=5)
        found = asked.ask({"task": "inspect", "directory": "/nowhere", "allowed_ops": []}, 60)
        assert found["problems"] == ["there is no saved_model.pb"]
        (process,) = [child for child in children() if "components.serving_check.worker" in child.cmdline()]
        process.kill()
        with pytest.raises(Finding, match="called by itself, the model gives no answer: the process died with signal 9"):
            checking.called_by_itself(Path(good_model), asked, Request(flowers, [b""], requests=1), deadline)
