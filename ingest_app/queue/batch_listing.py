"""The batches of one ingestion with all that happened to them, a page at a time."""

from __future__ import annotations

import heapq
import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Text, bindparam, literal_column, select, true

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.items import ItemId
from ingest_app.models import batches, dispatches, ingestions, packed_batches
from ingest_app.prepared import Row, Values, fetch_all, fetch_value
from ingest_app.sqlite import array_elements
from ingest_app.states import BatchStatus

MOST_LOOKED_AT = 50_000
"""How many batches one page looks at for those that were asked for."""

MOST_DISPATCHES = 50
"""How many dispatches of a batch are told; one that is deferred again and again has thousands."""

LONGEST = 4 * 1024 * 1024
"""A page ends after so many characters of IDs: batches may be large."""

_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_AFTER = bindparam("the_after", type_=Integer)
_END = bindparam("the_end", type_=Integer)

_BATCH_COUNT = select(ingestions.c.batch_count).where(
    ingestions.c.id == _THE_INGESTION, ingestions.c.pruned_at.is_(None)
)
_PLAIN = (
    select(
        batches.c.id,
        batches.c.position,
        batches.c.ids,
        batches.c.status,
        batches.c.attempt_count,
        batches.c.triggered_at,
        batches.c.completed_at,
        batches.c.not_before,
        batches.c.last_error,
    )
    .where(
        batches.c.ingestion_id == _THE_INGESTION,
        batches.c.position > _AFTER,
        batches.c.position <= _END,
    )
    .order_by(batches.c.position)
    .limit(bindparam("the_most", type_=Integer))
)
_PACKS = (
    select(
        packed_batches.c.first_batch_id,
        packed_batches.c.first_position,
        packed_batches.c.status,
        packed_batches.c.completed_at,
    )
    .where(
        packed_batches.c.ingestion_id == _THE_INGESTION,
        packed_batches.c.first_position <= _END,
        packed_batches.c.first_position + packed_batches.c.batch_count > _AFTER + 1,
    )
    .order_by(packed_batches.c.first_position)
)
_EACH = array_elements(packed_batches.c.ids)
_POSITION = packed_batches.c.first_position + _EACH.c.key
_PACKED = (
    select(_POSITION.label("position"), _EACH.c.value.label("ids"))
    .join_from(packed_batches, _EACH, true())
    .where(
        packed_batches.c.first_batch_id == bindparam("the_pack", type_=Integer),
        _POSITION > _AFTER,
        _POSITION <= _END,
    )
)
_DISPATCHES = (
    select(
        dispatches.c.attempt,
        dispatches.c.worker,
        dispatches.c.dispatched_at,
        dispatches.c.finished_at,
        dispatches.c.outcome,
        dispatches.c.error,
    )
    .where(dispatches.c.batch_id == bindparam("the_batch", type_=Integer))
    .order_by(dispatches.c.id.desc())
    .limit(literal_column(str(MOST_DISPATCHES), Integer))
)


class DispatchEntry(NamedTuple):
    """One start of a batch; times are aware UTC.

    dispatched_at: None when the batch was handed back without a call. outcome: None in flight.
    """

    attempt: int
    worker: str
    dispatched_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: str | None


@dataclass(frozen=True)
class BatchEntry:
    """A batch and its last dispatches in their order, up to MOST_DISPATCHES; times are aware UTC.

    batch_id: the public one. not_before: when it may go again; None when it waits for its slot
        alone, or not at all.
    """

    batch_id: str
    position: int
    ids: Sequence[ItemId]
    status: BatchStatus
    attempt_count: int = 0
    triggered_at: datetime | None = None
    completed_at: datetime | None = None
    not_before: datetime | None = None
    last_error: str | None = None
    dispatches: Sequence[DispatchEntry] = ()


@dataclass(frozen=True)
class BatchPage:
    """Some batches, and the position after which there may be others; None when there are none."""

    entries: Sequence[BatchEntry]
    next_after: int | None


class _Found(NamedTuple):
    """A batch of either table."""

    position: int
    ids: str
    status: str
    completed_at: datetime | None
    row: Row | None = None  # what it has in a row of its own


def list_batches(
    database: Database,
    ingestion_id: str,
    *,
    limit: int,
    after: int = 0,
    status: BatchStatus | None = None,
) -> BatchPage:
    """Up to `limit` of an ingestion's batches in order of position (UnknownIngestion).

    after: only those with a greater position. status: only those in this state. There may be fewer
        before the end, even none: a page looks at `MOST_LOOKED_AT` of them at most.
    """
    with database.read() as connection:
        batch_count = fetch_value(connection, _BATCH_COUNT, {"the_ingestion": ingestion_id})
        if batch_count is None:
            raise UnknownIngestion(ingestion_id)
        end = min(after + MOST_LOOKED_AT, batch_count)
        where = {"the_ingestion": ingestion_id, "the_after": after, "the_end": end}
        plain = _find_plain(connection, {**where, "the_most": limit}, status)
        packed = _find_packed(connection, where, status)
        # A cursor left open would hold the snapshot beyond its transaction.
        with closing(plain), closing(packed):
            merged = heapq.merge(plain, packed, key=attrgetter("position"))
            found, is_full = _first(merged, limit)
        entries = [_entry(connection, ingestion_id, one) for one in found]
    last_position = found[-1].position if is_full else end
    return BatchPage(entries, None if last_position >= batch_count else last_position)


def _find_plain(
    connection: Connection, where: Values, status: BatchStatus | None
) -> Generator[_Found, None, None]:
    query = _PLAIN if status is None else _PLAIN.where(batches.c.status == status.value)
    # Row by row: all of a page may be more IDs than the memory holds.
    with connection.execute(query, where) as rows:
        for row in rows:
            yield _Found(row.position, row.ids, row.status, row.completed_at, row)


def _find_packed(
    connection: Connection, where: Values, status: BatchStatus | None
) -> Generator[_Found, None, None]:
    after, end = where["the_after"], where["the_end"]
    for pack in fetch_all(connection, _PACKS, where):
        if status in (None, pack.status):
            which = {"the_pack": pack.first_batch_id, "the_after": after, "the_end": end}
            for row in fetch_all(connection, _PACKED, which):
                yield _Found(row.position, row.ids, pack.status, pack.completed_at)


def _first(found: Iterable[_Found], limit: int) -> tuple[Sequence[_Found], bool]:
    """The first of these, and whether they fill a page."""
    taken: list[_Found] = []
    length = 0
    for one in found:
        taken.append(one)
        length += len(one.ids)
        if len(taken) == limit or length >= LONGEST:
            return taken, True
    return taken, False


def _entry(connection: Connection, ingestion_id: str, found: _Found) -> BatchEntry:
    entry = BatchEntry(
        batch_id=f"{ingestion_id}-{found.position}",
        position=found.position,
        ids=json.loads(found.ids),
        status=BatchStatus(found.status),
        completed_at=found.completed_at,
    )
    return entry if found.row is None else replace(entry, **_of_its_own(connection, found.row))


def _of_its_own(connection: Connection, row: Row) -> dict[str, Any]:
    last = fetch_all(connection, _DISPATCHES, {"the_batch": row.id})
    return {
        "attempt_count": row.attempt_count,
        "triggered_at": row.triggered_at,
        "not_before": row.not_before,
        "last_error": row.last_error,
        "dispatches": [DispatchEntry(*one) for one in reversed(last)],
    }
