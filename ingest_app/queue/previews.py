"""When a submission that has not been made yet would finish, and what it would delay."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection, Executable, Integer, bindparam, literal_column, select

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

DELAYED_MOST = 500
"""How many ingestions of each priority that would wait longer are counted."""

_Waiting = Mapping[Priority, Collection[str]]

_MAY_WAIT_LONGER = (Priority.MEDIUM, Priority.LOW)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_ONE = literal_column("1", Integer)
# All batches of an ingestion have one time and one rank, so each look-up leads to the next
# ingestion. (Two of the same microsecond count as one.)
_NEXT_INGESTION = (
    select(batches.c.ingestion_id, batches.c.created_at)
    .where(
        batches.c.source == bindparam("the_source"),
        WAITING,
        batches.c.not_before.is_(None),
        batches.c.priority_rank == bindparam("the_rank"),
        batches.c.created_at > bindparam("the_time", type_=batches.c.created_at.type),
    )
    .order_by(batches.c.created_at)
    .limit(_ONE)
)
_NEXT_PACKED = (
    select(packed_batches.c.ingestion_id, packed_batches.c.created_at)
    .where(
        packed_batches.c.source == bindparam("the_source"),
        PACKED_WAITING,
        packed_batches.c.priority_rank == bindparam("the_rank"),
        packed_batches.c.created_at > bindparam("the_time", type_=batches.c.created_at.type),
    )
    .order_by(packed_batches.c.created_at)
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


def preview_submission(
    database: Database, source: SourceSettings, *, id_count: int, clock: Clock
) -> Preview:
    """What would become of so many IDs if they were submitted now; nothing is."""
    batch_count = -(-id_count // source.batch_size)
    with database.read() as connection:
        outlook = outlook_of(connection, source.name, source, clock.read())
        waiting = {each: _waiting(connection, outlook, each) for each in _MAY_WAIT_LONGER}
    caveats = [*outlook.caveats(), *_of_counts(outlook, waiting)]
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


def _waiting(connection: Connection, outlook: Outlook, priority: Priority) -> Collection[str]:
    """The ids of the ingestions of which batches of this priority wait."""
    found = {each.ingestion_id for each in outlook.retries if each.priority_rank == priority.rank}
    for query in (_NEXT_INGESTION, _NEXT_PACKED):
        one_by_one = _one_by_one(connection, query, outlook.state.name, priority)
        found.update(islice(one_by_one, DELAYED_MOST + 1))
    return found


def _one_by_one(
    connection: Connection, query: Executable, source_name: str, priority: Priority
) -> Iterator[str]:
    line = {"the_source": source_name, "the_rank": priority.rank}
    found = fetch_first(connection, query, {**line, "the_time": _BEFORE_ALL})
    while found is not None:
        yield found.ingestion_id
        found = fetch_first(connection, query, {**line, "the_time": found.created_at})


def _of_counts(outlook: Outlook, waiting: _Waiting) -> Iterator[str]:
    if outlook.state.waiting_is_estimated:
        yield ESTIMATED
    if max(map(len, waiting.values())) > DELAYED_MOST:
        yield f"More than {DELAYED_MOST} ingestions of one priority wait; not all were counted."


def _at_priority(
    outlook: Outlook,
    priority: Priority,
    batch_count: int,
    waiting: _Waiting,
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
    delayed = set().union(*(ids for other, ids in waiting.items() if other.rank > priority.rank))
    return AtPriority(
        batches_ahead=first_slot,
        starts_at=outlook.at(outlook.start_of(timetable, first_slot)),
        finishes_at=outlook.at(remaining_seconds),
        remaining_seconds=remaining_seconds,
        delays=Delays(len(delayed), _delay_seconds(outlook, batch_count if delayed else 0)),
    )


def _delay_seconds(outlook: Outlook, batch_count: int) -> float | None:
    return None if outlook.batch_seconds is None else batch_count * outlook.batch_seconds
