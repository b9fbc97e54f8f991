"""Bring the database to the schema of this code; safe to run from several processes at once."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ingest_app import sqlite
from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy, DatabaseUnavailable, MigrationError

_PATIENCE_SECONDS = 60.0
"""How long a process waits while another one migrates."""


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


def schema_is_current(database: Database) -> bool:
    """True when the database is at the newest revision this code knows."""
    return schema_revision(database) == _head()


def check_schema(database: Database) -> None:
    """Raise MigrationError, which says what helps, when it is not that of this code."""
    revision = schema_revision(database)
    _check_not_newer(revision)
    if revision != _head():
        raise MigrationError(
            f"The schema of {database.engine.url.database} is not that of this version: ingest db"
            " upgrade brings it to it."
        )


def schema_revision(database: Database) -> str | None:
    """The revision of the database's schema; None when it has none yet."""
    with database.read() as connection:
        return _revision(connection)


def is_of_this_service(revision: str) -> bool:
    """True of the revisions that this code knows, so that it can migrate from them."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def check_writable(database: Database) -> None:
    """Commit a change that changes nothing: only that shows a full disk (DatabaseError)."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")


def migrate(database: Database) -> None:
    """Create or upgrade the schema in one transaction, and leave no connection open behind.

    Raises MigrationError when the database is newer than this code, DatabaseUnavailable when it
    cannot be used.
    """
    try:
        _switch_to_wal(database)
        if not schema_is_current(database):
            _upgrade(database)
    except DBAPIError as error:
        ours = sqlite.translate(error.orig) or DatabaseUnavailable
        raise ours(
            f"The database {database.engine.url.database} cannot be used: {error.orig}."
        ) from error
    finally:
        # A connection that is open while gunicorn forks would be shared by two processes.
        database.engine.dispose()


def _switch_to_wal(database: Database) -> None:
    # SQLite does not wait for its turn here, however long the busy timeout is.
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _try_to_switch(database, is_last=time.monotonic() > deadline):
        time.sleep(0.05)


def _try_to_switch(database: Database, *, is_last: bool) -> bool:
    # A connection each time: whoever had the lock may have put another file there.
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            # Before the first table, or it has no effect.
            driver.execute("PRAGMA auto_vacuum = INCREMENTAL")
            (mode,) = driver.execute("PRAGMA journal_mode = WAL").fetchone()
        except Exception as error:
            if is_last or sqlite.translate(error) is not DatabaseBusy:
                raise DBAPIError("PRAGMA journal_mode = WAL", None, error) from error
            return False
    if mode != "wal":
        raise DatabaseUnavailable(f"SQLite cannot use WAL here, only {mode}: not a local disk?")
    return True


def _upgrade(database: Database) -> None:
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        # Rebuilding a table with foreign keys on would delete the rows that refer to it.
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute(f"PRAGMA busy_timeout = {int(_PATIENCE_SECONDS * 1000)}")
        with connection.begin():
            _check_not_newer(_revision(connection))
            config = Config()
            config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise MigrationError(
                    "The database has rows that refer to missing ones; nothing was migrated."
                )


def _check_not_newer(revision: str | None) -> None:
    if revision is not None and not is_of_this_service(revision):
        raise MigrationError(
            f"The database has the schema {revision}, which is newer than this version of the"
            f" service ({_head()}): install the version that wrote it, or downgrade the database"
            " with that one first."
        )


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head() -> str | None:
    return _scripts().get_current_head()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_folder()))
