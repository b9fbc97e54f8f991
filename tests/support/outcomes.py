"""What became of the IDs and of the attempts, by the tables alone."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOM_SECONDS = 30.0


@dataclass(frozen=True)
class Record:
    """A row of `records`, its JSON read."""

    item: object
    outcome: str
    data: object
    error: str | None


def records(database: Path) -> list[Record]:
    """All records, in the order of the requests."""
    sql = "SELECT item_id, outcome, data, error FROM records ORDER BY batch_id, position"
    return [
        Record(json.loads(item), outcome, data and json.loads(data), error)
        for item, outcome, data, error in _rows(database, sql)
    ]


def fetched(database: Path) -> list[tuple[object, object]]:
    """IDs and data of what was fetched, in the order of the requests."""
    return [(one.item, one.data) for one in records(database) if one.outcome == "fetched"]


def attempts(database: Path) -> list[int]:
    """How many attempts each batch has taken, in their order."""
    return [count for (count,) in _rows(database, "SELECT attempt_count FROM batches ORDER BY id")]


def outcomes(database: Path) -> dict[str | None, int]:
    """How many dispatches ended in what way, those too that failed before their call.

    Without those that were handed back before it, as happens where a busy machine is late for a
    slot.
    """
    sql = "SELECT outcome FROM dispatches WHERE outcome <> 'released' OR dispatched_at IS NOT NULL"
    return dict(Counter(outcome for (outcome,) in _rows(database, sql)))


def states(database: Path) -> list[str]:
    """The states of all batches, in their order."""
    return [status for (status,) in _rows(database, "SELECT status FROM batches ORDER BY id")]


def source_row(database: Path) -> dict[str, Any]:
    """The row of the source `default`."""
    columns = "failure_count, deferred_until, last_error"
    (row,) = _rows(database, f"SELECT {columns} FROM sources WHERE name = 'default'")
    return dict(zip(columns.split(", "), row, strict=True))


def figures(database: Path, call_count: int) -> dict[str, int]:
    """What the ledger counted beside so many calls that the upstream saw."""
    ended = outcomes(database)
    return {
        "calls": call_count,
        "attempts": sum(attempts(database)),
        **{name: ended.get(name, 0) for name in ("retried", "deferred", "lost")},
        "records": len(records(database)),
    }


def _rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    uri = f"{database.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_ROOM_SECONDS)) as connection:
        return connection.execute(sql).fetchall()
