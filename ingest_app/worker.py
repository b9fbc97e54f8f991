"""Who this process is, and whether another one is certainly dead.

A worker's name in the ledger is `host:pid/start@namespace`: the process's start time and its PID
namespace make it unique on one boot of a machine (Linux, proc(5) and pid_namespaces(7)); elsewhere
it is `host:pid`.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

_PROC = Path("/proc")
_NAME = re.compile(r".*:(?P<pid>[1-9][0-9]{0,9})/(?P<start>[0-9]+)@(?P<namespace>[0-9]+)")


def worker_name() -> str:
    """The name of this process."""
    plain = f"{socket.gethostname()}:{os.getpid()}"
    start, namespace = _start_of(os.getpid()), _namespace()
    return f"{plain}/{start}@{namespace}" if start and namespace else plain


def is_dead(name: str) -> bool:
    """True when that worker, named on this boot of this machine, certainly runs no more.

    False whenever that cannot be told, as of a process in another container.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or parts["namespace"] != _namespace():
        return False
    try:
        os.kill(int(parts["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, whose start may be hidden from us
        return False
    return _start_of(int(parts["pid"])) != parts["start"]


def _namespace() -> str | None:
    try:
        return os.readlink(_PROC / "self/ns/pid").strip("pid:[]")
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """The start time of a running process, in clock ticks since boot; None when there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may hold anything; the state comes after it.
    fields = stat.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return None if state in ("Z", "X") else start
