"""What is left of a training, however it ends: nothing."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from components.federated_split import blocks
from components.federated_trainer import isolation
from errors import IntegrityError, TrainingError

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60.0


@pytest.fixture(scope="module")
def uri(write_clients, records) -> str:
    return write_clients("two", {"ann": records(12, 1), "bob": records(9, 2)})


class Watch:
    """Finds the training process and TFF's worker, which the executor `tff` starts, among the descendants of a process."""

    def __init__(self, ancestor: int) -> None:
        self._ancestor = psutil.Process(ancestor)
        self.seen: dict[int, psutil.Process] = {}

    def until_worker(self) -> psutil.Process:
        """Returns TFF's worker as soon as there is one, with all its siblings and parents `seen`."""
        return next(filter(None, poll(self._worker)))

    def _worker(self) -> psutil.Process | None:
        children = {child.pid: child for child in self._ancestor.children(recursive=True)}
        workers = [child for child in children.values() if name(child) == "worker_binary"]
        self.seen.update(children if workers else {})
        return workers[0] if workers else None

    def all_end(self) -> bool:
        """Whether every process seen ends in time; one that only waits to be reaped has ended."""
        assert len(self.seen) >= 2
        return any(poll(lambda: not any(alive(process) for process in self.seen.values())))


def poll(condition: Callable[[], object]) -> Iterator[object]:
    """Yields what `condition` returns, again and again until the deadline."""
    deadline, pause = time.monotonic() + SECONDS, threading.Event()
    while time.monotonic() < deadline:
        yield condition()
        pause.wait(0.05)
    raise TimeoutError(f"waited {SECONDS:.0f} s in vain")


def name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def during() -> Iterator[Callable[..., Watch]]:
    """Watches this process's descendants in a thread, and acts on the worker as soon as there is one."""
    threads = []

    def start(act: Callable[[psutil.Process], object] = lambda worker: None) -> Watch:
        watch = Watch(os.getpid())
        threads.append(threading.Thread(target=lambda: act(watch.until_worker())))
        threads[-1].start()
        return watch

    yield start
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_a_training_that_ends_well_reports_its_rounds_and_leaves_no_process(make_job, uri, during, caplog, monkeypatch) -> None:
    for variable in ("http_proxy", "https_proxy"):  # what a hospital's or a bank's machines have set, and TFF must not use
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    watch = during()
    with caplog.at_level(logging.INFO, logger="components.federated_trainer.isolation"):
        isolation.run(make_job("well", uri, rounds=3, clients_per_round=2, executor="tff"))
    assert watch.all_end()
    lines = [record.getMessage() for record in caplog.records if record.name == isolation.__name__]
    assert [line.split(":")[0] for line in lines] == ["round 1/3", "round 2/3", "round 3/3"]
    assert ": 2 clients, loss " in lines[2]
    assert lines[2].endswith(" s, 0 s left")


@pytest.mark.slow
def test_a_training_that_fails_leaves_no_process(make_job, uri, during) -> None:
    watch = during()
    with pytest.raises(TrainingError, match="finite after round 1"):
        isolation.run(make_job("fails", uri, rounds=3, client_learning_rate=1e30, executor="tff"))
    assert watch.all_end()


@pytest.mark.slow
def test_a_training_process_that_is_killed_is_one_line_and_takes_the_worker_along(make_job, uri, during) -> None:
    watch = during(lambda worker: worker.parent().kill())
    with pytest.raises(TrainingError) as caught:
        isolation.run(make_job("killed", uri, rounds=10_000, executor="tff"))
    assert watch.all_end()
    assert str(caught.value).startswith("the training process ended without a result (exit code -9)")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_an_error_and_not_a_hang(make_job, uri, during) -> None:
    watch = during(lambda worker: worker.kill())
    with pytest.raises(TrainingError) as caught:
        isolation.run(make_job("no-worker", uri, rounds=10_000, executor="tff"))
    assert watch.all_end()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
def test_nothing_outlives_the_process_that_runs_the_pipeline(signal_name, make_job, uri, folder) -> None:
    job = asdict(make_job(f"orphan-{signal_name}", uri, rounds=10_000, executor="tff"))
    code = "import json, sys; from components.federated_trainer import isolation, rounds; "
    code += "isolation.run(rounds.Job(**json.loads(sys.argv[1])))"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(job)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
    )
    try:
        watch = Watch(parent.pid)
        watch.until_worker()
        psutil.Process(parent.pid).send_signal(getattr(signal, signal_name))
        parent.wait(SECONDS)
        assert watch.all_end()
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.slow
def test_errors_keep_their_message_and_their_class_unless_it_says_that_nothing_ran(
    make_job, uri, write_clients, records, linear_source
) -> None:
    with pytest.raises(TrainingError) as caught:
        isolation.run(make_job("no-loss", uri, source=linear_source.replace("def build_loss", "def build_lass")))
    assert caught.value.exit_code == 1
    assert "no build_loss(); the module contract is in modeling/contract.py." in str(caught.value)
    lost = write_clients("lost", {"ann": records(3, 1)})
    Path(lost, "Split-train", blocks.INDEX_FILE).unlink()
    with pytest.raises(IntegrityError, match=r"found another or no file; run FederatedSplit again\.$"):
        isolation.run(make_job("lost-run", lost))


@pytest.mark.slow
def test_what_a_module_prints_and_runs_does_not_disturb_the_messages(make_job, uri, linear_source, capfd) -> None:
    noisy = 'import os\nprint("printed")\nos.system("echo echoed")\nassert False, "first\\nsecond"\n' + linear_source
    with pytest.raises(TrainingError, match=r"failed with AssertionError: first$"):
        isolation.run(make_job("noisy", uri, source=noisy))
    assert "printed\n" in capfd.readouterr().err


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_one_line_and_its_story_is_in_the_log(make_job, uri, folder, capfd) -> None:
    job = make_job("unforeseen", uri)
    Path(job.model_dir).parent.mkdir()
    Path(job.model_dir).write_text("a file where the folder of the model should be")
    with pytest.raises(TrainingError, match=r"^training failed with \w+: .*; the log has the whole story\.$"):
        isolation.run(job)
    assert "Traceback (most recent call last)" in capfd.readouterr().err
