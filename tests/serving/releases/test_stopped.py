"""A release that is stopped, or that a server does not follow, is taken back; one that another holds up says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from errors import BusyError
from lineage import audit_log
from serving import layout, models_config
from serving.__main__ import main
from serving.models_config import Held
from tests.serving.client.test_tls import files as certificate  # noqa: F401
from tests.serving.releases.other_server import other_server

ROOT = Path(layout.__file__).parents[1]
STABLE = Held((2,), {"stable": 2})


@pytest.fixture
def root(tmp_path):
    """Versions 1, 2 and 3 of digits, of which 2 is stable."""
    for number in (1, 2, 3):
        source = tmp_path / str(number)
        source.mkdir()
        (source / "saved_model.pb").write_text(str(number))
        layout.publish(source, tmp_path / "served" / "digits", now=lambda: 1)
    assert main(["promote", "2", "--root", str(tmp_path / "served")]) == 0
    return tmp_path / "served"


def state(root: Path):
    return models_config.state(root, "digits")


def test_release_that_is_stopped_as_who_waits_for_it_is_told_to_is_taken_back(root):
    with other_server(root, loading={3}) as address:
        command = [sys.executable, "-m", "serving", "promote", "3", "--root", root, "--server", address, "--wait_seconds", "60"]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert "version 3 is LOADING" in child.stdout.readline()
        assert state(root) == Held((2, 3), {"stable": 2})
        with pytest.raises(BusyError, match=rf"held by process {child.pid} .*serving promote 3 .*`kill {child.pid}`"):
            layout.publish(root / "digits" / "1", root / "digits", lock_seconds=0.0)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=20)
    assert (child.returncode, state(root)) == (130, STABLE)
    entry = audit_log.read(root / "audit.jsonl")[-1]
    assert (entry.event, entry.facts["command"], entry.facts["live"]) == ("undone", "promote", 2)


def test_release_whose_label_a_server_does_not_move_is_taken_back_with_the_label(root, capsys, monkeypatch):
    written, put = [], models_config.put
    monkeypatch.setattr(models_config, "put", lambda root, name, wanted: written.append(wanted) or put(root, name, wanted))
    with other_server(root, stuck={"stable": 2}) as address:
        assert main(["promote", "3", "--root", str(root), "--server", address, "--wait_seconds", "0.3"]) == 1
    assert "label stable still gets version 2, not version 3" in capsys.readouterr().err
    both = (2, 3)
    assert written == [Held(both, {"stable": 2}), Held(both, {"stable": 3}), Held(both, {"stable": 2}), STABLE]
    assert state(root) == STABLE


def test_release_that_another_holds_up_is_one_line_and_changes_nothing(root, capsys):
    with models_config.locked(root / "digits"):
        assert main(["rollback", "--root", str(root), "--lock_seconds", "0.1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: expected ") and said.count("\n") == 1 and "free within 0.1 s, got it held by process" in said
    assert state(root) == STABLE
    assert main(["rollback", "--root", str(root), "--dry_run"]) == 0  # asks no lock


def test_server_is_asked_over_tls(root, certificate, capsys):  # noqa: F811
    key, chain = (certificate / name for name in ("key.pem", "certificate.pem"))
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    with other_server(root, credentials=credentials) as address:
        asked = ["--root", str(root), "--server", f"grpcs://{address}"]
        assert main(["promote", "3", *asked, "--ca_file", str(chain)]) == 0
        assert main(["status", *asked, "--ca_file", str(chain)]) == 0
        assert main(["status", *asked]) == 1
        assert "it does not answer" in capsys.readouterr().out
        assert main(["status", *asked, "--ca_file", str(root / "none.pem")]) == 2
        assert "--ca_file: expected a PEM file" in capsys.readouterr().err
