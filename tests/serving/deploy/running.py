"""Processes of ours with the flags of a manifest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import portpicker
import requests

from tests.serving.deploy.deployed import IMAGE_PORTS, Moved
from tests.serving.deploy.manifests import DEPLOY, ROOT

_START_SECONDS = 60


class Running:
    """`python -m serving serve` with the flags of a manifest."""

    def __init__(self, moved: Moved) -> None:
        self.ports = {number: portpicker.pick_unused_port() for number in IMAGE_PORTS.values()}
        ports = [f"--{name}={self.ports[number]}" for name, number in IMAGE_PORTS.items()]
        command = [sys.executable, "-m", "serving", "serve", *ports, *moved.flags]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        limit = threading.Timer(_START_SECONDS, self.process.kill)
        limit.start()
        for line in self.process.stderr:
            self.log.append(line)
            if "AVAILABLE" in line or " ERROR " in line or " waiting for " in line:
                break
        else:
            self.process.wait()
        limit.cancel()
        self._told = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, text: str) -> None:
        """Until a line of the log holds `text`."""
        with self._told:
            assert self._told.wait_for(lambda: any(text in line for line in self.log), _START_SECONDS), self.log

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._told:
                self.log.append(line)
                self._told.notify_all()

    def probe(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        moved = [str(self.ports.get(int(word), word)) if word.isdecimal() else word for word in command]
        return subprocess.run(moved, capture_output=True, text=True, timeout=20)

    def get(self, port: int, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=20)

    def predict(self) -> requests.Response:
        url = f"http://127.0.0.1:{self.ports[8501]}/v1/models/tiny:predict"
        return requests.post(url, json={"instances": [1.0, 2.0]}, timeout=20)


class Image:
    """What the gateway's Dockerfile makes, in a directory instead of an image, with this Python and its packages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._text = (DEPLOY / "gateway.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
        final = self._text[self._text.rindex("\nFROM ") :]
        for source, target in re.findall(r"^COPY (?!--)(\S+) (\S+)$", final, re.MULTILINE):
            self._copy(ROOT / source, folder / target)

    def command(self, instruction: str) -> list[str]:
        """The JSON list of ENTRYPOINT, CMD or HEALTHCHECK."""
        return json.loads(re.search(rf"^{instruction}\b.*?(\[.*\])\s*$", self._text, re.MULTILINE)[1])

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        words = self.command("ENTRYPOINT") + list(arguments)
        assert words[0] == "python"
        return subprocess.Popen([sys.executable, *words[1:]], cwd=self._folder, stderr=subprocess.PIPE, text=True)

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_file():
            shutil.copyfile(source, target)
        else:
            shutil.copytree(source, target, ignore=_not_sent)


def _not_sent(folder: str, names: list[str]) -> set[str]:
    """What the .dockerignore keeps out of a directory."""
    lines = (DEPLOY / "gateway.Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    paths = {name: str((Path(folder) / name).relative_to(ROOT)) for name in names}
    return {name for name, path in paths.items() if path in lines or f"**/{name}" in lines}
