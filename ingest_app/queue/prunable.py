"""Which ingestions may be deleted: those that ended long ago, and have really ended.

A person may have edited the batches since, so the state is derived from them again before an
ingestion is marked. From that mark on nobody is shown it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Text,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import batches, ingestions, packed_batches, webhook_deliveries
from ingest_app.prepared import Row, change, fetch_all
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.queue.ending import note_end

MARKED_AT_ONCE = 20
"""How many are marked in one transaction."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_TIME = ingestions.c.ended_at.type
_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_BEFORE = bindparam("before", type_=_TIME)
# Not by the index of this column, which leads to all of the ingestion's batches.
_OF_IT = batches.c.ingestion_id.concat(literal_column("''")) == ingestions.c.id
_OF_ITS_SOURCE = batches.c.source == ingestions.c.source

_PACKED = exists().where(packed_batches.c.ingestion_id == ingestions.c.id, PACKED_WAITING)
# Each reads an index of what is under way alone: to look at all that has ended takes a tenth of a
# second of a large ingestion, and these are asked under the write lock.
_GOES_NOW = exists().where(
    _OF_ITS_SOURCE,
    batches.c.priority_rank.in_([literal_column(rank) for rank in "012"]),
    batches.c.created_at == ingestions.c.created_at,
    WAITING,
    batches.c.not_before.is_(None),
    _OF_IT,
)
_GOES_LATER = exists().where(_OF_ITS_SOURCE, WAITING, batches.c.not_before.is_not(None), _OF_IT)
_IN_FLIGHT = exists().where(_OF_ITS_SOURCE, TRIGGERED, _OF_IT)
_IS_UNDER_WAY = _PACKED | _IN_FLIGHT | _GOES_NOW | _GOES_LATER

# The whole truth, which takes longer.
_HAS_UNENDED = _PACKED | exists().where(
    batches.c.ingestion_id == ingestions.c.id, WAITING | TRIGGERED
)
_IS_TO_BE_TOLD = exists().where(
    webhook_deliveries.c.ingestion_id == ingestions.c.id,
    webhook_deliveries.c.next_attempt_at.is_not(None),
)

_PLACE = tuple_(ingestions.c.ended_at, ingestions.c.id)
_ENDED = (
    select(ingestions.c.id, ingestions.c.ended_at, _HAS_UNENDED.label("has_unended"))
    .where(
        ingestions.c.ended_at < _BEFORE,
        ingestions.c.pruned_at.is_(None),
        ~_IS_TO_BE_TOLD,
        tuple_(bindparam("after_time", type_=_TIME), bindparam("after_id", type_=Text)) < _PLACE,
    )
    .order_by(ingestions.c.ended_at, ingestions.c.id)
    .limit(literal_column(str(MARKED_AT_ONCE)))
)
_UNNOTED = select(ingestions.c.id).where(
    ingestions.c.ended_at.is_(None), ingestions.c.created_at < _BEFORE, ~_HAS_UNENDED
)
_AS_IT_WAS = (
    ingestions.c.id == _THE_INGESTION,
    ingestions.c.pruned_at.is_(None),
    ingestions.c.ended_at == bindparam("the_end", type_=_TIME),
)
_MARK = (
    update(ingestions)
    .where(*_AS_IT_WAS, ~_IS_UNDER_WAY, ~_IS_TO_BE_TOLD)
    .values(pruned_at=bindparam("the_time", type_=_TIME), idempotency_key=None)
)
_FORGET_END = update(ingestions).where(*_AS_IT_WAS, _IS_UNDER_WAY).values(ended_at=None)
_MARKED = select(ingestions.c.id).where(ingestions.c.pruned_at.is_not(None))
_OLD = (ingestions.c.ended_at < _BEFORE, ingestions.c.pruned_at.is_(None))
_COUNT = (
    select(
        func.count().label("ingestion_count"),
        func.coalesce(func.sum(ingestions.c.batch_count), 0).label("batch_count"),
        func.coalesce(func.sum(ingestions.c.id_count), 0).label("id_count"),
    )
    .where(*_OLD, ~_HAS_UNENDED, ~_IS_TO_BE_TOLD)
    .select_from(ingestions)
)


def count_prunable(connection: Connection, before: datetime) -> Row:
    """How many ingestions, batches and IDs would go: `ingestion_count` and so on."""
    (found,) = fetch_all(connection, _COUNT, {"before": before})
    return found


def marked(connection: Connection) -> Sequence[str]:
    """Those of which somebody has begun to delete the rows."""
    return [row.id for row in fetch_all(connection, _MARKED, {})]


def note_forgotten_ends(database: Database, before: datetime, *, clock: Clock) -> None:
    """Record that those have ended whose batches a person has ended in the database.

    They stay until it is as long ago as for others.
    """
    with database.read() as connection:
        unnoted = fetch_all(connection, _UNNOTED, {"before": before})
    for row in unnoted:
        with database.write() as connection:
            note_end(connection, row.id, clock.read().at)


def mark_ended(database: Database, before: datetime, *, clock: Clock) -> Iterator[Sequence[str]]:
    """Mark what ended before this time, some at a time, oldest first; their ids.

    Each has a state of its own again once it is retried: who comes first, wins.
    """
    after: dict[str, Any] = {"after_time": _LONG_AGO, "after_id": ""}
    while True:
        with database.read() as connection:
            found = fetch_all(connection, _ENDED, {"before": before, **after})
        if not found:
            return
        after = {"after_time": found[-1].ended_at, "after_id": found[-1].id}
        yield _mark(database, found, clock)


def _mark(database: Database, found: Sequence[Row], clock: Clock) -> Sequence[str]:
    with database.write() as connection:
        now = clock.read().at
        return [row.id for row in found if _mark_one(connection, row, now)]


def _mark_one(connection: Connection, row: Row, now: datetime) -> bool:
    as_it_was = {"the_ingestion": row.id, "the_end": row.ended_at}
    if not row.has_unended and change(connection, _MARK, {**as_it_was, "the_time": now}):
        return True
    # Or it would be told to have ended, and who waits for its end would not hear of it.
    change(connection, _FORGET_END, as_it_was)
    return False
