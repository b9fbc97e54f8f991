"""Run statements that were built once, on the driver's own cursor.

SQLAlchemy's way of running one takes ten times as long as SQLite needs for it, and that under the
write lock (docs/decisions/2026-11-24-small-requests.md). These functions compile a statement
at its first run and keep it, so they are for statements that live as long as the process. Values
pass through the same types; faults are raised as SQLAlchemy raises them (DBAPIError).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = Any
"""A named tuple whose fields are the columns of the statement."""

Values = Mapping[str, Any]
"""Parameters of a statement by name; of an INSERT or UPDATE also the columns it sets."""

_Process = Callable[[Any], Any] | None


def fetch_all(connection: Connection, statement: Executable, values: Values) -> list[Row]:
    """The rows of a statement that returns some."""
    prepared = _prepare(connection, statement, values)
    return prepared.rows(_fetch(connection, prepared.sql, prepared.run(connection, values)))


def fetch_first(connection: Connection, statement: Executable, values: Values) -> Row | None:
    """The first row of a statement that returns some; None when it returned none."""
    found = fetch_all(connection, statement, values)
    return found[0] if found else None


def fetch_one(connection: Connection, statement: Executable, values: Values) -> Row:
    """The row of a statement that returns exactly one (ValueError)."""
    (found,) = fetch_all(connection, statement, values)
    return found


def fetch_value(connection: Connection, statement: Executable, values: Values) -> Any:
    """The first column of the first row; None when there is no row."""
    found = fetch_first(connection, statement, values)
    return None if found is None else found[0]


def change(connection: Connection, statement: Executable, values: Values) -> int:
    """How many rows a statement that returns none has changed."""
    return int(_prepare(connection, statement, values).run(connection, values).rowcount)


def change_each(connection: Connection, statement: Executable, values: Sequence[Values]) -> None:
    """Run a statement once for each of these; all have values for the same names."""
    if values:
        _prepare(connection, statement, values[0]).run_each(connection, values)


def run_plainly(connection: Connection, sql: str) -> None:
    """Run a statement of the driver's own that has no parameters, whatever it returns."""
    _execute(connection, sql, ())


def run_to_end(connection: Connection, sql: str) -> None:
    """The same for one that goes on with every row that is fetched."""
    _fetch(connection, sql, _execute(connection, sql, ()))


class _Prepared:
    """A statement compiled for one dialect and one set of names."""

    def __init__(self, compiled: SQLCompiler, columns: Sequence[Mapping[str, Any]]) -> None:
        dialect = compiled.dialect
        self.sql = compiled.string
        self._constants = {
            name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required
        }
        self._inputs = [
            (name, _way_in(dialect, compiled.binds[name].type))
            for name in compiled.positiontup or ()
        ]
        self._outputs = [_way_out(dialect, column["type"]) for column in columns]
        self._is_plain = not any(self._outputs)
        names = [column["name"] for column in columns]
        self._row: Any = namedtuple("_row", names, rename=True)  # type: ignore[misc]

    def run(self, connection: Connection, values: Values) -> Any:
        return _execute(connection, self.sql, self._bind(values))

    def run_each(self, connection: Connection, values: Sequence[Values]) -> None:
        _execute(connection, self.sql, [self._bind(each) for each in values], many=True)

    def _bind(self, values: Values) -> Sequence[Any]:
        given = {**self._constants, **values}
        return [
            given[name] if process is None else process(given[name])
            for name, process in self._inputs
        ]

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Row]:
        make = self._row._make
        if self._is_plain:
            return [make(row) for row in found]
        return [
            make(
                value if process is None else process(value)
                for value, process in zip(row, self._outputs, strict=True)
            )
            for row in found
        ]


_known: dict[tuple[Executable, str, frozenset[str]], _Prepared] = {}


def _prepare(connection: Connection, statement: Executable, values: Values) -> _Prepared:
    key = (statement, connection.dialect.name, frozenset(values))
    prepared = _known.get(key)
    if prepared is None:
        prepared = _known[key] = _compile(connection.dialect, statement, values)
    return prepared


def _compile(dialect: Dialect, statement: Any, values: Values) -> _Prepared:
    compiled = statement.compile(dialect=dialect, column_keys=list(values))
    unknown = set(values).difference(compiled.binds)
    if unknown:
        raise TypeError(f"the statement has no place for {', '.join(sorted(unknown))}")
    if statement.is_dml:
        return _Prepared(compiled, statement.returning_column_descriptions)
    return _Prepared(compiled, statement.column_descriptions)


def _way_in(dialect: Dialect, kind: Any) -> _Process:
    process: _Process = kind.dialect_impl(dialect).bind_processor(dialect)
    return process


def _way_out(dialect: Dialect, kind: Any) -> _Process:
    process: _Process = kind.dialect_impl(dialect).result_processor(dialect, None)
    return process


def _execute(connection: Connection, sql: str, bound: Sequence[Any], *, many: bool = False) -> Any:
    cursor = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(sql, bound)
        else:
            cursor.execute(sql, bound)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemy_has_it(connection, sql, error) from error
    return cursor


def _fetch(connection: Connection, sql: str, cursor: Any) -> list[Any]:
    try:
        found: list[Any] = cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:  # only the first row was made before
        raise _as_sqlalchemy_has_it(connection, sql, error) from error
    return found


def _as_sqlalchemy_has_it(connection: Connection, sql: str, error: Exception) -> Exception:
    kind = connection.dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, kind, hide_parameters=True)
