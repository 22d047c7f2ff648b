import os
import subprocess
import sys
from pathlib import Path

from components.beam_workers import same_imports

PROBE = [sys.executable, "-c", "import components.federated_split.reading, only_here"]


def test_child_processes_import_what_this_one_can_wherever_they_start(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "only_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with same_imports():
        subprocess.run(PROBE, cwd=tmp_path, check=True)
    assert "PYTHONPATH" not in os.environ


def test_the_users_own_search_path_is_given_back(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with same_imports():
        assert os.environ["PYTHONPATH"] != "/somewhere"
    assert os.environ["PYTHONPATH"] == "/somewhere"
