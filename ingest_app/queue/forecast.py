"""When waiting work will start and finish.

Order and pace are known, so the future is. How many slots go by before a batch's turn follows from
what waits (`waiting_counts`) and from when retries may go (`timetable`); how far slots are apart
from the latest dispatches (`measured_pace`). What may turn out otherwise is said in `caveats`. What
is handed over later with a higher priority goes first, which no forecast knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.queue.listing import (
    IngestionEntry,
    ListPage,
    Place,
    Wanted,
    find_ingestion,
    find_ingestions,
)
from ingest_app.queue.outlook import Outlook, outlook_of, outlooks_of, steady
from ingest_app.queue.timetable import Timetable
from ingest_app.queue.turns import Turns, find_turns
from ingest_app.settings import SourceSettings
from ingest_app.states import BatchStatus

ESTIMATED = "So many batches wait that they were estimated, not counted."
"""The caveat of figures from `waiting_counts` that are estimates."""


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
    timetable = outlook.timetable()
    turns = find_turns(connection, outlook, timetable, entries)
    return [
        _forecast(outlook, timetable, entry, turns.get(entry.ingestion_id)) for entry in entries
    ]


def _forecast(
    outlook: Outlook, timetable: Timetable, entry: IngestionEntry, turns: Turns | None
) -> Forecast:
    if not _is_going_on(entry):
        # Batches that a person ended in the database tell no time; the cancellation does.
        return _told(outlook, entry, entry.last_completed_at or entry.cancelled_at, 0.0, [])
    if turns is None:
        return _under_way(outlook, entry)
    ends = _ends_seconds(outlook, entry)
    last_seconds = outlook.end_of(timetable, turns.last_slot)
    remaining_seconds = None if last_seconds is None else max([last_seconds, *ends])
    caveats = [*outlook.caveats(), *([ESTIMATED] if turns.is_estimate else [])]
    return replace(
        _told(outlook, entry, outlook.at(remaining_seconds), remaining_seconds, caveats),
        batches_ahead=turns.next_slot,
        next_starts_at=outlook.at(outlook.start_of(timetable, turns.next_slot)),
    )


def _under_way(outlook: Outlook, entry: IngestionEntry) -> Forecast:
    """Its last calls end whatever holds the source."""
    if outlook.pace is None or outlook.pace.call_seconds is None:
        return _told(outlook, entry, None, None, ["Nothing tells yet how long a call takes."])
    ends = _ends_seconds(outlook, entry)
    caveats = ["A call takes longer than they do."] if min(ends, default=0) < 0 else []
    remaining_seconds = max([0.0, *ends])
    finishes_at = steady(outlook.now.later(remaining_seconds).at)
    return _told(outlook, entry, finishes_at, remaining_seconds, caveats)


def _ends_seconds(outlook: Outlook, entry: IngestionEntry) -> Sequence[float]:
    return [end for ingestion_id, end in outlook.ends_seconds if ingestion_id == entry.ingestion_id]


def _told(
    outlook: Outlook,
    entry: IngestionEntry,
    finishes_at: datetime | None,
    remaining_seconds: float | None,
    caveats: Sequence[str],
) -> Forecast:
    return Forecast(
        ingestion_id=entry.ingestion_id,
        status=entry.status,
        source=entry.source,
        waiting_count=entry.counts[BatchStatus.YET_TO_START],
        batches_ahead=0,
        next_starts_at=None,
        finishes_at=finishes_at,
        remaining_seconds=remaining_seconds,
        pace_seconds=outlook.gap_seconds,
        waits_for=outlook.state.waits_for,
        approximate=bool(caveats),
        caveats=caveats,
    )
