"""What a database that is restored has to know of the one that it replaces.

Since the backup calls were made, sources stopped, keys revoked and ids given away. A backup that
knew nothing of it would call an upstream too early, or let somebody in who is shut out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from ingest_app import sqlite
from ingest_app.clock import Moment
from ingest_app.models import (
    api_keys,
    browser_sessions,
    dispatch_counting,
    dispatch_totals,
    request_totals,
    sources,
    uncounted_dispatches,
)
from ingest_app.prepared import change
from ingest_app.queue import pacing
from ingest_app.queue.columns import slot_columns
from ingest_app.queue.statements import ADD_SOURCE, UPDATE_SOURCE

_RowOfTable = Mapping[str, Any]

_TOTALS = (dispatch_totals, request_totals)
_SLOTS = select(sources.c.name, sources.c.slot_interval_seconds)
_COUNTED_UP_TO = select(dispatch_counting.c.counted_up_to)
_COUNT_FROM = update(dispatch_counting)
_FORGET_UNCOUNTED = delete(uncounted_dispatches)
_END_SESSIONS = delete(browser_sessions)


@dataclass(frozen=True)
class Replaced:
    """What is carried over of the replaced database, rows as they are stored.

    sequences: the greatest id that each table has given away.
    totals: what the counters stood at, by table.
    counting, uncounted: how far the ledger was counted.
    """

    sources: Sequence[_RowOfTable] = ()
    keys: Sequence[_RowOfTable] = ()
    sequences: Sequence[_RowOfTable] = ()
    totals: Mapping[str, Sequence[_RowOfTable]] = field(default_factory=dict)
    counting: Sequence[_RowOfTable] = ()
    uncounted: Sequence[_RowOfTable] = ()


def read_replaced(driver: Any) -> Replaced:
    """Read it with the driver's own connection; what its schema does not have is left out.

    Raises what the driver does when it cannot be read.
    """
    return Replaced(
        sources=_rows(driver, sources.name),
        keys=_rows(driver, api_keys.name),
        sequences=_rows(driver, "sqlite_sequence"),
        totals={table.name: _rows(driver, table.name) for table in _TOTALS},
        counting=_rows(driver, dispatch_counting.name),
        uncounted=_rows(driver, uncounted_dispatches.name),
    )


def carry_over(
    connection: Connection, replaced: Replaced, source_names: Collection[str], now: Moment
) -> None:
    """Make the restored database know it, at the moment at which it takes the other's place.

    source_names: those of the settings, of which either database may know nothing.
    """
    for row in replaced.sources:
        # The batch that it names may be another one here.
        _put(connection, sources.name, {**row, "failed_batch_id": None})
    _wait_a_whole_interval(connection, source_names, now)
    for row in replaced.keys:
        _put(connection, api_keys.name, row)
    change(connection, _END_SESSIONS, {})
    for row in replaced.sequences:
        sqlite.raise_newest_id(connection, row["name"], row["seq"])
    _carry_totals(connection, replaced)


def _wait_a_whole_interval(
    connection: Connection, source_names: Collection[str], now: Moment
) -> None:
    """The last call of a source is not known, but it was not later than now."""
    found = {row.name: row.slot_interval_seconds for row in connection.execute(_SLOTS)}
    for name in {*source_names} - found.keys():
        connection.execute(ADD_SOURCE, {"name": name})
    for name in {*source_names, *found}:
        # When another interval is in force later, the slot moves with it; see `pacing.opening`.
        slot = pacing.slot_after_unknown(now, found.get(name) or 0.0)
        change(connection, UPDATE_SOURCE, {"the_source": name, **slot_columns(slot)})


def _carry_totals(connection: Connection, replaced: Replaced) -> None:
    """Let no counter go down, nor count again what the replaced database has counted."""
    for table in _TOTALS:
        for row in replaced.totals.get(table.name, ()):
            _put_greater(connection, table, row)
    counted_up_to = connection.scalar(_COUNTED_UP_TO) or 0
    for row in replaced.counting:
        if row["counted_up_to"] > counted_up_to:
            change(connection, _COUNT_FROM, {"counted_up_to": row["counted_up_to"]})
            change(connection, _FORGET_UNCOUNTED, {})
            for uncounted in replaced.uncounted:
                _put(connection, uncounted_dispatches.name, uncounted)


def _rows(driver: Any, table: str) -> Sequence[_RowOfTable]:
    exists = "SELECT 1 FROM sqlite_schema WHERE name = ?"
    if driver.execute(exists, (table,)).fetchone() is None:
        return []
    found = driver.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _put(connection: Connection, table: str, row: _RowOfTable) -> None:
    """Store a row as it was, in place of one with the same key, without columns that are gone."""
    known = connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 0").keys()
    kept = {name: value for name, value in row.items() if name in known}
    names, places = ", ".join(kept), ", ".join("?" * len(kept))
    connection.exec_driver_sql(
        f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({places})", tuple(kept.values())
    )


def _put_greater(connection: Connection, table: Table, row: _RowOfTable) -> None:
    """Store a row of sums; where there is one with the same key, the greater of both sums."""
    sums = [column.name for column in table.columns if not column.primary_key]
    new = insert(table).values(dict(row))
    greater = {name: func.max(table.c[name], new.excluded[name]) for name in sums}
    key = [*table.primary_key]
    connection.execute(new.on_conflict_do_update(index_elements=key, set_=greater))
