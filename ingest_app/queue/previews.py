"""When a submission that has not been made yet would finish, and what it would delay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Executable, Integer, bindparam, literal_column, select, tuple_

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import batches, packed_batches
from ingest_app.prepared import fetch_first
from ingest_app.queue.columns import PACKED_WAITING, WAITING
from ingest_app.queue.forecast import ESTIMATED
from ingest_app.queue.outlook import Outlook, outlook_of
from ingest_app.queue.timetable import slot_for
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority

DELAYED_MOST = 1_000
"""How many ingestions that would wait longer are counted."""

_AFTER_ALL = datetime.max.replace(tzinfo=UTC)
_ONE = literal_column("1", Integer)
_AFTER = tuple_(
    bindparam("the_rank", type_=Integer), bindparam("the_time", type_=batches.c.created_at.type)
)
# All batches of an ingestion have one time and one rank, so each look-up leads to the next
# ingestion. (Two of the same microsecond count as one.)
_NEXT_INGESTION = (
    select(batches.c.ingestion_id, batches.c.priority_rank, batches.c.created_at)
    .where(
        batches.c.source == bindparam("the_source"),
        WAITING,
        batches.c.not_before.is_(None),
        tuple_(batches.c.priority_rank, batches.c.created_at) > _AFTER,
    )
    .order_by(batches.c.priority_rank, batches.c.created_at)
    .limit(_ONE)
)
_NEXT_PACKED = (
    select(
        packed_batches.c.ingestion_id, packed_batches.c.priority_rank, packed_batches.c.created_at
    )
    .where(
        packed_batches.c.source == bindparam("the_source"),
        PACKED_WAITING,
        tuple_(packed_batches.c.priority_rank, packed_batches.c.created_at) > _AFTER,
    )
    .order_by(packed_batches.c.priority_rank, packed_batches.c.created_at)
    .limit(_ONE)
)


@dataclass(frozen=True)
class Delays:
    """What others would wait longer: how many ingestions, and each by how long at most."""

    ingestion_count: int
    seconds: float | None


@dataclass(frozen=True)
class AtPriority:
    """What would become of a submission at one priority; see `Forecast`."""

    batches_ahead: int
    starts_at: datetime | None
    finishes_at: datetime | None
    remaining_seconds: float | None
    delays: Delays


@dataclass(frozen=True)
class Preview:
    """What would become of a submission at each priority; see `Forecast`."""

    source: str
    id_count: int
    batch_count: int
    pace_seconds: float | None
    waits_for: str | None
    approximate: bool
    caveats: Sequence[str]
    priorities: Mapping[Priority, AtPriority]


class _Delayed(NamedTuple):
    ingestion_id: str
    priority_rank: int


def preview_submission(
    database: Database, source: SourceSettings, *, id_count: int, clock: Clock
) -> Preview:
    """What would become of so many IDs if they were submitted now; nothing is."""
    batch_count = -(-id_count // source.batch_size)
    with database.read() as connection:
        outlook = outlook_of(connection, source.name, source, clock.read())
        waiting = set(islice(_waiting_behind(connection, source.name), DELAYED_MOST + 1))
    waiting |= {_Delayed(each.ingestion_id, each.priority_rank) for each in outlook.retries}
    caveats = [*outlook.caveats(), *_of_counts(outlook, len(waiting))]
    return Preview(
        source=source.name,
        id_count=id_count,
        batch_count=batch_count,
        pace_seconds=outlook.gap_seconds,
        waits_for=outlook.state.waits_for,
        approximate=bool(caveats),
        caveats=caveats,
        priorities={
            priority: _at_priority(outlook, priority, batch_count, waiting) for priority in Priority
        },
    )


def _waiting_behind(connection: Connection, source_name: str) -> Iterator[_Delayed]:
    """What waits with less than the highest priority, each ingestion once or twice."""
    for query in (_NEXT_INGESTION, _NEXT_PACKED):
        yield from _one_by_one(connection, query, source_name)


def _one_by_one(connection: Connection, query: Executable, source_name: str) -> Iterator[_Delayed]:
    place = {"the_rank": Priority.HIGH.rank, "the_time": _AFTER_ALL}
    found = fetch_first(connection, query, {"the_source": source_name, **place})
    while found is not None:
        yield _Delayed(found.ingestion_id, found.priority_rank)
        place = {"the_rank": found.priority_rank, "the_time": found.created_at}
        found = fetch_first(connection, query, {"the_source": source_name, **place})


def _of_counts(outlook: Outlook, waiting_count: int) -> Iterator[str]:
    if outlook.state.waiting_is_estimated:
        yield ESTIMATED
    if waiting_count > DELAYED_MOST:
        yield f"More than {DELAYED_MOST} ingestions might wait longer; not all were counted."


def _at_priority(
    outlook: Outlook, priority: Priority, batch_count: int, waiting: set[_Delayed]
) -> AtPriority:
    before = range(priority.rank + 1)
    ahead_count = outlook.ready_count(before)
    timetable = outlook.timetable(more_count=batch_count)
    released = sorted(
        timetable.slot_at(retry.release_seconds)
        for retry in outlook.retries
        if retry.priority_rank in before
    )
    first_slot = slot_for(ahead_count, released)
    last_slot = slot_for(ahead_count + batch_count - 1, released)
    remaining_seconds = outlook.end_of(timetable, last_slot)
    delayed = {each.ingestion_id for each in waiting if each.priority_rank > priority.rank}
    return AtPriority(
        batches_ahead=first_slot,
        starts_at=outlook.at(outlook.start_of(timetable, first_slot)),
        finishes_at=outlook.at(remaining_seconds),
        remaining_seconds=remaining_seconds,
        delays=Delays(len(delayed), _delay_seconds(outlook, batch_count if delayed else 0)),
    )


def _delay_seconds(outlook: Outlook, batch_count: int) -> float | None:
    return None if outlook.batch_seconds is None else batch_count * outlook.batch_seconds
