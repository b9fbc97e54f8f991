"""Notice that an ingestion has ended, in the transaction that ended the last of its batches.

Where a person has ended them in the database, nobody noticed: that is made up for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from blinker import Signal
from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    Update,
    bindparam,
    case,
    exists,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import (
    batches,
    ingestions,
    packed_batches,
    webhook_deliveries,
    webhook_endpoints,
)
from ingest_app.prepared import change, fetch_all, fetch_first
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.states import Priority

LOOKED_AT_ONCE = 500
"""In how many ingestions an end that was forgotten is looked for without a pause."""

delivery_added = Signal()
"""Sent within the transaction that adds one, so whoever wants to see it has to take the write lock;
it may be undone. Receivers must not raise, and must be quick.
"""

_PACKED = exists().where(packed_batches.c.ingestion_id == ingestions.c.id, PACKED_WAITING)
_OF_ITS_SOURCE = batches.c.source == ingestions.c.source
# Not by the index of this column, which leads to all of the ingestion's batches.
_OF_IT = batches.c.ingestion_id.concat(literal_column("''")) == ingestions.c.id


def _in_line(of_rank: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        _OF_ITS_SOURCE,
        of_rank,
        batches.c.created_at == ingestions.c.created_at,
        WAITING,
        batches.c.not_before.is_(None),
        _OF_IT,
    )


# From the end, since batches end in their order.
_LAST_UNDER_WAY = (
    select(batches.c.id)
    .where(batches.c.ingestion_id == ingestions.c.id, WAITING | TRIGGERED)
    .order_by(batches.c.position.desc())
    .limit(literal_column("1"))
    .correlate(ingestions)
    .scalar_subquery()
)
_AS_SUBMITTED = _in_line(batches.c.priority_rank == ingestions.c.priority_rank)

# The first two only save the third from looking at many batches that have ended.
HAS_UNENDED = case((_PACKED, 1), (_AS_SUBMITTED, 1), else_=_LAST_UNDER_WAY).is_not(None)
"""True of an ingestion of which a batch waits or is in flight; False takes up to a tenth of a
second.
"""

_RANKS: list[ColumnElement[int]] = [literal_column(str(priority.rank)) for priority in Priority]
_GOES_LATER = exists().where(_OF_ITS_SOURCE, WAITING, batches.c.not_before.is_not(None), _OF_IT)
_IN_FLIGHT = exists().where(_OF_ITS_SOURCE, TRIGGERED, _OF_IT)

IS_SEEN_UNDER_WAY = (
    _PACKED | _IN_FLIGHT | _in_line(batches.c.priority_rank.in_(_RANKS)) | _GOES_LATER
)
"""The same by the indexes of what is under way alone, so that it may be asked of one that has ended
under the write lock. It does not see a batch to which a person gave another source or time.
"""

_TIME = bindparam("the_time", type_=ingestions.c.ended_at.type)
_END = (
    update(ingestions)
    .where(ingestions.c.id == bindparam("the_ingestion"), ~HAS_UNENDED)
    .values(ended_at=_TIME)
)
_END_FORGOTTEN = _END.where(ingestions.c.ended_at.is_(None))
_ADD_DELIVERIES = insert(webhook_deliveries).from_select(
    ["endpoint", "ingestion_id", "ended_at", "next_attempt_at"],
    select(
        webhook_endpoints.c.name,
        bindparam("the_ingestion", type_=ingestions.c.id.type),
        _TIME,
        _TIME,
    ),
)

_PLACE = tuple_(ingestions.c.created_at, ingestions.c.id)
_BEFORE = _PLACE < tuple_(  # noqa: SIM300 (neither is a constant)
    bindparam("before_time", type_=ingestions.c.created_at.type),
    bindparam("before_id", type_=Text),
)
_FIRST = tuple_(
    bindparam("first_time", type_=ingestions.c.created_at.type), bindparam("first_id", type_=Text)
)
_FIRST_OF_STEP = (
    select(ingestions.c.created_at, ingestions.c.id)
    .where(_BEFORE)
    .order_by(ingestions.c.created_at.desc(), ingestions.c.id.desc())
    .limit(literal_column("1"))
    .offset(literal_column(str(LOOKED_AT_ONCE - 1)))
)
_FORGOTTEN = select(ingestions.c.id).where(
    _BEFORE, _FIRST <= _PLACE, ingestions.c.ended_at.is_(None), ~HAS_UNENDED
)
_FORGET_WRONG_ENDS = (
    update(ingestions)
    .where(ingestions.c.ended_at.is_not(None), ingestions.c.pruned_at.is_(None), HAS_UNENDED)
    .values(ended_at=None)
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_FAR_AHEAD = datetime.max.replace(tzinfo=UTC)


def note_end(connection: Connection, ingestion_id: str, now: datetime) -> bool:
    """Record that none of its batches waits or is in flight any more; False while one does.

    To be called in the transaction that has ended one of them, so that an end which was recorded
    before, until a person put that batch under way again, is another one. Every endpoint is to be
    told of it (`webhook_deliveries`).
    """
    return _note(connection, _END, ingestion_id, now)


def _note(connection: Connection, end: Update, ingestion_id: str, now: datetime) -> bool:
    ended = {"the_ingestion": ingestion_id, "the_time": now}
    has_ended = change(connection, end, ended) == 1
    if has_ended and change(connection, _ADD_DELIVERIES, ended):
        delivery_added.send()
    return has_ended


def note_forgotten_ends(database: Database, *, clock: Clock) -> Iterator[int]:
    """Record that those have ended whose batches a person has ended in the database.

    Newest first, a few at a time, and how many there were of these: to be gone on with when there
    is time. Raises DatabaseError.
    """
    step: dict[str, Any] = {"before_time": _FAR_AHEAD, "before_id": ""}
    while True:
        with database.read() as connection:
            first = fetch_first(connection, _FIRST_OF_STEP, step)
            step["first_time"], step["first_id"] = first or (_LONG_AGO, "")
            found = fetch_all(connection, _FORGOTTEN, step)
        for row in found:
            with database.write() as connection:
                # Not of a batch that ends here, so another may have recorded it meanwhile.
                _note(connection, _END_FORGOTTEN, row.id, clock.read().at)
        yield len(found)
        if first is None:
            return
        step = {"before_time": first.created_at, "before_id": first.id}


def mend_ends(database: Database, *, clock: Clock) -> None:
    """Make it true of all ingestions of a database that nobody else has open, which takes long."""
    for _ in note_forgotten_ends(database, clock=clock):
        pass
    with database.write() as connection:
        change(connection, _FORGET_WRONG_ENDS, {})
