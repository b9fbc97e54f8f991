"""Take the next batch of a source and its slot, in one transaction, before the call is made."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import SlotTaken, StaleClaim
from ingest_app.items import ItemId
from ingest_app.prepared import Row, change, fetch_first, fetch_one, fetch_value
from ingest_app.queue import pacing, retrying
from ingest_app.queue.columns import dispatch_columns, lease_columns, slot_columns, slot_of
from ingest_app.queue.packing import unpack_next
from ingest_app.queue.recording import Places, places_of, unanswered
from ingest_app.queue.refusing import (
    Refusal,
    Wait,
    count_free_places,
    is_stopped,
    refusal,
)
from ingest_app.queue.statements import (
    ADD_DISPATCH,
    ADD_SOURCE,
    ADMIT_DUE_RETRIES,
    IS_CANCELLED,
    IS_HELD,
    LAST_DISPATCH,
    NEWEST_BATCH_ID,
    NEXT_BATCH,
    SOURCE,
    UPDATE_BATCH,
    UPDATE_DISPATCH,
    UPDATE_SOURCE,
)
from ingest_app.settings import SourceSettings
from ingest_app.states import BatchStatus


@dataclass(frozen=True)
class Claim:
    """A batch that a worker holds, and the permission to start its call.

    claimed: the call may start until `margin_seconds` after it; later, `hold_slot` comes first.
    places: the IDs to ask for, by their position in the batch; those that have a record already are
        left out.
    attempt: which one this is, from 1.
    refused_count: how many of the batch's IDs the upstream refused before.
    answered: a moment by which its call was over; None before.
    """

    batch_id: int
    ingestion_id: str
    source: str
    places: Places
    attempt: int
    claim_token: str
    dispatch_id: int
    claimed: Moment
    interval_seconds: float
    margin_seconds: float
    refused_count: int = 0
    answered: Moment | None = None

    @property
    def ids(self) -> tuple[ItemId, ...]:
        """What to ask the upstream for, in the order of the request."""
        return tuple(self.places.values())

    def is_late(self, now: Moment) -> bool:
        """True when a call that starts `now` would be too late for its slot."""
        return self.interval_seconds > 0 and now.seconds_since(self.claimed) > self.margin_seconds


@dataclass(frozen=True)
class _Turn:
    """A worker may claim now; `state` is the source's row as it was before."""

    source: SourceSettings
    state: Row
    worker: str
    newest_batch_id: int


def claim_next_batch(
    database: Database, source: SourceSettings, *, worker: str, clock: Clock
) -> Claim | Refusal:
    """Give the batch whose turn it is to `worker`, and spend the slot.

    Lowest `(priority_rank, created_at, id)` first. Raises DatabaseError, and then no call may be
    made.
    """
    with database.write() as connection:
        turn = _take_turn(connection, source, worker=worker, clock=clock)
        if isinstance(turn, Refusal):
            return turn
        batch = _next_batch(connection, source, clock.read())
        if batch is None:  # only what cannot be unpacked
            return Refusal(Wait.EMPTY)
        claim = _claim(connection, turn, batch, clock.read())
        _spend_slot(connection, claim)
        return claim


def claim_all_that_may_go(
    database: Database, source: SourceSettings, *, worker: str, clock: Clock
) -> Sequence[Claim] | Refusal:
    """The same for a source without an interval: as many batches as may be in flight.

    Their calls all begin now, so none of them is taken before its time.
    """
    with database.write() as connection:
        turn = _take_turn(connection, source, worker=worker, clock=clock)
        if isinstance(turn, Refusal):
            return turn
        claims = []
        for _ in range(count_free_places(connection, source, turn.state)):
            batch = _next_batch(connection, source, clock.read())
            if batch is None:
                break
            claims.append(_claim(connection, turn, batch, clock.read()))
        if not claims:  # only what cannot be unpacked
            return Refusal(Wait.EMPTY)
        _spend_slot(connection, claims[0])
        return claims


def hold_slot(database: Database, claim: Claim, *, clock: Clock) -> Claim:
    """Move the slot of a claim whose call starts late, and give it twice the margin.

    Raises StaleClaim when the batch was taken away, SlotTaken when another claim has had the slot
    since, or the source or the ingestion was stopped meanwhile: then no call may be made.
    """
    with database.write() as connection:
        now = clock.read()
        _check_still_next(connection, claim, now)
        moved = replace(claim, claimed=now, margin_seconds=claim.margin_seconds * 2)
        _spend_slot(connection, moved)
        spent = {"margin_seconds": moved.margin_seconds, **dispatch_columns(moved.claimed)}
        change(connection, UPDATE_DISPATCH, {"the_dispatch": claim.dispatch_id, **spent})
    return moved


