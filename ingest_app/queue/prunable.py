"""Which ingestions may be deleted: those that ended long ago, and have really ended.

A person may have edited the batches since, so the state is derived from them again before an
ingestion is marked. From that mark on nobody is shown it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
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
    type_coerce,
    update,
)

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import ingestions, webhook_deliveries
from ingest_app.prepared import Row, change, fetch_all
from ingest_app.queue.ending import HAS_UNENDED, IS_SEEN_UNDER_WAY

MARKED_AT_ONCE = 20
"""How many are marked in one transaction."""

_TIME = ingestions.c.ended_at.type
# As it is stored: a person may have written it in another form, and it is to be found again.
_STORED_END = type_coerce(ingestions.c.ended_at, Text)
_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_BEFORE = bindparam("before", type_=_TIME)
_IS_TO_BE_TOLD = exists().where(
    webhook_deliveries.c.ingestion_id == ingestions.c.id,
    webhook_deliveries.c.next_attempt_at.is_not(None),
)

_PLACE = tuple_(_STORED_END, ingestions.c.id)
_ENDED = (
    select(ingestions.c.id, _STORED_END.label("ended_at"), HAS_UNENDED.label("has_unended"))
    .where(
        ingestions.c.ended_at < _BEFORE,
        ingestions.c.pruned_at.is_(None),
        ~_IS_TO_BE_TOLD,
        tuple_(bindparam("after_time", type_=Text), bindparam("after_id", type_=Text)) < _PLACE,
    )
    .order_by(_STORED_END, ingestions.c.id)
    .limit(literal_column(str(MARKED_AT_ONCE)))
)
_AS_IT_WAS = (
    ingestions.c.id == _THE_INGESTION,
    ingestions.c.pruned_at.is_(None),
    bindparam("the_end", type_=Text) == _STORED_END,
)
_MARK = (
    update(ingestions)
    .where(*_AS_IT_WAS, ~IS_SEEN_UNDER_WAY, ~_IS_TO_BE_TOLD)
    .values(pruned_at=bindparam("the_time", type_=_TIME), idempotency_key=None)
)
_FORGET_END = update(ingestions).where(*_AS_IT_WAS, IS_SEEN_UNDER_WAY).values(ended_at=None)
_MARKED = select(ingestions.c.id).where(ingestions.c.pruned_at.is_not(None))
_OLD = (ingestions.c.ended_at < _BEFORE, ingestions.c.pruned_at.is_(None))
_COUNT = (
    select(
        func.count().label("ingestion_count"),
        func.coalesce(func.sum(ingestions.c.batch_count), 0).label("batch_count"),
        func.coalesce(func.sum(ingestions.c.id_count), 0).label("id_count"),
    )
    .where(*_OLD, ~HAS_UNENDED, ~_IS_TO_BE_TOLD)
    .select_from(ingestions)
)


def count_prunable(connection: Connection, before: datetime) -> Row:
    """How many ingestions, batches and IDs would go: `ingestion_count` and so on."""
    (found,) = fetch_all(connection, _COUNT, {"before": before})
    return found


def marked(connection: Connection) -> Sequence[str]:
    """Those of which somebody has begun to delete the rows."""
    return [row.id for row in fetch_all(connection, _MARKED, {})]


def mark_ended(database: Database, before: datetime, *, clock: Clock) -> Iterator[Sequence[str]]:
    """Mark what ended before this time, some at a time, oldest first; their ids, perhaps none.

    Each has a state of its own again once it is retried: who comes first, wins.
    """
    after: dict[str, Any] = {"after_time": "", "after_id": ""}
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
