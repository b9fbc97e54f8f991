"""Let a process stand still, and go on (SIGSTOP, SIGCONT)."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.service import Service, until


def freeze(service: Service, pid: int) -> None:
    """Stop a process, but not while it holds the database's write lock: that would stop all."""

    def stop() -> bool:
        os.kill(pid, signal.SIGSTOP)
        # The signal is only sent by now: a thread that still runs could take the lock after all.
        until(lambda: stands_still(pid), "the worker stands still")
        if _write_lock_is_free(service.database):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(stop, "the worker is outside of any transaction")


def thaw(pid: int) -> None:
    """Let a frozen process go on."""
    os.kill(pid, signal.SIGCONT)


def stands_still(pid: int) -> bool:
    """True when none of the process's threads runs any more."""
    try:
        states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # one of them has just ended
        return False
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)


def _write_lock_is_free(database: Path) -> bool:
    uri = f"{database.as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
