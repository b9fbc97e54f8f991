"""When waiting work will start and finish.

Order and pace are known, so the future is. How many slots go by before a batch's turn follows from
what waits (`waiting_counts`) and from when retries may go (`timetable`); how far slots are apart
from the latest dispatches (`measured_pace`). What may turn out otherwise is said in `caveats`. What
is handed over later with a higher priority goes first, which no forecast knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, literal_column, select

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import batches, packed_batches
from ingest_app.prepared import fetch_first
from ingest_app.queue.columns import PACKED_WAITING, WAITING
from ingest_app.queue.listing import (
    IngestionEntry,
    ListPage,
    Place,
    Wanted,
    find_ingestion,
    find_ingestions,
)
from ingest_app.queue.outlook import Outlook, WaitingRetry, outlook_of, outlooks_of
from ingest_app.queue.timetable import Timetable, slot_for
from ingest_app.queue.waiting_counts import Count, Line, QueuePlace, count_ahead
from ingest_app.settings import SourceSettings
from ingest_app.states import BatchStatus

ESTIMATED = "So many batches wait that they were estimated, not counted."
"""The caveat of figures from `waiting_counts` that are estimates."""

_ONE = literal_column("1", Integer)
_READY = (
    batches.c.ingestion_id == bindparam("the_ingestion"),
    WAITING,
    batches.c.not_before.is_(None),
)
_FIRST_READY = select(batches.c.priority_rank, batches.c.created_at, batches.c.id).where(*_READY)
# Along the index for claims, past all of its batches that have ended.
_FIRST_AT_ITS_PLACE = (
    _FIRST_READY.where(
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
# For what a person has moved to another place.
_FIRST_ANYWHERE = _FIRST_READY.order_by(batches.c.position).limit(_ONE)


@dataclass(frozen=True)
class Forecast:
    """When an ingestion will go on and be done; times are aware UTC.

    batches_ahead: how many batches of others go before its next one. next_starts_at: None when none
        of its batches waits. next_starts_at, finishes_at: None when no one can say, as while its
        source is paused. remaining_seconds: until it has finished, from when its source goes on;
        None when nothing tells.
    pace_seconds: expected from one call to the next. waits_for: as in `SourceState`.
    approximate: True when one of the caveats makes it so.
    """

    ingestion_id: str
    status: BatchStatus
    source: str
    waiting_count: int
    batches_ahead: int
    next_starts_at: datetime | None
    finishes_at: datetime | None
    remaining_seconds: float | None
    pace_seconds: float | None
    waits_for: str | None
    approximate: bool
    caveats: Sequence[str]


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


class _Times(NamedTuple):
    """Seconds from now, or from when the source goes on; None when there are none to tell."""

    next_seconds: float | None
    remaining_seconds: float | None


def read_forecast(
    database: Database,
    ingestion_id: str,
    configured: Mapping[str, SourceSettings],
    *,
    clock: Clock,
) -> Forecast:
    """When one ingestion will be done (UnknownIngestion)."""
    with database.read() as connection:
        entry = find_ingestion(connection, ingestion_id)
        source = configured.get(entry.source)
        outlook = outlook_of(connection, entry.source, source, clock.read())
        (forecast,) = _forecasts(connection, outlook, [entry])
    return forecast


def list_with_forecasts(
    database: Database,
    wanted: Wanted,
    configured: Mapping[str, SourceSettings],
    *,
    limit: int,
    after: Place | None,
    clock: Clock,
) -> tuple[ListPage, Mapping[str, Forecast]]:
    """A page as of `list_ingestions`, and the forecasts of those that have not ended, by id."""
    with database.read() as connection:
        page = find_ingestions(connection, wanted, limit=limit, after=after)
        going_on = [entry for entry in page.entries if _is_going_on(entry)]
        names = {entry.source for entry in going_on}
        outlooks = outlooks_of(connection, names, configured, clock.read())
        found = [
            forecast
            for name, outlook in outlooks.items()
            for forecast in _forecasts(
                connection, outlook, [entry for entry in going_on if entry.source == name]
            )
        ]
    return page, {forecast.ingestion_id: forecast for forecast in found}


def _is_going_on(entry: IngestionEntry) -> bool:
    return entry.status in (BatchStatus.YET_TO_START, BatchStatus.TRIGGERED)


def _forecasts(
    connection: Connection, outlook: Outlook, entries: Sequence[IngestionEntry]
) -> Sequence[Forecast]:
    waiting = {entry.ingestion_id: _waiting(connection, outlook, entry) for entry in entries}
    counts = dict(_count_each(connection, outlook, [each for each in waiting.values() if each]))
    timetable = outlook.timetable()
    return [
        _forecast(
            outlook, timetable, entry, waiting[entry.ingestion_id], counts.get(entry.ingestion_id)
        )
        for entry in entries
    ]


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
    the_ingestion = {"the_ingestion": entry.ingestion_id}
    its_place = {
        **the_ingestion,
        "the_source": entry.source,
        "the_rank": entry.priority.rank,
        "the_time": entry.created_at,
    }
    row = (
        fetch_first(connection, _FIRST_AT_ITS_PLACE, its_place)
        or fetch_first(connection, _FIRST_PACKED, the_ingestion)
        or fetch_first(connection, _FIRST_ANYWHERE, the_ingestion)
    )
    return row and (row.priority_rank, QueuePlace(row.created_at, row.id))


def _count_each(
    connection: Connection, outlook: Outlook, waiting: Sequence[_Waiting]
) -> Iterator[tuple[str, Count]]:
    """How many ready batches go before the first of each ingestion, by its id."""
    for rank in {each.rank for each in waiting}:
        is_estimate = rank > 0 and outlook.state.waiting_is_estimated
        before = Count(outlook.ready_count(range(rank)), is_estimate)
        in_line = sorted((each for each in waiting if each.rank == rank), key=_place)
        line = Line(outlook.state.name, rank)
        counts = count_ahead(connection, line, [each.place for each in in_line])
        for each, count in zip(in_line, counts, strict=True):
            yield each.entry.ingestion_id, before + count


def _place(waiting: _Waiting) -> QueuePlace:
    return waiting.place


def _forecast(
    outlook: Outlook,
    timetable: Timetable | None,
    entry: IngestionEntry,
    waiting: _Waiting | None,
    ahead: Count | None,
) -> Forecast:
    slots = _slots(outlook, timetable, waiting, ahead) if timetable and waiting and ahead else []
    times = _times(outlook, timetable, entry, slots)
    caveats = [*outlook.caveats(), *_estimate_caveat(ahead)] if _is_going_on(entry) else []
    has_times = not (waiting and outlook.is_held)
    return Forecast(
        ingestion_id=entry.ingestion_id,
        status=entry.status,
        source=entry.source,
        waiting_count=entry.counts[BatchStatus.YET_TO_START],
        batches_ahead=min(slots, default=ahead.number if ahead else 0),
        next_starts_at=_at(outlook, times.next_seconds) if has_times else None,
        finishes_at=_finishes_at(outlook, entry, times) if has_times else None,
        remaining_seconds=times.remaining_seconds,
        pace_seconds=outlook.gap_seconds,
        waits_for=outlook.state.waits_for,
        approximate=bool(caveats),
        caveats=caveats,
    )


def _slots(
    outlook: Outlook, timetable: Timetable, waiting: _Waiting, ahead: Count
) -> Sequence[int]:
    """The slots that the first and the last of its batches and each of its retries get."""
    own_count = waiting.entry.counts[BatchStatus.YET_TO_START] - len(waiting.retries)
    others = [each for each in outlook.retries if each not in waiting.retries]

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


def _times(
    outlook: Outlook, timetable: Timetable | None, entry: IngestionEntry, slots: Sequence[int]
) -> _Times:
    if not _is_going_on(entry):
        return _Times(None, 0.0)
    ends = [end for ingestion_id, end in outlook.ends_seconds if ingestion_id == entry.ingestion_id]
    if not entry.counts[BatchStatus.YET_TO_START]:
        return _Times(None, max([0.0, *ends]))
    if timetable is None or not slots:
        return _Times(None, None)
    last_seconds = timetable.seconds_of(max(slots)) + outlook.call_seconds
    return _Times(timetable.seconds_of(min(slots)), max([last_seconds, *ends]))


def _finishes_at(outlook: Outlook, entry: IngestionEntry, times: _Times) -> datetime | None:
    if not _is_going_on(entry):
        return entry.last_completed_at
    return _at(outlook, times.remaining_seconds)


def _at(outlook: Outlook, seconds: float | None) -> datetime | None:
    return None if seconds is None else outlook.now.later(seconds).at


def _estimate_caveat(ahead: Count | None) -> Sequence[str]:
    if ahead is None or not ahead.is_estimate:
        return []
    return [ESTIMATED]
