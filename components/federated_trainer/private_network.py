"""Takes the training process off the network, because TFF's worker listens on every interface and asks nobody who they are.

The worker has no option to bind to loopback. In a network namespace of its own there is nothing but loopback, so only the
training process and the worker, which it starts, can reach each other. Files are not affected.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

# <linux/sched.h>, <linux/sockios.h>, <linux/if.h>
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh22x"


def enter() -> bool:
    """Moves this process, which must still have a single thread, into a network namespace with nothing but loopback.

    Without the privilege to do so it is done inside a new user namespace that keeps the user and group as they are.

    Returns:
      Whether it worked. Kernels and containers can forbid any step of it, so a forked child tries it first; if that fails,
      nothing has changed here.
    """
    if not _succeeds_in_a_child():
        return False
    _enter()
    return True


def _succeeds_in_a_child() -> bool:
    child = os.fork()
    if child == 0:
        try:
            _enter()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _enter() -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _keep_identity(user, group)
    _raise_loopback()


def _keep_identity(user: int, group: int) -> None:
    """Maps user and group to themselves: user_namespaces(7)."""
    for file, content in (("uid_map", f"{user} {user} 1"), ("setgroups", "deny"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as mapping:
            mapping.write(content)


def _raise_loopback() -> None:
    """Sets the interface `lo` up: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack(_IFREQ, b"lo", 0)
        _, flags = struct.unpack(_IFREQ, fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))
