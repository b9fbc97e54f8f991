"""What waits and what is in flight, by priority; and what is still to be told to webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, func, literal_column, select

from ingest_app.models import batches, packed_batches, webhook_deliveries
from ingest_app.prepared import fetch_all, fetch_value
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.states import Priority

_THE_SOURCE = batches.c.source == bindparam("the_source")
_IN_FLIGHT = select(batches.c.priority_rank).where(_THE_SOURCE, TRIGGERED)
_RETRIES = select(batches.c.priority_rank, batches.c.created_at).where(
    _THE_SOURCE, WAITING, batches.c.not_before.is_not(None)
)
_FIRST = (
    select(func.min(batches.c.created_at)).where(
        _THE_SOURCE,
        WAITING,
        batches.c.not_before.is_(None),
        batches.c.priority_rank == bindparam("the_rank"),
    ),
    select(func.min(packed_batches.c.created_at)).where(
        packed_batches.c.source == bindparam("the_source"),
        PACKED_WAITING,
        packed_batches.c.priority_rank == bindparam("the_rank"),
    ),
)
_ONE = literal_column("1", Integer)
_DELIVERIES = select(
    select(func.count(_ONE))
    .where(webhook_deliveries.c.next_attempt_at.is_not(None))
    .scalar_subquery()
    .label("waiting"),
    select(func.count(_ONE))
    .where(webhook_deliveries.c.given_up_at.is_not(None))
    .scalar_subquery()
    .label("given_up"),
)


class Deliveries(NamedTuple):
    """How many ends of ingestions are still to be told, and how many were given up."""

    waiting: int
    given_up: int


def count_in_flight(connection: Connection, source: str) -> Mapping[Priority, int]:
    """How many batches of the source are in flight."""
    counts = dict.fromkeys(Priority, 0)
    for (rank,) in fetch_all(connection, _IN_FLIGHT, {"the_source": source}):
        counts[list(Priority)[rank]] += 1
    return counts


def find_oldest(connection: Connection, source: str) -> Mapping[Priority, datetime | None]:
    """When the oldest batch that waits was submitted, aware UTC; None where none waits."""
    retries = fetch_all(connection, _RETRIES, {"the_source": source})
    oldest = {}
    for priority in Priority:
        line = {"the_source": source, "the_rank": priority.rank}
        found = [fetch_value(connection, query, line) for query in _FIRST]
        found += [row.created_at for row in retries if row.priority_rank == priority.rank]
        oldest[priority] = min((at for at in found if at is not None), default=None)
    return oldest


def count_deliveries(connection: Connection) -> Deliveries:
    """What there is to tell webhooks."""
    (found,) = fetch_all(connection, _DELIVERIES, {})
    return Deliveries(found.waiting, found.given_up)
