"""Notice that an ingestion has ended, in the transaction that ended the last of its batches."""

from __future__ import annotations

from datetime import datetime

from blinker import Signal
from sqlalchemy import Connection, bindparam, case, exists, insert, literal_column, select, update

from ingest_app.models import (
    batches,
    ingestions,
    packed_batches,
    webhook_deliveries,
    webhook_endpoints,
)
from ingest_app.prepared import change
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING

delivery_added = Signal()
"""Sent within the transaction that adds one, so whoever wants to see it has to take the write lock;
it may be undone. Receivers must not raise, and must be quick.
"""

_PACKED = exists().where(packed_batches.c.ingestion_id == ingestions.c.id, PACKED_WAITING)
_NEXT_IN_LINE = exists().where(
    batches.c.source == ingestions.c.source,
    batches.c.priority_rank == ingestions.c.priority_rank,
    batches.c.created_at == ingestions.c.created_at,
    WAITING,
    batches.c.not_before.is_(None),
    # Not by the index of this column, which leads to all of the ingestion's batches.
    batches.c.ingestion_id.concat(literal_column("''")) == ingestions.c.id,
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
# The first two only save the third from looking at many batches that have ended.
_IS_UNDER_WAY = case((_PACKED, 1), (_NEXT_IN_LINE, 1), else_=_LAST_UNDER_WAY)
_END = (
    update(ingestions)
    .where(
        ingestions.c.id == bindparam("the_ingestion"),
        ingestions.c.ended_at.is_(None),
        _IS_UNDER_WAY.is_(None),
    )
    .values(ended_at=bindparam("the_time", type_=ingestions.c.ended_at.type))
)
_TIME = bindparam("the_time", type_=ingestions.c.ended_at.type)
_ADD_DELIVERIES = insert(webhook_deliveries).from_select(
    ["endpoint", "ingestion_id", "ended_at", "next_attempt_at"],
    select(
        webhook_endpoints.c.name,
        bindparam("the_ingestion", type_=ingestions.c.id.type),
        _TIME,
        _TIME,
    ),
)


def note_end(connection: Connection, ingestion_id: str, now: datetime) -> bool:
    """Record that none of its batches waits or is in flight any more; False while one does.

    Every endpoint is to be told of it (`webhook_deliveries`).
    """
    ended = {"the_ingestion": ingestion_id, "the_time": now}
    has_ended = change(connection, _END, ended) == 1
    if has_ended and change(connection, _ADD_DELIVERIES, ended):
        delivery_added.send()
    return has_ended
