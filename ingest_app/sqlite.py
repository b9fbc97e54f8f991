"""All that only SQLite needs: its driver, pragmas, the kind of its transactions, its error codes.

Sources: https://sqlite.org/wal.html, https://sqlite.org/pragma.html,
https://sqlite.org/rescode.html.
"""

from __future__ import annotations

import importlib
import logging
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Float,
    FromClause,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    column,
    event,
    func,
    insert,
    literal_column,
    select,
    table,
    update,
)
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from ingest_app.errors import DatabaseBusy, DatabaseError, DatabaseFull, DatabaseUnavailable
from ingest_app.file_guard import FileGuard
from ingest_app.prepared import change, fetch_value, run_plainly

BUSY_SECONDS = 5.0
"""How long one statement waits for another process to let go of the write lock."""

BEGUN = "begun"
"""An option of connections whose transactions are begun and ended by hand."""

_FIRST_SAFE_VERSION = (3, 51, 3)
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_LOOK_MILLISECONDS = 1
_POOL_SIZE = 32
_ERRORS: dict[int, type[DatabaseError]] = {
    5: DatabaseBusy,  # SQLITE_BUSY
    6: DatabaseBusy,  # SQLITE_LOCKED
    8: DatabaseUnavailable,  # SQLITE_READONLY
    10: DatabaseUnavailable,  # SQLITE_IOERR
    11: DatabaseUnavailable,  # SQLITE_CORRUPT
    13: DatabaseFull,  # SQLITE_FULL
    14: DatabaseUnavailable,  # SQLITE_CANTOPEN
    15: DatabaseUnavailable,  # SQLITE_PROTOCOL
    26: DatabaseUnavailable,  # SQLITE_NOTADB
}

_DAMAGED = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB

# SQLite's own table, which may be changed like any other.
_SEQUENCES = table("sqlite_sequence", column("name", Text), column("seq", Integer))
_RESERVE = (
    update(_SEQUENCES)
    .where(_SEQUENCES.c.name == bindparam("the_table"))
    .values(seq=_SEQUENCES.c.seq + bindparam("the_count"))
    .returning(_SEQUENCES.c.seq)
)
_RAISE_SEQUENCE = (
    update(_SEQUENCES)
    .where(_SEQUENCES.c.name == bindparam("the_table"))
    .values(seq=func.max(_SEQUENCES.c.seq, bindparam("the_newest", type_=Integer)))
)
_ADD_SEQUENCE = insert(_SEQUENCES).returning(_SEQUENCES.c.seq)

_log = logging.getLogger(__name__)


def engine_options() -> dict[str, Any]:
    """Arguments of `create_engine` for a SQLite file."""
    return {
        "module": _driver(),
        "connect_args": {"timeout": BUSY_SECONDS, "isolation_level": None},
        "pool_size": _POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": BUSY_SECONDS,
    }


def _driver() -> ModuleType:
    """The newest SQLite at hand, with a warning where that is not new enough."""
    driver = _newest_driver()
    if driver.sqlite_version_info < _FIRST_SAFE_VERSION:
        _log.warning(
            "sqlite_outdated version=%s: versions before 3.51.3 can, rarely, damage a database that"
            " several processes write (https://sqlite.org/wal.html#walresetbug);"
            " install the newer one with: pip install 'ingest-app[sqlite]'",
            driver.sqlite_version,
        )
    return driver


def _newest_driver() -> ModuleType:
    """The package pysqlite3 if it is installed, else Python's own."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def configure(engine: Engine) -> FileGuard:
    """Give every connection of the engine its pragmas, and SQLAlchemy's transactions their kind."""
    engine.dialect.statement_compiler = _Compiler
    guard = FileGuard(Path(str(engine.url.database)))
    event.listen(engine, "do_connect", guard.check)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "connect", guard.remember)
    event.listen(engine, "checkout", guard.check)
    event.listen(engine, "begin", _begin)
    return guard


