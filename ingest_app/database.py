"""The database as the queue sees it: transactions, and errors of ours instead of the driver's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ingest_app import sqlite
from ingest_app.errors import DatabaseBusy, NoDatabase, SettingsError
from ingest_app.group_commit import GroupCommit, Result
from ingest_app.prepared import run_plainly

_FILE_MODE = 0o660


def parse_url(url: str, instance_path: Path) -> URL:
    """The database's address, checked (SettingsError); a relative one is below `instance_path`."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "database_url is not a database address, as sqlite:////absolute/path/ingest.db is."
        ) from error
    if parsed.drivername != "sqlite" or parsed.query or parsed.host:
        raise SettingsError("database_url: only sqlite:///<file> is supported so far.")
    if parsed.database in (None, "", ":memory:"):
        raise SettingsError(
            "database_url must name a file: what is in memory is lost at a restart."
        )
    return parsed.set(database=str(instance_path / str(parsed.database)))


def make_file_of(url: URL) -> None:
    """Make the database file if it is missing, and its folder (SettingsError).

    Nobody but owner and group may read it, whatever the umask: what was fetched is in it.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, _FILE_MODE))
    except OSError as error:
        raise SettingsError(f"The database {path} cannot be made: {error}.") from error


def open_for_reading(path: Path) -> Database:
    """The database in an existing file, for `Database.read` alone (NoDatabase)."""
    if not path.exists():
        raise NoDatabase(path)
    return Database(create_engine(sqlite.read_only_url(path), **sqlite.engine_options()))


class Database:
    """One database file, and how it is read and written.

    All ways raise DatabaseBusy, DatabaseFull or DatabaseUnavailable for faults of the database,
    with the driver's error as their cause; nothing of a transaction that raises is kept.
    """

    def __init__(self, engine: Engine) -> None:
        """Take the engine over; to be called before its first connection."""
        self._guard = sqlite.configure(engine)
        self.engine = engine
        self._by_hand = engine.execution_options(**{sqlite.BEGUN: True})
        self._writing = threading.Lock()
        self._as_one = threading.local()
        self._group = GroupCommit(self.write)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; writers go on beside it."""
        with _our_errors(), self._transaction(sqlite.begin_reading) as connection:
            yield connection

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection for a single statement, which needs no transaction around it."""
        with _our_errors(), self._by_hand.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start; on disk when it has ended."""
        whole: Connection | None = getattr(self._as_one, "whole", None)
        if whole is not None:
            with _our_errors():
                yield whole
            return
        with _our_errors(), self._turn(), self._transaction(sqlite.begin_writing) as connection:
            yield connection

    def write_together(self, do: Callable[[Connection], Result]) -> Result:
        """The same for work that may share its transaction with other threads'; see GroupCommit."""
        assert getattr(self._as_one, "whole", None) is None, "others would not be on disk"
        return self._group.run(do)

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """All that this thread writes within is one transaction, on disk when this has ended.

        A `write` within that raises takes back all of it, and must not be caught within.
        """
        with self.write() as connection:
            self._as_one.whole = connection
            try:
                yield
            finally:
                self._as_one.whole = None

    @contextmanager
    def _transaction(self, begin: Callable[[Connection], bool]) -> Iterator[Connection]:
        # SQLAlchemy's own transactions cost a third of a small request more than SQLite's.
        with self._by_hand.connect() as connection:
            has_waited = begin(connection)
            try:
                if has_waited:  # for who may have put another file in its place
                    self._guard.check()
                yield connection
                run_plainly(connection, "COMMIT")
            except BaseException:
                connection.connection.rollback()
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # SQLite's own waiting sleeps and retries; a lock lets this process's writers
        # follow each other at once.
        if not self._writing.acquire(timeout=sqlite.BUSY_SECONDS):
            raise DatabaseBusy("The database is busy; try again.")
        try:
            yield
        finally:
            self._writing.release()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseBusy("All connections to the database are in use; try again.") from error
    except DBAPIError as error:
        ours = sqlite.translate(error.orig)
        if ours is None:
            raise
        raise ours(sqlite.told(error.orig)) from error
