"""The file of the counters: one connection to it, and how it is made, bounded and thrown away."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from math import isfinite
from pathlib import Path

from ingest_app.access.windows import Spent, forgotten_at

MOST_PAGES = 4096
"""About 16 MB, or 150,000 buckets; with more, those that were used least lately are forgotten."""

_PAUSE_SECONDS = 0.0002
_FEWEST_TRIES = 20
_PRAGMAS = ("busy_timeout = 0", "journal_mode = WAL", "synchronous = OFF")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, spent TEXT NOT NULL,"
    " forgotten_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS ix_buckets_by_age ON buckets (forgotten_at)",
)
_FIND = "SELECT spent FROM buckets WHERE name = ?"
_STORE = (
    "INSERT INTO buckets (name, spent, forgotten_at) VALUES (?, ?, ?) ON CONFLICT (name)"
    " DO UPDATE SET spent = excluded.spent, forgotten_at = excluded.forgotten_at"
)
# More than the one that is added, so that a rush is cleared away afterwards.
_SWEEP = (
    "DELETE FROM buckets WHERE name IN"
    " (SELECT name FROM buckets WHERE forgotten_at <= ? ORDER BY forgotten_at LIMIT 3)"
)
_EVER = 2**62

_OURS = int.from_bytes(b"ingl")
"""The file's application_id: by it we know our own. Source: https://sqlite.org/fileformat.html."""

_MAGIC = b"SQLite format 3\0"
_ID_PLACE = slice(68, 72)

_BROKEN = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_ERROR,  # its tables are not as we made them
        sqlite3.SQLITE_IOERR_SHORT_READ,  # its log was deleted alone
    }
)
_Identity = tuple[tuple[int, int] | None, ...]


class ForeignFile(Exception):
    """What is there was made by somebody else: it is neither changed nor removed."""


class CounterFile:
    """A connection to the file as it was when this was made; raises sqlite3.Error and OSError.

    SQLite's own driver of Python's: nothing else opens this file, so the database's may be another.
    """

    def __init__(self, path: Path, *, like: Path, deadline: float) -> None:
        """Open the file, and make it where there is none, with the permissions of `like`.

        Raises ForeignFile, too.
        """
        _create(path, like)
        self._path = path
        self._process = os.getpid()
        self._found = self._present()
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            _patiently(deadline, self._prepare)
        except BaseException:
            self._connection.close()
            raise
        self._found = self._present()

    def is_current(self) -> bool:
        """False when the file was deleted or replaced, or this process is a fork."""
        return self._process == os.getpid() and self._found == self._present()

    @contextmanager
    def writing(self, deadline: float) -> Iterator[None]:
        """One transaction that holds the file's write lock; nothing of one that raises is kept."""
        _patiently(deadline, lambda: self._connection.execute("BEGIN IMMEDIATE"))
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    def spent(self, bucket: str) -> Spent | None:
        """What a bucket holds; None when there is no such bucket."""
        row = self._connection.execute(_FIND, (bucket,)).fetchone()
        return None if row is None else _read(row[0])

    def keep(self, bucket: str, spent: Spent) -> None:
        """Store what a bucket holds."""
        self._connection.execute(_STORE, (bucket, json.dumps(spent), forgotten_at(spent)))

    def make_room(self, second: int) -> None:
        """Delete a few buckets that are forgotten by now, or the oldest when there are too many."""
        self._connection.execute(_SWEEP, (_EVER if self._is_crowded() else second,))

    def close(self) -> None:
        """Close the connection; that of the process this one was forked from stays as it is."""
        # https://sqlite.org/howtocorrupt.html section 2.6
        if self._process == os.getpid():
            self._connection.close()
        else:
            _inherited.append(self._connection)

    def _prepare(self) -> None:
        self._mark()
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        for table in _TABLES:
            self._connection.execute(table)
        self.spent("")  # fails where the tables are not ours

    def _mark(self) -> None:
        # Before its log is begun, so that the mark is in the file itself.
        has_tables = bool(self._number("schema_version"))  # first: they come after the mark
        mark = self._number("application_id")
        if mark == _OURS:
            return
        if mark or has_tables:
            raise ForeignFile("the file is none of ours")
        self._connection.execute(f"PRAGMA application_id = {_OURS}")

    def _number(self, pragma: str) -> int:
        (number,) = self._connection.execute(f"PRAGMA {pragma}").fetchone()
        return int(number)

    def _is_crowded(self) -> bool:
        return self._number("page_count") - self._number("freelist_count") >= MOST_PAGES

    def _present(self) -> _Identity:
        # Its log, too: one that was deleted alone would split the processes into two groups.
        return _inode(self._path), _inode(f"{self._path}-wal")


_inherited: list[sqlite3.Connection] = []


def remove_if_ours(path: Path) -> None:
    """Throw the file and what belongs to it away, unless it may be somebody else's.

    To be called when this process has no connection to it: to close it here ends SQLite's locks.
    """
    if not _is_ours(path):
        return
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(OSError):
            os.unlink(name)


def _is_ours(path: Path) -> bool:
    # Not by SQLite, which may be unable to read it.
    with open(path, "rb") as file:
        header = file.read(_ID_PLACE.stop)
    is_marked = header.startswith(_MAGIC) and header[_ID_PLACE] == _OURS.to_bytes(4)
    return not header or is_marked


def _create(path: Path, like: Path) -> None:
    # SQLite gives its other files the permissions of the first.
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    except FileExistsError:
        return
    try:
        os.fchmod(made, like.stat().st_mode & 0o777)
    finally:
        os.close(made)


def _inode(path: Path | str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _patiently(deadline: float, do: Callable[[], object]) -> None:
    # Where the machine is so busy that time runs out between two tries, the holder had none either.
    for tries_left in count(_FEWEST_TRIES, -1):
        try:
            do()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or (tries_left <= 1 and time.monotonic() >= deadline):
                raise
        time.sleep(_PAUSE_SECONDS)


def is_busy(error: Exception) -> bool:
    """True when another one holds the lock."""
    return _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: Exception) -> bool:
    """True when the file is broken: it is to be thrown away if it is ours."""
    return bool({_code(error), _code(error) & 0xFF} & _BROKEN)


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def _read(text: object) -> Spent:
    # A person may have edited it.
    try:
        spent = [(float(at), int(count)) for at, count in json.loads(str(text))]
        return spent if all(isfinite(at) for at, _ in spent) else ()
    except (ValueError, TypeError, OverflowError):
        return ()
