"""Which slots the waiting batches of an ingestion get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, literal_column, select

from ingest_app.models import batches, packed_batches
from ingest_app.prepared import fetch_first
from ingest_app.queue.columns import PACKED_WAITING, WAITING
from ingest_app.queue.listing import IngestionEntry
from ingest_app.queue.outlook import Outlook, WaitingRetry
from ingest_app.queue.timetable import Timetable, slot_for
from ingest_app.queue.waiting_counts import Count, Line, QueuePlace, count_ahead
from ingest_app.states import BatchStatus

_ONE = literal_column("1", Integer)
_COLUMNS = (
    batches.c.ingestion_id,
    batches.c.priority_rank,
    batches.c.created_at,
    batches.c.id,
)
_READY = (WAITING, batches.c.not_before.is_(None))
# Along the index for claims, past all of the ingestion's batches that have ended: for that the
# ingestion must not be named.
_FIRST_AT_ITS_PLACE = (
    select(*_COLUMNS)
    .where(
        *_READY,
        batches.c.source == bindparam("the_source"),
        batches.c.priority_rank == bindparam("the_rank"),
        batches.c.created_at == bindparam("the_time", type_=batches.c.created_at.type),
    )
    .order_by(batches.c.id)
    .limit(_ONE)
)
_FIRST_PACKED = (
    select(
        packed_batches.c.priority_rank,
        packed_batches.c.created_at,
        packed_batches.c.first_batch_id.label("id"),
    )
    .where(packed_batches.c.ingestion_id == bindparam("the_ingestion"), PACKED_WAITING)
    .order_by(packed_batches.c.first_position)
    .limit(_ONE)
)
# For what a person has moved to another place, where two came in the same microsecond, and for
# retries beyond those that are looked at one by one.
_FIRST_ANYWHERE = (
    select(*_COLUMNS)
    .where(WAITING, batches.c.ingestion_id == bindparam("the_ingestion"))
    .order_by(batches.c.position)
    .limit(_ONE)
)


class Turns(NamedTuple):
    """The slots that the first and the last of an ingestion's waiting batches get.

    is_estimate: True when so many wait that the slots are near the truth only.
    """

    next_slot: int
    last_slot: int
    is_estimate: bool


class _Waiting(NamedTuple):
    """What waits of one ingestion.

    first: the first of its batches that may go at once, None when there is none. retries: those
    that may go later. rank, place: of the first of them all.
    """

    entry: IngestionEntry
    first: QueuePlace | None
    retries: Sequence[WaitingRetry]
    rank: int
    place: QueuePlace


def find_turns(
    connection: Connection,
    outlook: Outlook,
    timetable: Timetable,
    entries: Sequence[IngestionEntry],
) -> Mapping[str, Turns]:
    """The turns of those of the source's ingestions that wait, by their ids."""
    found = (_waiting(connection, outlook, entry) for entry in entries)
    return {
        waiting.entry.ingestion_id: _turns(outlook, timetable, waiting, ahead)
        for waiting, ahead in _count_each(connection, outlook, [each for each in found if each])
    }


def _waiting(connection: Connection, outlook: Outlook, entry: IngestionEntry) -> _Waiting | None:
    retries = [each for each in outlook.retries if each.ingestion_id == entry.ingestion_id]
    places = [(each.priority_rank, each.place) for each in retries]
    first = None
    if entry.counts[BatchStatus.YET_TO_START] > len(retries):
        first = _first_ready(connection, entry)
        places += [first] if first else []
    if not places:
        return None
    return _Waiting(entry, first and first[1], retries, *min(places))


def _first_ready(connection: Connection, entry: IngestionEntry) -> tuple[int, QueuePlace] | None:
    its_place = {
        "the_source": entry.source,
        "the_rank": entry.priority.rank,
        "the_time": entry.created_at,
    }
    row = fetch_first(connection, _FIRST_AT_ITS_PLACE, its_place)
    if row is None or row.ingestion_id != entry.ingestion_id:
        the_ingestion = {"the_ingestion": entry.ingestion_id}
        row = fetch_first(connection, _FIRST_PACKED, the_ingestion) or fetch_first(
            connection, _FIRST_ANYWHERE, the_ingestion
        )
    return row and (row.priority_rank, QueuePlace(row.created_at, row.id))


def _count_each(
    connection: Connection, outlook: Outlook, waiting: Sequence[_Waiting]
) -> Iterator[tuple[_Waiting, Count]]:
    """How many ready batches go before the first of each ingestion."""
    for rank in {each.rank for each in waiting}:
        is_estimate = rank > 0 and outlook.state.waiting_is_estimated
        before = Count(outlook.ready_count(range(rank)), is_estimate)
        in_line = sorted((each for each in waiting if each.rank == rank), key=_place)
        line = Line(outlook.state.name, rank)
        counts = count_ahead(connection, line, [each.place for each in in_line])
        for each, count in zip(in_line, counts, strict=True):
            yield each, before + count


def _place(waiting: _Waiting) -> QueuePlace:
    return waiting.place


def _turns(outlook: Outlook, timetable: Timetable, waiting: _Waiting, ahead: Count) -> Turns:
    slots = _slots(outlook, timetable, waiting, ahead)
    return Turns(min(slots), max(slots), ahead.is_estimate)


def _slots(
    outlook: Outlook, timetable: Timetable, waiting: _Waiting, ahead: Count
) -> Sequence[int]:
    """The slots that the first and the last of its batches and each of its retries get."""
    own_count = waiting.entry.counts[BatchStatus.YET_TO_START] - len(waiting.retries)
    own_id = waiting.entry.ingestion_id
    others = [each for each in outlook.retries if each.ingestion_id != own_id]

    def before(retries: Sequence[WaitingRetry], place: QueuePlace) -> Sequence[int]:
        first = (waiting.rank, place)
        ahead_of_it = (each for each in retries if (each.priority_rank, each.place) < first)
        return sorted(timetable.slot_at(each.release_seconds) for each in ahead_of_it)

    slots = []
    if waiting.first is not None:
        slots.append(slot_for(ahead.number, before(outlook.retries, waiting.first)))
        # Its batches follow each other in the queue, its own retries at their places among them.
        own = [timetable.slot_at(each.release_seconds) for each in waiting.retries]
        released = sorted([*before(others, waiting.first), *own])
        slots.append(slot_for(ahead.number + own_count - 1, released))
    for retry in waiting.retries:
        is_behind = waiting.first is not None and waiting.first < retry.place
        ready_count = ahead.number + (own_count if is_behind else 0)
        released_at = timetable.slot_at(retry.release_seconds)
        slots.append(slot_for(ready_count, before(outlook.retries, retry.place), released_at))
    return slots
