"""Why a source has nothing to dispatch now, and until when."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy import Connection

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.prepared import Row, fetch_first, fetch_value
from ingest_app.queue import pacing, retrying
from ingest_app.queue.columns import slot_of
from ingest_app.queue.statements import (
    ANY_THAT_GOES_NOW,
    FIRST_RETRY_AT,
    IN_FLIGHT_COUNT,
    SOURCE,
)
from ingest_app.settings import SourceSettings


class Wait(enum.StrEnum):
    """What a source waits for."""

    EMPTY = "empty"  # work
    RETRY = "retry"  # the time at which what failed may go again
    SLOT = "slot"  # its next slot
    IN_FLIGHT = "in_flight"  # the end of one of the batches in flight
    PAUSED = "paused"  # the person who paused it
    DEFERRED = "deferred"  # the time the upstream named
    BACKOFF = "backoff"  # some time, after failures


@dataclass(frozen=True)
class Refusal:
    """Nothing can be claimed.

    wait_seconds: until it is worth asking again; None when only an event can change the answer.
    """

    reason: Wait
    wait_seconds: float | None = None


def find_refusal(database: Database, source: SourceSettings, *, clock: Clock) -> Refusal | None:
    """Why a claim would be refused, without the write lock; None when it is worth a try."""
    with database.read() as connection:
        state = fetch_first(connection, SOURCE, {"the_source": source.name})
        return refusal(connection, source, state, clock.read()) if state else None


def refusal(
    connection: Connection, source: SourceSettings, state: Row, now: Moment
) -> Refusal | None:
    """The same inside a transaction; `state` is the source's row."""
    return _closed(source, state, now) or _nothing_may_go(connection, source, state, now)


def count_free_places(connection: Connection, source: SourceSettings, state: Row) -> int:
    """How many more batches of the source may be in flight; `state` is its row."""
    most = 1 if retrying.breaker_is_open(state.failure_count) else source.max_in_flight
    return most - int(fetch_value(connection, IN_FLIGHT_COUNT, {"the_source": source.name}))


def goes_any_now(connection: Connection, source: SourceSettings) -> bool:
    """True when a batch waits that need not wait for a time of its own."""
    return fetch_value(connection, ANY_THAT_GOES_NOW, {"the_source": source.name}) is not None


def is_stopped(state: Row, now: Moment) -> bool:
    """True when a source may make no call, whatever its slot; `state` is its row."""
    return _held(state, now) is not None


def _held(state: Row, now: Moment) -> Refusal | None:
    if state.paused_at is not None:
        return Refusal(Wait.PAUSED)
    if state.deferred_until is not None and state.deferred_until > now.at:
        return Refusal(Wait.DEFERRED, (state.deferred_until - now.at).total_seconds())
    if state.backoff_until is not None:
        wait_seconds = retrying.wait_seconds(state.backoff_until, now.at)
        if wait_seconds:
            return Refusal(Wait.BACKOFF, wait_seconds)
    return None


def _closed(source: SourceSettings, state: Row, now: Moment) -> Refusal | None:
    held = _held(state, now)
    if held:
        return held
    slot = slot_of(state)
    wait_seconds = pacing.wait_seconds(slot, source.interval_seconds, now)
    # A slot that says nothing is recorded anew by a claim, so one has to be tried.
    if wait_seconds > 0 and not pacing.says_nothing(slot, source.interval_seconds, now):
        return Refusal(Wait.SLOT, wait_seconds)
    return None


def _nothing_may_go(
    connection: Connection, source: SourceSettings, state: Row, now: Moment
) -> Refusal | None:
    if count_free_places(connection, source, state) <= 0:
        return Refusal(Wait.IN_FLIGHT)
    if goes_any_now(connection, source):
        return None
    return _waits_for_retry(connection, source, now)


def _waits_for_retry(connection: Connection, source: SourceSettings, now: Moment) -> Refusal | None:
    not_before = fetch_value(connection, FIRST_RETRY_AT, {"the_source": source.name})
    if not_before is None:
        return Refusal(Wait.EMPTY)
    wait_seconds = retrying.wait_seconds(not_before, now.at)
    return Refusal(Wait.RETRY, wait_seconds) if wait_seconds else None
