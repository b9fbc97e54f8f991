"""Record the outcome of a claimed batch; only the claim that holds it can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import StaleClaim
from ingest_app.items import FetchedRecord
from ingest_app.models import BatchStatus, DispatchOutcome, records
from ingest_app.queue.claim import Claim
from ingest_app.queue.columns import NO_LEASE, dispatch_columns
from ingest_app.queue.statements import UPDATE_DISPATCH, UPDATE_HELD_BATCH, UPDATE_OPEN_DISPATCH

_ERROR_LENGTH = 2_000


def complete_batch(
    database: Database,
    claim: Claim,
    *,
    fetched: Sequence[FetchedRecord],
    called: Moment | None,
    clock: Clock,
) -> None:
    """Store what was fetched, one record per ID in the batch's order, and complete the batch.

    called: when the call began. Raises StaleClaim when the batch was given to another worker; then
        nothing is stored.
    """
    with database.write() as connection:
        now = clock.read()
        done = {"status": BatchStatus.COMPLETED.value, "completed_at": now.at, "last_error": None}
        _let_go(connection, claim, done)
        _write_outcome(connection, claim, DispatchOutcome.COMPLETED, now, called=called)
        _store_records(connection, claim, fetched, now)


def retry_batch(
    database: Database,
    claim: Claim,
    *,
    error: str,
    delay_seconds: float,
    called: Moment | None,
    clock: Clock,
) -> None:
    """Let a batch that failed wait `delay_seconds` for another attempt. Raises StaleClaim."""
    with database.write() as connection:
        now = clock.read()
        waits = {
            "status": BatchStatus.YET_TO_START.value,
            "not_before": now.later(delay_seconds).at,
            "last_error": _storable(error),
        }
        _let_go(connection, claim, waits)
        _write_outcome(connection, claim, DispatchOutcome.RETRIED, now, called=called, error=error)


def fail_batch(
    database: Database, claim: Claim, *, error: str, called: Moment | None, clock: Clock
) -> None:
    """End a batch that failed for good. Raises StaleClaim."""
    with database.write() as connection:
        now = clock.read()
        ended = {
            "status": BatchStatus.FAILED.value,
            "completed_at": now.at,
            "last_error": _storable(error),
        }
        _let_go(connection, claim, ended)
        _write_outcome(connection, claim, DispatchOutcome.FAILED, now, called=called, error=error)


def release_batch(
    database: Database, claim: Claim, *, reason: str, called: Moment | None, clock: Clock
) -> None:
    """Hand a batch back unworked, at its old place in the queue.

    It costs no attempt, but the slot stays spent.
    called: when the call began; None when it was not made. Raises StaleClaim.
    """
    with database.write() as connection:
        now = clock.read()
        waits = {
            "status": BatchStatus.YET_TO_START.value,
            "attempt_count": claim.attempt - 1,
        }
        _let_go(connection, claim, waits)
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
        connection.execute(UPDATE_OPEN_DISPATCH, {"the_dispatch": claim.dispatch_id, **lost})


def _let_go(connection: Connection, claim: Claim, values: dict[str, Any]) -> None:
    held = {"the_batch": claim.batch_id, "the_token": claim.claim_token}
    if connection.execute(UPDATE_HELD_BATCH, {**held, **values, **NO_LEASE}).rowcount != 1:
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
        "error": error and _storable(error),
        **dispatch_columns(called),
    }
    connection.execute(UPDATE_DISPATCH, {"the_dispatch": claim.dispatch_id, **ended})


def _store_records(
    connection: Connection, claim: Claim, fetched: Sequence[FetchedRecord], now: Moment
) -> None:
    rows = [
        {
            "batch_id": claim.batch_id,
            "position": position,
            "item_id": _json(record.item_id),
            "outcome": record.outcome.value,
            "data": None if record.data is None else _json(record.data),
            "error": record.error,
            "fetched_at": now.at,
        }
        for position, record in enumerate(fetched, start=1)
    ]
    connection.execute(insert(records), rows)


def _json(value: object) -> str:
    """JSON text for people to read; ValueError for what JSON does not have."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, which JSON allows and UTF-8 does not, stays an escape.
    return text if _is_utf8(text) else json.dumps(value, allow_nan=False, separators=(",", ":"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _storable(error: str) -> str:
    return error[:_ERROR_LENGTH].encode(errors="backslashreplace").decode()
