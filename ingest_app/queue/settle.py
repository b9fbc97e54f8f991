"""Record the outcome of a claimed batch; only the claim that holds it can.

In each verb `called` is when the call began, None when it was not made, and `fetched` what it
brought, which is stored in the same transaction. StaleClaim is raised when the batch was given to
another worker, and then nothing is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import StaleClaim
from ingest_app.items import FetchedRecord
from ingest_app.prepared import change, fetch_value
from ingest_app.queue import pacing
from ingest_app.queue.breaker import defer_source, note_failure, note_rejection, note_success
from ingest_app.queue.claim import Claim
from ingest_app.queue.columns import NO_LEASE, dispatch_columns, slot_columns
from ingest_app.queue.ending import note_end
from ingest_app.queue.recording import close_records, storable, store_records
from ingest_app.queue.statements import (
    BRING_SLOT_FORWARD,
    IS_CANCELLED,
    UPDATE_DISPATCH,
    UPDATE_HELD_BATCH,
    UPDATE_OPEN_DISPATCH,
)
from ingest_app.states import BatchStatus, DispatchOutcome, RecordOutcome


def complete_batch(
    database: Database,
    claim: Claim,
    *,
    fetched: Sequence[FetchedRecord],
    called: Moment | None,
    clock: Clock,
) -> None:
    """Store the last of the batch's records, and end it.

    It is completed, or has failed when the upstream refused any of its IDs.
    """
    with database.write() as connection:
        now = clock.read()
        if called is not None:
            note_success(connection, claim.source)
        refused_count = claim.refused_count + _refused_count(fetched)
        if refused_count:
            error = f"The upstream refused {refused_count} of its IDs."
            _end(connection, claim, BatchStatus.FAILED, now, called=called, error=error)
        else:
            _end(connection, claim, BatchStatus.COMPLETED, now, called=called)
        store_records(connection, claim.batch_id, claim.places, fetched, now)


def retry_batch(
    database: Database,
    claim: Claim,
    *,
    error: str,
    delay_seconds: float,
    jitter: float,
    called: Moment | None,
    clock: Clock,
    fetched: Sequence[FetchedRecord] = (),
) -> None:
    """Let a batch that failed wait `delay_seconds` for another attempt at what is missing.

    jitter: from 0 to 1, for the pause of a source that fails again and again; see `retrying`.
    """
    with database.write() as connection:
        now = clock.read()
        waits = {"not_before": now.later(delay_seconds).at, "last_error": storable(error)}
        _hand_back(connection, claim, waits, now)
        _write_outcome(connection, claim, DispatchOutcome.RETRIED, now, called=called, error=error)
        store_records(connection, claim.batch_id, claim.places, fetched, now)
        note_failure(connection, claim, error=error, jitter=jitter, now=now)


def defer_batch(
    database: Database,
    claim: Claim,
    *,
    error: str,
    delay_seconds: float | None,
    jitter: float,
    called: Moment | None,
    clock: Clock,
    fetched: Sequence[FetchedRecord] = (),
) -> None:
    """Let the source wait `delay_seconds`, and the batch with it, at its old place.

    It costs no attempt. delay_seconds: None for the longer the oftener it happens on end.
    """
    with database.write() as connection:
        now = clock.read()
        waits = {"attempt_count": claim.attempt - 1, "last_error": storable(error)}
        _hand_back(connection, claim, waits, now)
        _write_outcome(connection, claim, DispatchOutcome.DEFERRED, now, called=called, error=error)
        store_records(connection, claim.batch_id, claim.places, fetched, now)
        if delay_seconds is None:
            note_failure(connection, claim, error=error, jitter=jitter, now=now, is_deferral=True)
        else:
            defer_source(connection, claim.source, delay_seconds, error=error, now=now)


def fail_batch(
    database: Database,
    claim: Claim,
    *,
    error: str,
    is_outage: bool,
    jitter: float,
    called: Moment | None,
    clock: Clock,
    fetched: Sequence[FetchedRecord] = (),
) -> None:
    """End a batch that failed for good; the IDs that were not fetched get the error.

    is_outage: False when the upstream answered, and said no.
    """
    with database.write() as connection:
        now = clock.read()
        _end(connection, claim, BatchStatus.FAILED, now, called=called, error=error)
        rest = store_records(connection, claim.batch_id, claim.places, fetched, now)
        close_records(connection, claim.batch_id, rest, error=error, now=now)
        if is_outage:
            note_failure(connection, claim, error=error, jitter=jitter, now=now)
        else:
            note_rejection(connection, claim.source, error=error)


def release_batch(
    database: Database, claim: Claim, *, reason: str, called: Moment | None, clock: Clock
) -> None:
    """Hand a batch back unworked, at its old place in the queue.

    It costs no attempt, but the slot stays spent.
    """
    with database.write() as connection:
        now = clock.read()
        _hand_back(connection, claim, {"attempt_count": claim.attempt - 1}, now)
        _write_outcome(
            connection, claim, DispatchOutcome.RELEASED, now, called=called, error=reason
        )


def write_off(database: Database, claim: Claim, *, called: Moment | None, clock: Clock) -> None:
    """Close the ledger's row of a claim that was lost, if whoever took the batch left it open."""
    with database.write() as connection:
        lost = {
            "outcome": DispatchOutcome.LOST.value,
            "finished_at": clock.read().at,
            "error": "The batch was taken away from its worker.",
            **dispatch_columns(called),
        }
        change(connection, UPDATE_OPEN_DISPATCH, {"the_dispatch": claim.dispatch_id, **lost})


