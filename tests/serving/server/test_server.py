import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.layout import publish

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_a_server_waits_for_its_model_swaps_to_the_next_and_ends_on_a_signal(run_server, fish, tmp_path) -> None:
    server = run_server(tmp_path / "fish", "--max_num_load_retries=0")
    server.wait_for("no directory")
    assert server.get("healthz").status_code == 200
    assert server.get("readyz").status_code == 503
    body = {"signature_name": "serve_examples", "instances": []}
    assert server.post("fish:predict", body).status_code == 404

    first = publish(fish, tmp_path / "fish", now=lambda: 7)
    server.wait_for(f"version {first.version} is AVAILABLE")
    assert server.get("readyz").status_code == 200

    shutil.copytree(fish, tmp_path / "8", ignore=shutil.ignore_patterns("variables"))
    (tmp_path / "8").rename(tmp_path / "fish" / "8")
    server.wait_for("version 8 failed to load")
    newest, before = server.get("v1/models/fish").json()["model_version_status"]
    assert (newest["version"], newest["state"]) == ("8", "END")
    assert newest["status"]["error_code"] != "OK"
    assert (before["version"], before["state"]) == ("7", "AVAILABLE")

    changed = tmp_path / "changed"
    shutil.copytree(fish, changed)
    (changed / "assets" / "note").write_text("other bytes than version 7")
    publish(changed, tmp_path / "fish", now=lambda: 9)
    server.wait_for("version 9 is AVAILABLE")
    started = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - started < 2


@pytest.mark.slow
def test_a_signal_ends_a_server_that_is_still_starting(run_server, tmp_path) -> None:
    server = run_server(tmp_path)
    server.wait_for("REST on")
    assert server.end() == 0


@pytest.mark.parametrize("flag", ["--port", "--rest_api_port"])
def test_a_port_in_use_is_one_line_and_exit_code_1(flag: str, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--port": "0", "--rest_api_port": "0", flag: str(taken.getsockname()[1])}
        command = [sys.executable, "-m", "serving", "serve", "--model_base_path", str(tmp_path)]
        command += [f"{name}={port}" for name, port in ports.items()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert f"({flag})" in done.stderr
    assert (done.stderr.count("\n"), done.stderr.startswith("error: cannot listen on")) == (1, True)


def test_a_wrong_configuration_file_is_one_line_and_exit_code_2(tmp_path) -> None:
    (tmp_path / "models.config").write_text("model_config_list {")
    command = [sys.executable, "-m", "serving", "serve", "--model_config_file", str(tmp_path / "models.config")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "(--model_config_file): Invalid protobuf" in done.stderr


def test_importing_the_package_and_reading_flags_loads_no_tensorflow() -> None:
    code = "import sys, serving, serving.server.flags, serving.server.json_request; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