def _take_turn(
    connection: Connection, source: SourceSettings, *, worker: str, clock: Clock
) -> _Turn | Refusal:
    state = _source_state(connection, source)
    now = clock.read()
    slot = slot_of(state)
    if pacing.says_nothing(slot, source.interval_seconds, now):
        return _start_pace_anew(connection, source, slot, now)
    refused = refusal(connection, source, state, now)
    if refused:
        return refused
    _admit_due_retries(connection, source, now)
    return _Turn(source, state, worker, fetch_value(connection, NEWEST_BATCH_ID, {}))


def _source_state(connection: Connection, source: SourceSettings) -> Row:
    state = fetch_first(connection, SOURCE, {"the_source": source.name})
    return state or fetch_one(connection, ADD_SOURCE, {"name": source.name})


def _start_pace_anew(
    connection: Connection, source: SourceSettings, slot: pacing.Slot, now: Moment
) -> Refusal:
    slot = pacing.anew(slot, source.interval_seconds, now)
    change(connection, UPDATE_SOURCE, {"the_source": source.name, **slot_columns(slot)})
    return Refusal(Wait.SLOT, pacing.wait_seconds(slot, source.interval_seconds, now))


def _admit_due_retries(connection: Connection, source: SourceSettings, now: Moment) -> None:
    longest = now.later(retrying.LONGEST_DELAY_SECONDS)
    due = {"the_source": source.name, "the_present": now.at, "the_longest_wait": longest.at}
    change(connection, ADMIT_DUE_RETRIES, due)


def _next_batch(connection: Connection, source: SourceSettings, now: Moment) -> Row | None:
    batch = fetch_first(connection, NEXT_BATCH, {"the_source": source.name})
    while batch is None or batch.packed_goes_first:
        if not unpack_next(connection, source.name, now):
            break
        batch = fetch_first(connection, NEXT_BATCH, {"the_source": source.name})
    return batch


def _claim(connection: Connection, turn: _Turn, batch: Row, now: Moment) -> Claim:
    claim = _make_claim(connection, turn.source, batch, now)
    _trigger(connection, claim, turn.source.lease_seconds)
    return replace(claim, dispatch_id=_write_ledger(connection, claim, turn))


def _make_claim(connection: Connection, source: SourceSettings, batch: Row, now: Moment) -> Claim:
    places, refused_count = (
        unanswered(connection, batch.id, batch.ids)
        if batch.has_records
        else (places_of(batch.ids), 0)
    )
    return Claim(
        batch_id=batch.id,
        ingestion_id=batch.ingestion_id,
        source=source.name,
        places=places,
        attempt=batch.attempt_count + 1,
        claim_token=secrets.token_hex(8),
        dispatch_id=0,  # known when the ledger has it
        claimed=now,
        interval_seconds=source.interval_seconds,
        margin_seconds=pacing.margin_seconds(source.interval_seconds),
        refused_count=refused_count,
    )


def _spend_slot(connection: Connection, claim: Claim) -> None:
    slot = pacing.next_slot(claim.claimed, claim.interval_seconds, claim.margin_seconds)
    change(connection, UPDATE_SOURCE, {"the_source": claim.source, **slot_columns(slot)})


def _trigger(connection: Connection, claim: Claim, lease_seconds: float) -> None:
    triggered = {
        "status": BatchStatus.TRIGGERED.value,
        "triggered_at": claim.claimed.at,
        "attempt_count": claim.attempt,
        "claim_token": claim.claim_token,
        **lease_columns(claim.claimed, lease_seconds),
    }
    change(connection, UPDATE_BATCH, {"the_batch": claim.batch_id, **triggered})


def _write_ledger(connection: Connection, claim: Claim, turn: _Turn) -> int:
    opened = pacing.opening(slot_of(turn.state), claim.interval_seconds)
    # On today's wall clock, whatever it showed when the slot was recorded.
    late_seconds = None if opened is None else claim.claimed.seconds_since(opened)
    row = {
        "source": claim.source,
        "batch_id": claim.batch_id,
        "attempt": claim.attempt,
        "worker": turn.worker,
        "slot_opened_at": None if late_seconds is None else claim.claimed.later(-late_seconds).at,
        "interval_seconds": claim.interval_seconds,
        "margin_seconds": claim.margin_seconds,
        "newest_batch_id": turn.newest_batch_id,
        **dispatch_columns(claim.claimed),
    }
    return int(fetch_value(connection, ADD_DISPATCH, row))


def _check_still_next(connection: Connection, claim: Claim, now: Moment) -> None:
    held = {"the_batch": claim.batch_id, "the_token": claim.claim_token}
    if fetch_value(connection, IS_HELD, held) is None:
        raise StaleClaim(claim.batch_id)
    if fetch_value(connection, LAST_DISPATCH, {"the_source": claim.source}) != claim.dispatch_id:
        raise SlotTaken(claim.batch_id)
    state = fetch_one(connection, SOURCE, {"the_source": claim.source})
    # To connect may have taken long, and the answer to a pause or a cancel is out.
    if is_stopped(state, now) or fetch_value(
        connection, IS_CANCELLED, {"the_batch": claim.batch_id}
    ):
        raise SlotTaken(claim.batch_id)
