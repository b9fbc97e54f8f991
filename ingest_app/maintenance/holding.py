"""Have a database for oneself alone, or know that somebody has it open.

Every connection of a service locks its database as long as it is open, idle or not (SHARED, see
https://sqlite.org/lockingv3.html); with that, nobody gets the EXCLUSIVE lock that is taken here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ingest_app import sqlite
from ingest_app.errors import DatabaseBusy, MaintenanceRefused
from ingest_app.maintenance.copying import raw_connection

_PENDING_BYTE = 0x40000000
_LOCK_BYTES = 512
"""Where SQLite has its locks in a file (its os.h): these bytes stand for all of them."""


@contextmanager
def held(path: Path) -> Iterator[Any | None]:
    """Hold a database exclusively; a connection that reads it, or None when it is damaged.

    What was in its log is in the file then, and nothing is beside it. Raises MaintenanceRefused
    when another process has it open, and DatabaseError when it cannot be opened for another reason.
    """
    with ExitStack() as stack:
        try:
            _fold_in_log(path)
            connection = stack.enter_context(_held_by_sqlite(path))
        except Exception as error:
            kind = sqlite.translate(error)
            if kind is None:
                raise
            if kind is DatabaseBusy:
                raise _in_use(path) from error
            if not sqlite.is_damage(error):
                raise kind(f"{path} cannot be opened for this: {error}.") from error
            stack.enter_context(_held_unread(path))
            connection = None
        yield connection


@contextmanager
def _held_by_sqlite(path: Path) -> Iterator[Any]:
    with raw_connection(path, timeout_seconds=0) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "delete":  # somebody was quicker
            raise _in_use(path)
        # It is left where the log was read with the lock, and says nothing any more.
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        yield connection


def _fold_in_log(path: Path) -> None:
    with raw_connection(path, timeout_seconds=0) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()


@contextmanager
def _held_unread(path: Path) -> Iterator[None]:
    """The same lock, of a file that SQLite cannot read."""
    try:
        import fcntl  # noqa: PLC0415 (Unix alone has it)
    except ImportError:
        yield
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _PENDING_BYTE)
        except (BlockingIOError, PermissionError):
            raise _in_use(path) from None
        yield


def _in_use(path: Path) -> MaintenanceRefused:
    return MaintenanceRefused(f"{path} is in use; stop the service, and whoever else has it open.")