def _refused_count(fetched: Sequence[FetchedRecord]) -> int:
    return sum(record.outcome is RecordOutcome.ERROR for record in fetched)


def _hand_back(connection: Connection, claim: Claim, values: dict[str, Any], now: Moment) -> None:
    values = {"status": BatchStatus.YET_TO_START.value, **values}
    if fetch_value(connection, IS_CANCELLED, {"the_batch": claim.batch_id}):
        cancelled = {"status": BatchStatus.CANCELLED.value, "completed_at": now.at}
        values |= {**cancelled, "not_before": None}
    _let_go(connection, claim, values)
    if values["status"] == BatchStatus.CANCELLED.value:
        note_end(connection, claim.ingestion_id, now.at)


def _end(
    connection: Connection,
    claim: Claim,
    status: BatchStatus,
    now: Moment,
    *,
    called: Moment | None,
    error: str | None = None,
) -> None:
    ended = {
        "status": status.value,
        "completed_at": now.at,
        "last_error": error and storable(error),
    }
    _let_go(connection, claim, ended)
    note_end(connection, claim.ingestion_id, now.at)
    outcome = DispatchOutcome(status.value)
    _write_outcome(connection, claim, outcome, now, called=called, error=error)


def _let_go(connection: Connection, claim: Claim, values: dict[str, Any]) -> None:
    held = {"the_batch": claim.batch_id, "the_token": claim.claim_token}
    if change(connection, UPDATE_HELD_BATCH, {**held, **values, **NO_LEASE}) != 1:
        raise StaleClaim(claim.batch_id)


def _write_outcome(
    connection: Connection,
    claim: Claim,
    outcome: DispatchOutcome,
    now: Moment,
    *,
    called: Moment | None,
    error: str | None = None,
) -> None:
    ended = {
        "outcome": outcome.value,
        "finished_at": now.at,
        "error": error and storable(error),
        **dispatch_columns(called),
    }
    change(connection, UPDATE_DISPATCH, {"the_dispatch": claim.dispatch_id, **ended})
    if claim.answered is not None and claim.interval_seconds:
        _bring_slot_forward(connection, claim, claim.answered)


def _bring_slot_forward(connection: Connection, claim: Claim, answered: Moment) -> None:
    # What has been answered has left, so the margin for a call that leaves late is not needed any
    # more; unless another claim has had the next slot already. Not from when the call began: what
    # the machine makes it wait from there to the wire would be lacking in the next gap.
    slot = pacing.next_slot(answered, claim.interval_seconds, 0.0)
    columns = slot_columns(slot)
    which = {
        "the_source": claim.source,
        "the_dispatch": claim.dispatch_id,
        "the_boot": columns["boot_id"],
        "the_boot_seconds": columns["next_slot_boot_seconds"],
    }
    change(connection, BRING_SLOT_FORWARD, {**which, **columns})
