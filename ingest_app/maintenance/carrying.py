"""What a database that is restored has to know of the one that it replaces.

Since the backup calls were made, sources stopped, keys revoked and ids given away. A backup that
knew nothing of it would call an upstream too early, or let somebody in who is shut out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from ingest_app import sqlite
from ingest_app.clock import Moment
from ingest_app.models import api_keys, browser_sessions, sources
from ingest_app.prepared import change
from ingest_app.queue import pacing
from ingest_app.queue.columns import slot_columns
from ingest_app.queue.statements import ADD_SOURCE, UPDATE_SOURCE

_RowOfTable = Mapping[str, Any]

_SLOTS = select(sources.c.name, sources.c.slot_interval_seconds)
_END_SESSIONS = delete(browser_sessions)


@dataclass(frozen=True)
class Replaced:
    """What is carried over of the replaced database, rows as they are stored.

    sequences: the greatest id that each table has given away.
    """

    sources: Sequence[_RowOfTable] = ()
    keys: Sequence[_RowOfTable] = ()
    sequences: Sequence[_RowOfTable] = ()


def read_replaced(driver: Any) -> Replaced:
    """Read it with the driver's own connection; what its schema does not have is left out.

    Raises what the driver does when it cannot be read.
    """
    return Replaced(
        sources=_rows(driver, sources.name),
        keys=_rows(driver, api_keys.name),
        sequences=_rows(driver, "sqlite_sequence"),
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


def _wait_a_whole_interval(
    connection: Connection, source_names: Collection[str], now: Moment
) -> None:
    """The last call of a source is not known, but it was not later than now."""
    found = {row.name: row.slot_interval_seconds for row in connection.execute(_SLOTS)}
    for name in {*source_names} - found.keys():
        connection.execute(ADD_SOURCE, {"name": name})
    for name in {*source_names, *found}:
        # When another interval is in force later, the slot moves with it; see `pacing.opening`.
        # One of zero says nothing, and then the pace starts anew at the first claim.
        interval_seconds = found.get(name) or 0.0
        margin_seconds = pacing.margin_seconds(interval_seconds)
        slot = pacing.next_slot(now, interval_seconds, margin_seconds)
        change(connection, UPDATE_SOURCE, {"the_source": name, **slot_columns(slot)})


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