class _Compiler(SQLiteCompiler):
    """Writes the hints of a statement (`with_hint`), which SQLAlchemy's own leaves out."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002
        return text


def _set_pragmas(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # FULL, since in WAL mode NORMAL can lose what was acknowledged when the power fails.
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "mmap_size = 0",
        f"journal_size_limit = {_WAL_LIMIT_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(BEGUN):
        begin_writing(connection)


def begin_reading(connection: Connection) -> bool:
    """Begin a transaction that sees one snapshot; False, since this waits for nobody."""
    run_plainly(connection, "BEGIN DEFERRED")
    return False


def begin_writing(connection: Connection) -> bool:
    """Begin a transaction that holds the write lock; True when somebody else had it first.

    One that reads first and writes later would fail at once when another wrote in between, whatever
    the busy timeout.
    """
    # SQLite's own waiting sleeps longer and longer, up to 0.1 s, while others come and go.
    deadline = time.monotonic() + BUSY_SECONDS
    run_plainly(connection, f"PRAGMA busy_timeout = {_LOOK_MILLISECONDS}")
    try:
        has_waited = False
        while not _try_to_begin(connection, is_last=time.monotonic() > deadline):
            has_waited = True
        return has_waited
    finally:
        run_plainly(connection, f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def _try_to_begin(connection: Connection, *, is_last: bool) -> bool:
    try:
        run_plainly(connection, "BEGIN IMMEDIATE")
    except DBAPIError as error:
        if is_last or translate(error.orig) is not DatabaseBusy:
            raise
        return False
    return True


def translate(error: BaseException | None) -> type[DatabaseError] | None:
    """Our error for one of the driver's; None when it is a mistake in a statement, not a fault."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _ERRORS.get(code & 0xFF)


def told(error: BaseException | None) -> str:
    """One of the driver's errors in a sentence, with "now" only where it may pass."""
    when = "cannot be used" if is_damage(error) else "cannot do this now"
    return f"The database {when}: {error}."


def is_damage(error: BaseException | None) -> bool:
    """True when an error of the driver's says that the file is broken, or no database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def array_elements(array: ColumnElement[str]) -> FromClause:
    """The elements of a JSON array as rows: `key` (from 0) and `value` (JSON text)."""
    return func.json_each(array).table_valued(column("key", Integer), column("value", Text))


def epoch_seconds(time: ColumnElement[datetime]) -> ColumnElement[int]:
    """The whole seconds from 1970 to a time as it is stored; None of what is no time."""
    # Without the fraction, which strftime rounds.
    return cast(func.strftime("%s", func.substr(time, 1, 19)), Integer)


def seconds_between(start: ColumnElement[datetime], end: ColumnElement[datetime]) -> Any:
    """The seconds from one time to another as they are stored, exact to the microsecond."""
    # SQLite's own functions for times know milliseconds only.
    fractions = [cast(func.substr(time, 20), Float) for time in (start, end)]
    return (epoch_seconds(end) - epoch_seconds(start)) + (fractions[1] - fractions[0])


def along(index: str) -> str:
    """The hint that a table is to be read by this index, whatever SQLite's statistics say.

    Source: https://sqlite.org/lang_indexedby.html.
    """
    return f"INDEXED BY {index}"


def newest_id(table_name: str) -> Select[tuple[int]]:
    """The greatest id that a table with AUTOINCREMENT has given away; no row when there is none.

    Source: https://sqlite.org/autoinc.html.
    """
    name: ColumnElement[str] = literal_column(f"'{table_name}'")
    return select(_SEQUENCES.c.seq).where(_SEQUENCES.c.name == name)


def reserve_ids(connection: Connection, table_name: str, count: int) -> int:
    """The first of so many consecutive ids that the table will give to no other row."""
    wanted = {"the_table": table_name, "the_count": count}
    last = fetch_value(connection, _RESERVE, wanted)
    if last is None:  # the table never had a row
        last = fetch_value(connection, _ADD_SEQUENCE, {"name": table_name, "seq": count})
    return int(last) - count + 1


def raise_newest_id(connection: Connection, table_name: str, newest: int) -> None:
    """Have the table give away no id up to this one, which another file has given away."""
    values = {"the_table": table_name, "the_newest": newest}
    if not change(connection, _RAISE_SEQUENCE, values):
        fetch_value(connection, _ADD_SEQUENCE, {"name": table_name, "seq": newest})


def find_damage(connection: Connection) -> list[str]:
    """What SQLite finds wrong with the file, a sentence each."""
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalars()
    return [str(line) for line in found if line != "ok"]


def find_orphans(connection: Connection) -> list[str]:
    """Rows that refer to missing ones, a sentence each."""
    found = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return [
        f"{table} row {row} refers to a missing one in {parent}" for table, row, parent, _ in found
    ]


def connect(path: Path, timeout_seconds: float) -> Any:
    """A connection of the driver's own to a file, without transactions that it begins itself."""
    return _newest_driver().connect(str(path), timeout=timeout_seconds, isolation_level=None)


def driver_error() -> type[Exception]:
    """What such a connection raises; of a backup it may lack the code that `translate` needs."""
    error: type[Exception] = _newest_driver().Error
    return error


def read_only_url(path: Path) -> URL:
    """The address of an existing file that is only to be read, also while others write it."""
    query = {"mode": "ro", "uri": "true"}
    return URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query=query)
