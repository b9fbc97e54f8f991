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
_NAME = re.compile(r".*:(?P<pid>[1-9][0-9]{0,8})/(?P<start>[0-9]+)@(?P<namespace>[0-9]+)")


def worker_name() -> str:
    """The name of this process."""
    plain = f"{socket.gethostname()}:{os.getpid()}"
    try:
        return f"{plain}/{_start_of(os.getpid())}@{_namespace()}"
    except OSError:
        return plain


def is_dead(name: str) -> bool:
    """True when that worker, named on this boot of this machine, certainly runs no more.

    False whenever that cannot be told, as of a process in another container.
    """
    parts = _NAME.fullmatch(name)
    try:
        return parts is not None and parts["namespace"] == _namespace() and not _runs(parts)
    except OSError:  # another user's, or no file descriptor left to look with
        return False


def _runs(parts: re.Match[str]) -> bool:
    pid = int(parts["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _start_of(pid) == parts["start"]


def _namespace() -> str:
    return os.readlink(_PROC / "self/ns/pid").strip("pid:[]")


def _start_of(pid: int) -> str | None:
    """A process's start time in clock ticks since boot, None if it only waits to be reaped."""
    stat = (_PROC / str(pid) / "stat").read_text()
    # The command, in parentheses, may hold anything; the state comes after it.
    fields = stat.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return None if state in ("Z", "X") else start
