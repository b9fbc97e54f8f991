"""Ingestions at a glance: newest first, a page at a time, and one by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, select, tuple_

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import ingestion_status, ingestions
from ingest_app.prepared import Row
from ingest_app.states import BatchStatus, Priority

MOST_LOOKED_AT = 1_000
"""How many ingestions one page looks at for those that were asked for."""

_MOST_BATCHES = 1_000_000
"""How many batches one page counts; a single ingestion may have more."""

_IS_SHOWN = ingestions.c.pruned_at.is_(None)
# One look-up for each ingestion: the view is quick with a constant id alone.
_STATUS = select(ingestion_status).where(ingestion_status.c.id == bindparam("the_ingestion"))


class Place(NamedTuple):
    """Where an ingestion stands in the list."""

    created_at: datetime
    ingestion_id: str


@dataclass(frozen=True)
class IngestionEntry:
    """An ingestion without its batches, its state derived from them; times are aware UTC."""

    ingestion_id: str
    status: BatchStatus
    priority: Priority
    source: str
    created_at: datetime
    id_count: int
    batch_count: int
    counts: Mapping[str, int]
    first_triggered_at: datetime | None
    last_completed_at: datetime | None
    cancelled_at: datetime | None


@dataclass(frozen=True)
class Wanted:
    """Which ingestions to list; None for any. `submitted_by` is the owner of an API key."""

    status: BatchStatus | None = None
    priority: Priority | None = None
    source: str | None = None
    submitted_by: str | None = None


@dataclass(frozen=True)
class ListPage:
    """Some ingestions, and where to go on; None when there are no others."""

    entries: Sequence[IngestionEntry]
    next_after: Place | None


def read_ingestion(database: Database, ingestion_id: str) -> IngestionEntry:
    """One ingestion (UnknownIngestion)."""
    with database.read() as connection:
        return find_ingestion(connection, ingestion_id)


def find_ingestion(connection: Connection, ingestion_id: str) -> IngestionEntry:
    """The same inside a transaction."""
    the_ingestion = select(ingestions).where(ingestions.c.id == ingestion_id, _IS_SHOWN)
    row = connection.execute(the_ingestion).first()
    entry = None if row is None else _look_up(connection, row)
    if entry is None:
        raise UnknownIngestion(ingestion_id)
    return entry


def read_ended(
    database: Database, ingestion_id: str, *, ended_at: datetime
) -> IngestionEntry | None:
    """The same; None when it did not end at that time, was retried since or is gone."""
    ended = (ingestions.c.ended_at == ended_at) & ingestions.c.pruned_at.is_(None)
    with database.read() as connection:
        query = select(ingestions).where(ingestions.c.id == ingestion_id, ended)
        row = connection.execute(query).first()
        return None if row is None else _look_up(connection, row)


def has_batches(database: Database, ingestion_id: str) -> bool:
    """False when a person has deleted them."""
    with database.read() as connection:
        return connection.execute(_STATUS, {"the_ingestion": ingestion_id}).first() is not None


def list_ingestions(
    database: Database, wanted: Wanted, *, limit: int, after: Place | None = None
) -> ListPage:
    """Up to `limit` of the ingestions that are wanted, newest first.

    after: only those that come after this place. There may be fewer before the end, even none: a
        page looks at `MOST_LOOKED_AT` of them at most.
    """
    with database.read() as connection:
        return find_ingestions(connection, wanted, limit=limit, after=after)


def find_ingestions(
    connection: Connection, wanted: Wanted, *, limit: int, after: Place | None = None
) -> ListPage:
    """The same inside a transaction."""
    entries: list[IngestionEntry] = []
    batch_count, last = 0, None
    # A cursor left open would hold the snapshot beyond its transaction.
    with connection.execute(_newest(wanted.submitted_by, after)) as newest:
        for looked_at, row in enumerate(newest):
            is_enough = len(entries) == limit or looked_at == MOST_LOOKED_AT
            if is_enough or (batch_count and batch_count + row.batch_count > _MOST_BATCHES):
                return ListPage(entries, next_after=last)
            last = Place(row.created_at, row.id)
            if _may_be(row, wanted):
                batch_count += row.batch_count
                entries += _if_wanted(_look_up(connection, row), wanted)
    return ListPage(entries, next_after=None)


def _newest(submitted_by: str | None, after: Place | None) -> Select[Any]:
    place = tuple_(ingestions.c.created_at, ingestions.c.id)
    newest_first = (ingestions.c.created_at.desc(), ingestions.c.id.desc())
    query = select(ingestions).where(_IS_SHOWN).order_by(*newest_first)
    if submitted_by is not None:
        query = query.where(ingestions.c.submitted_by == submitted_by)
    return (query if after is None else query.where(place < after)).limit(MOST_LOOKED_AT + 1)


def _may_be(row: Row, wanted: Wanted) -> bool:
    return wanted.priority in (None, row.priority) and wanted.source in (None, row.source)


def _look_up(connection: Connection, row: Row) -> IngestionEntry | None:
    found = connection.execute(_STATUS, {"the_ingestion": row.id}).first()
    if found is None:  # a person has deleted its batches
        return None
    return IngestionEntry(
        ingestion_id=row.id,
        status=BatchStatus(found.status),
        priority=Priority(row.priority),
        source=row.source,
        created_at=row.created_at,
        id_count=row.id_count,
        batch_count=row.batch_count,
        counts={status.value: getattr(found, f"{status}_count") for status in BatchStatus},
        first_triggered_at=found.first_triggered_at,
        last_completed_at=found.last_completed_at,
        cancelled_at=row.cancelled_at,
    )


def _if_wanted(entry: IngestionEntry | None, wanted: Wanted) -> Sequence[IngestionEntry]:
    return [entry] if entry and wanted.status in (None, entry.status) else []
