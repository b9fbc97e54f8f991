"""A consistent copy of a database that others write, and what is wrong with one.

Source: https://sqlite.org/backup.html. Within one read transaction the copy is not begun anew when
somebody writes; while it lasts, SQLite's log (WAL) of the original cannot start anew, and grows by
what is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError

from ingest_app import sqlite
from ingest_app.database import Database
from ingest_app.errors import DatabaseUnavailable, MaintenanceRefused, NoDatabase
from ingest_app.migrating import is_of_this_service, migrate, schema_revision

_PAGES_A_STEP = 256  # 1 MB: Ctrl-C is noticed between steps
_STEPS_A_LOOK = 1_000_000  # of SQLite's virtual machine, a few hundredths of a second
_INTERRUPTED = 9  # SQLITE_INTERRUPT


def copy_database(source: Path, copy: Path) -> None:
    """Write all of a database, in use or not, into an empty file.

    The copy needs no other file beside it. Raises DatabaseError.
    """
    with (
        opened(source, is_to_be_written=False) as database,
        database.read() as connection,
        our_errors(),
    ):
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").all()  # the snapshot
        with raw_connection(copy) as target:
            # It is nothing until it is whole, and then it is synced.
            target.execute("PRAGMA synchronous = OFF")
            target.execute("PRAGMA journal_mode = OFF")
            _driver_of(connection).backup(target, pages=_PAGES_A_STEP, progress=_look)
    make_standalone(copy)


def make_standalone(copy: Path) -> None:
    """Have all of a database that nobody else has open in its one file (DatabaseError)."""
    with our_errors(), raw_connection(copy) as connection:
        # Unlike the checkpoint of a connection that is closed, this says when it fails.
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    if mode != "delete":
        raise DatabaseUnavailable(f"{copy} cannot be closed.")


def check_copy(copy: Path) -> None:
    """Refuse a database that is damaged, or is not one of this service (MaintenanceRefused)."""
    with opened(copy, is_to_be_written=False) as database:
        check_is_ours(database, copy)
        with database.read() as connection:
            found = [*sqlite.find_damage(connection), *sqlite.find_orphans(connection)]
    if found:
        raise MaintenanceRefused(f"The database is damaged: {found[0]} ({len(found)} findings).")


def check_is_ours(database: Database, path: Path) -> None:
    """Refuse what has no schema of this service that this version knows (MaintenanceRefused)."""
    revision = schema_revision(database)
    if revision is None:
        raise MaintenanceRefused(f"{path} is not a database of this service.")
    if not is_of_this_service(revision):
        raise MaintenanceRefused(
            f"{path} has the schema {revision}, which this version lacks: install the version that"
            " wrote it."
        )


def migrate_copy(copy: Path) -> None:
    """Bring a copy to the schema of this version (MigrationError, DatabaseError)."""
    with opened(copy) as database:
        migrate(database)


@contextmanager
def opened(path: Path, *, is_to_be_written: bool = True) -> Iterator[Database]:
    """An existing database (NoDatabase); what takes long in it may be interrupted."""
    if not path.is_file():
        raise NoDatabase(path)
    ours = URL.create("sqlite", database=str(path))
    url = ours if is_to_be_written else sqlite.read_only_url(path)
    engine = create_engine(url, **sqlite.engine_options())
    event.listen(engine, "connect", _make_interruptible)
    try:
        yield Database(engine)
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from error
    finally:
        engine.dispose()


@contextmanager
def raw_connection(path: Path, *, timeout_seconds: float = sqlite.BUSY_SECONDS) -> Iterator[Any]:
    """A connection of the driver's own, without any of our pragmas; raises what the driver does."""
    connection = sqlite.connect(path, timeout_seconds)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise DatabaseError for what the driver itself raises."""
    try:
        yield
    except sqlite.driver_error() as error:
        ours = sqlite.translate(error) or DatabaseUnavailable
        raise ours(sqlite.told(error)) from error


def _driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _look(_status: int, _remaining: int, _total: int) -> None:
    """Python notices signals here."""


def _make_interruptible(connection: Any, _entry: object) -> None:
    # The driver turns what a signal's handler raises in here into an interruption.
    connection.set_progress_handler(_look_on, _STEPS_A_LOOK)


def _look_on() -> int:
    return 0
