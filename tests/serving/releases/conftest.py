"""A real model server over a serving root whose models multiply by their version's number."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import portpicker
import pytest
import requests

from serving import layout, servers

ROOT = Path(layout.__file__).parents[1]


class Served:
    """A root with versions 1, 2 and 3 of digits, and the server that reads its models.config."""

    def __init__(self, root: Path) -> None:
        self.root, self.model_dir = root, root / "digits"
        self.address, rest = (f"127.0.0.1:{portpicker.pick_unused_port()}" for _ in range(2))
        self.url = f"http://{rest}/v1/models/digits"
        for factor in (1, 2, 3):
            layout.publish(self.multiplier(factor), self.model_dir, now=lambda: 1)
        flags = [f"--port={self.address.split(':')[1]}", f"--rest_api_port={rest.split(':')[1]}"]
        flags += [f"--model_config_file={root}/models.config", "--model_config_file_poll_wait_seconds=0.1"]
        flags += ["--file_system_poll_wait_seconds=0.1", "--max_num_load_retries=0"]
        flags += ["--allow_version_labels_for_unavailable_models=true"]
        with (root.parent / "server.log").open("w") as log:
            command = [sys.executable, "-m", "serving", "serve", *flags]
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        servers.wait([self.address], "digits", servers.Expected(live=3), 60)

    def multiplier(self, factor: int) -> Path:
        """A SavedModel that multiplies by `factor`."""
        import tensorflow as tf

        module, path = tf.Module(), self.root.parent / f"times {factor}"
        module.factor = tf.Variable(float(factor))
        multiply = tf.function(lambda x: {"y": x * module.factor}).get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
        tf.saved_model.save(module, str(path), signatures=multiply)
        return path

    def put_broken(self, version: int) -> None:
        """A directory that looks complete and cannot be loaded."""
        (self.model_dir / str(version)).mkdir()
        (self.model_dir / str(version) / "saved_model.pb").write_text("no model")

    def remove(self, version: int) -> None:
        shutil.rmtree(self.model_dir / str(version))

    def answer(self, path: str = "") -> float:
        """What one is multiplied by, which is the number of the version that answers."""
        return requests.post(f"{self.url}{path}:predict", json={"instances": [1.0]}, timeout=20).json()["predictions"][0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    started = Served(tmp_path_factory.mktemp("releases") / "served")
    yield started
    started.process.terminate()
    started.process.wait(20)
