"""How each source stands: its pace, what waits for it, and why nothing goes now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import NoSuchSource
from ingest_app.models import batches, packed_batches, sources
from ingest_app.prepared import Row, fetch_first, fetch_value
from ingest_app.queue import pacing
from ingest_app.queue.columns import PACKED_WAITING, WAITING, slot_of
from ingest_app.queue.reasons import NOT_CONFIGURED, NOTHING_WAITS, reason
from ingest_app.queue.refusing import Wait, refusal
from ingest_app.queue.statements import IN_FLIGHT_COUNT, SOURCE
from ingest_app.queue.waiting_counts import Count, Line, count_waiting
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority

_CLOCKS_DRIFT = timedelta(seconds=0.1)

_RETRIES = (
    select(batches.c.priority_rank, func.count().label("count"))
    .where(batches.c.source == bindparam("the_source"), WAITING, batches.c.not_before.is_not(None))
    .group_by(batches.c.priority_rank)
)
_NEXT_WITH_WORK = (
    select(func.min(batches.c.source)).where(
        batches.c.source > bindparam("the_name"), WAITING, batches.c.not_before.is_(None)
    ),
    select(func.min(packed_batches.c.source)).where(
        packed_batches.c.source > bindparam("the_name"), PACKED_WAITING
    ),
)


@dataclass(frozen=True)
class SourceState:
    """A source without what is secret of its settings; times are aware UTC.

    kind, interval_seconds, batch_size: None when it is not configured, as one that was taken out of
        the settings. next_slot_at: None when the slot is open.
    waiting_is_estimated: True when so many wait that `waiting` is near the truth only, see
        `waiting_counts`.
    waits_for: a sentence for people that says why nothing goes now; None when something does.
    """

    name: str
    kind: str | None
    configured: bool
    interval_seconds: float | None
    batch_size: int | None
    next_slot_at: datetime | None
    waiting: Mapping[str, int]
    waiting_is_estimated: bool
    in_flight_count: int
    paused_at: datetime | None
    deferred_until: datetime | None
    backoff_until: datetime | None
    failure_count: int
    last_error: str | None
    waits_for: str | None


@dataclass(frozen=True)
class _Seen:
    row: Row | None
    source: SourceSettings | None
    waiting: Mapping[Priority, Count]
    in_flight_count: int


def read_sources(
    database: Database, configured: Mapping[str, SourceSettings], *, clock: Clock
) -> Sequence[SourceState]:
    """All sources that are configured, and those that only the database knows, by name."""
    with database.read() as connection:
        now = clock.read()
        return [
            state_of(connection, name, configured.get(name), now)
            for name in known_sources(connection, configured)
        ]


def read_source(
    database: Database, name: str, configured: Mapping[str, SourceSettings], *, clock: Clock
) -> SourceState:
    """One of them (NoSuchSource)."""
    with database.read() as connection:
        known = known_sources(connection, configured)
        if name not in known:
            raise NoSuchSource(name, known)
        return state_of(connection, name, configured.get(name), clock.read())


def known_sources(
    connection: Connection, configured: Mapping[str, SourceSettings]
) -> Sequence[str]:
    """The names of all sources that are configured, have a row or have work that waits."""
    stored = connection.scalars(select(sources.c.name))
    return sorted({*configured, *stored, *_with_work(connection)})


def state_of(
    connection: Connection, name: str, source: SourceSettings | None, now: Moment
) -> SourceState:
    """The same inside a transaction; `source` is None when it is not configured."""
    row = fetch_first(connection, SOURCE, {"the_source": name})
    seen = _Seen(
        row,
        source,
        _waiting_counts(connection, name),
        fetch_value(connection, IN_FLIGHT_COUNT, {"the_source": name}),
    )
    return SourceState(
        name=name,
        kind=getattr(source, "kind", None),
        configured=source is not None,
        interval_seconds=getattr(source, "interval_seconds", None),
        batch_size=getattr(source, "batch_size", None),
        next_slot_at=_next_slot_at(row, source, now),
        waiting={str(priority): count.number for priority, count in seen.waiting.items()},
        waiting_is_estimated=any(count.is_estimate for count in seen.waiting.values()),
        in_flight_count=seen.in_flight_count,
        paused_at=getattr(row, "paused_at", None),
        deferred_until=getattr(row, "deferred_until", None),
        backoff_until=getattr(row, "backoff_until", None),
        failure_count=getattr(row, "failure_count", 0),
        last_error=getattr(row, "last_error", None),
        waits_for=_waits_for(connection, seen, now),
    )


def _with_work(connection: Connection) -> Iterator[str]:
    # One look-up for each; DISTINCT would read the index of all that waits.
    for query in _NEXT_WITH_WORK:
        name = fetch_value(connection, query, {"the_name": ""})
        while name is not None:
            yield name
            name = fetch_value(connection, query, {"the_name": name})


def _waiting_counts(connection: Connection, name: str) -> Mapping[Priority, Count]:
    retries = dict.fromkeys(Priority, Count(0))
    for rank, count in connection.execute(_RETRIES, {"the_source": name}):
        retries[list(Priority)[rank]] = Count(count)
    return {
        priority: retries[priority] + count_waiting(connection, Line(name, priority.rank))
        for priority in Priority
    }


def _next_slot_at(row: Row | None, source: SourceSettings | None, now: Moment) -> datetime | None:
    if row is None or source is None:
        return None
    slot = slot_of(row)
    wait_seconds = pacing.wait_seconds(slot, source.interval_seconds, now)
    if not wait_seconds or pacing.says_nothing(slot, source.interval_seconds, now):
        return None
    opens, by_today = pacing.opening(slot, source.interval_seconds), now.later(wait_seconds)
    # As recorded, so that it stands still, unless the wall clock was set since.
    if opens is not None and abs(by_today.at - opens.at) <= _CLOCKS_DRIFT:
        return opens.at
    return by_today.at


def _waits_for(connection: Connection, seen: _Seen, now: Moment) -> str | None:
    row, source = seen.row, seen.source
    is_idle = not any(count.number for count in seen.waiting.values())
    if source is None:
        return NOTHING_WAITS if is_idle else NOT_CONFIGURED
    refused = refusal(connection, source, row, now) if row else None
    # A slot that is not open yet is no news where nothing wants it.
    if is_idle and (refused is None or refused.reason in (Wait.SLOT, Wait.IN_FLIGHT)):
        return NOTHING_WAITS
    if row is None or refused is None:
        return None
    until = _next_slot_at(row, source, now) if refused.reason is Wait.SLOT else None
    if until is None and refused.wait_seconds is not None:
        until = now.later(refused.wait_seconds).at
    return reason(refused, row, until=until, in_flight_count=seen.in_flight_count)
