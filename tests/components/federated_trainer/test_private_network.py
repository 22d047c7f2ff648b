"""The training process sees nothing but loopback, with and without privileges, and still dies with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
# Root without capabilities is what an ordinary user is to the kernel, and can still read the interpreter.
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
PRIVILEGES = ["all", "none"]

ENTER = """
import os, socket
from components.federated_trainer import private_network
user = os.geteuid()
entered = private_network.enter()
with open("/proc/net/dev") as devices:
    interfaces = [line.split(":")[0].strip() for line in devices if ":" in line]
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    socket.create_connection(server.getsockname()).close()
print(entered, os.geteuid() == user, *interfaces)
"""

# A parent that starts a child which enters, says so, and waits for a signal that never comes.
PARENT = """
import subprocess, sys
child = '''
import os, signal
from components.federated_trainer import private_network
private_network.enter()
print(os.getpid(), flush=True)
signal.pause()
'''
from components.federated_trainer.lifetime import die_with_parent
subprocess.Popen([sys.executable, "-c", child], preexec_fn=die_with_parent()).wait()
"""


def _prefix(privileges: str) -> list[str]:
    if privileges == "all" or os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing; get it with: apt install util-linux")
    return UNPRIVILEGED


@pytest.mark.parametrize("privileges", PRIVILEGES)
def test_only_loopback_is_left_or_nothing_has_changed(privileges: str) -> None:
    with open("/proc/net/dev", encoding="ascii") as devices:
        before = [line.split(":")[0].strip() for line in devices if ":" in line]
    command = [*_prefix(privileges), sys.executable, "-c", ENTER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    entered, same_user, *interfaces = done.stdout.split()
    assert same_user == "True"
    assert interfaces == (["lo"] if entered == "True" else before)


@pytest.mark.parametrize("privileges", PRIVILEGES)
def test_process_in_a_private_network_dies_with_its_parent(privileges: str) -> None:
    command = [*_prefix(privileges), sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone == [child] or child.status() == psutil.STATUS_ZOMBIE
