"""Leases: renewed while a worker lives, taken back when it gives no sign of life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.models import BatchStatus, DispatchOutcome, batches, dispatches
from ingest_app.queue.claim import Claim
from ingest_app.queue.columns import (
    NO_LEASE,
    TRIGGERED,
    AnyRow,
    lease_columns,
    lease_is_over,
)
from ingest_app.queue.statements import UPDATE_BATCH, UPDATE_HELD_BATCH
from ingest_app.settings import SourceSettings

_LOST = "The worker gave no sign of life until its lease ran out."


def renew_leases(
    database: Database, claims: Sequence[Claim], source: SourceSettings, *, clock: Clock
) -> None:
    """The heartbeat: the leases that these claims still hold last `lease_seconds` from now."""
    with database.write() as connection:
        until = lease_columns(clock.read(), source.lease_seconds)
        for claim in claims:
            held = {"the_batch": claim.batch_id, "the_token": claim.claim_token}
            connection.execute(UPDATE_HELD_BATCH, {**held, **until})


def recover_expired_leases(
    database: Database, source: SourceSettings, *, clock: Clock
) -> Sequence[int]:
    """Take back the source's batches whose lease has run out, and return their ids.

    They wait again, at their old place; those whose attempts are used up have failed.
    """
    with database.read() as connection:
        if not _expired(connection, source, clock.read()):
            return ()
    with database.write() as connection:
        now = clock.read()
        expired = _expired(connection, source, now)
        for batch in expired:
            _take_back(connection, batch, source.max_attempts, now)
    return [batch.id for batch in expired]


def _expired(connection: Connection, source: SourceSettings, now: Moment) -> Sequence[AnyRow]:
    over = lease_is_over(now, source.lease_seconds)
    return connection.execute(
        select(batches.c.id, batches.c.attempt_count)
        .where(batches.c.source == source.name, TRIGGERED, over)
        .order_by(batches.c.id)
    ).all()


def _take_back(connection: Connection, batch: AnyRow, max_attempts: int, now: Moment) -> None:
    values: dict[str, Any] = {"status": BatchStatus.YET_TO_START.value, "last_error": _LOST}
    if batch.attempt_count >= max_attempts:
        values |= {"status": BatchStatus.FAILED.value, "completed_at": now.at}
    connection.execute(UPDATE_BATCH, {"the_batch": batch.id, **values, **NO_LEASE})
    connection.execute(
        update(dispatches)
        .where(dispatches.c.batch_id == batch.id, dispatches.c.outcome.is_(None))
        .values(outcome=DispatchOutcome.LOST.value, finished_at=now.at, error=_LOST)
    )
