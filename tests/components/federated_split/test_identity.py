"""The same bytes from every runner: in memory, in worker processes, and over the portable job API with external workers."""

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from components.federated_split import division
from lineage.digests import tree_digest

ROOT = Path(__file__).parents[3]
SIDES = {
    "clients": 12,
    "label": "label",
    "holdout": 0.2,
    "holdout_clients": 2,
    "block_bytes": 2000,
    "shard_bytes": 8000,
}
STRATEGIES = {"dirichlet": {"alpha": 0.5}, "continuous": {"feature": "x", "strictness": 0.5}}
# Naming any image keeps TFX from packing itself for the workers, which have it.
NOT_PACKED = "--sdk_container_image=none"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    """Starts a server module of Beam's and waits until it answers; all of its processes are gone afterwards."""
    running: list[subprocess.Popen] = []

    def start(module: str, option: str) -> str:
        address = f"localhost:{free_port()}"
        # The pool starts `python` from the PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with open(tmp_path / f"{module}.log", "wb") as log:
            command = [sys.executable, "-m", module, f"{option}={address.split(':')[1]}"]
            environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
            running.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
            )
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        return address

    yield start
    for server in running:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_runner_and_bundle_order_gives_the_same_bytes(
    make_example, write_examples, divide, serve, monkeypatch, tmp_path
) -> None:
    rng = random.Random(1)
    records = [make_example(label=rng.randrange(5), x=rng.random()) for _ in range(1500)] * 2
    monkeypatch.setattr(division, "_PARTITION_BYTES", 5000)
    monkeypatch.chdir(tmp_path)  # Worker processes find the project by other means than the working directory.
    jobs = serve("apache_beam.runners.portability.local_job_service_main", "--port")
    workers = serve("apache_beam.runners.worker.worker_pool_main", "--service_port")
    portable = ["--runner=PortableRunner", f"--job_endpoint={jobs}", "--environment_type=EXTERNAL"]
    runners = {
        "memory": [],
        "processes": ["--direct_running_mode=multi_processing", "--direct_num_workers=2", NOT_PACKED],
        "portable": [*portable, f"--environment_config={workers}", NOT_PACKED],
    }
    digests: dict[str, set[str]] = {strategy: set() for strategy in STRATEGIES}
    for files, (name, beam_args) in enumerate(runners.items(), 3):
        rng.shuffle(records)
        examples = write_examples(records, files=files, name=f"input-{name}")
        for strategy, own in STRATEGIES.items():
            if (name, strategy) == ("portable", "dirichlet"):
                continue  # the other one has every kind of step that this has, and takes seconds enough there
            federated = divide(examples, strategy, out=f"{strategy}-{name}", beam_args=beam_args, **own, **SIDES)
            digests[strategy].add(tree_digest(federated.uri))
            assert {"Split-train", "Split-eval"} < {path.name for path in Path(federated.uri).iterdir()}
    assert [len(found) for found in digests.values()] == [1, 1]
