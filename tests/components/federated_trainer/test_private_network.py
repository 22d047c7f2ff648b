"""The training process sees nothing but loopback, and still dies with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
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

# What container engines do: a seccomp filter that answers unshare(2), call 272 on x86-64, with EPERM.
FORBID = """
import ctypes, struct
load, is_unshare = (0x20, 0, 0, 0), (0x15, 0, 1, 272)
refuse, allow = (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)
steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in (load, is_unshare, refuse, allow)))
program = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(steps)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
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
from components.lifetime import die_with_parent
subprocess.Popen([sys.executable, "-c", child], preexec_fn=die_with_parent()).wait()
"""


def test_only_loopback_is_left() -> None:
    privileges = [] if os.geteuid() == 0 else ["--map-current-user"]
    if subprocess.run(["unshare", *privileges, "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"this kernel or container forbids it: `unshare {' '.join([*privileges, '--net'])} true` fails")
    done = subprocess.run([sys.executable, "-c", ENTER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "lo"]


def test_where_the_kernel_forbids_it_nothing_changes() -> None:
    with open("/proc/net/dev", encoding="ascii") as devices:
        before = [line.split(":")[0].strip() for line in devices if ":" in line]
    done = subprocess.run([sys.executable, "-c", FORBID + ENTER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", *before]


def test_training_process_warns_that_its_worker_can_be_reached() -> None:
    program = FORBID + "from components.federated_trainer import worker; worker.main()"
    job = json.dumps({"settings": {"executor": "tff"}})
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=job, capture_output=True, text=True, check=True)
    assert "other machines can reach TFF's worker" in json.loads(done.stdout.splitlines()[0])["warning"]


def test_process_in_a_private_network_dies_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone == [child] or child.status() == psutil.STATUS_ZOMBIE
