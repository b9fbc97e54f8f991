"""Leases: renewed while a worker lives, taken back when it gives no sign of life."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, select

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.models import batches, dispatches
from ingest_app.prepared import Row, change, fetch_value
from ingest_app.queue.claim import Claim
from ingest_app.queue.columns import (
    NO_LEASE,
    TRIGGERED,
    lease_columns,
    lease_is_over,
)
from ingest_app.queue.ending import note_end
from ingest_app.queue.recording import close_records, unanswered
from ingest_app.queue.statements import (
    ANY_IN_FLIGHT,
    IS_CANCELLED,
    UPDATE_BATCH,
    UPDATE_DISPATCH,
    UPDATE_HELD_BATCH,
)
from ingest_app.settings import SourceSettings
from ingest_app.states import BatchStatus, DispatchOutcome

_SILENT = "The worker gave no sign of life until its lease ran out."
_DEAD = "The worker died."
_OPEN_DISPATCH = and_(dispatches.c.batch_id == batches.c.id, dispatches.c.outcome.is_(None))


class Recovered(NamedTuple):
    """A batch that was taken back, from which worker (None if the ledger does not say) and why."""

    batch_id: int
    source: str
    worker: str | None
    reason: str


def renew_leases(
    database: Database, claims: Sequence[Claim], source: SourceSettings, *, clock: Clock
) -> None:
    """The heartbeat: the leases that these claims still hold last `lease_seconds` from now."""
    with database.write() as connection:
        until = lease_columns(clock.read(), source.lease_seconds)
        for claim in claims:
            held = {"the_batch": claim.batch_id, "the_token": claim.claim_token}
            change(connection, UPDATE_HELD_BATCH, {**held, **until})


def recover_expired_leases(
    database: Database,
    source: SourceSettings,
    *,
    clock: Clock,
    is_dead: Callable[[str], bool] = lambda _worker: False,
    may_judge: Callable[[Moment], bool] = lambda _now: True,
) -> Sequence[Recovered]:
    """Take back the source's batches whose lease has run out.

    They wait again, at their old place; those whose attempts are used up have failed.
    is_dead: tells of a worker of this machine's boot that it certainly runs no more; its leases end
        with it.
    may_judge: tells, at every look, whether a lease that is over speaks of its worker; see
        `watching`.
    """
    with database.read() as connection:
        if fetch_value(connection, ANY_IN_FLIGHT, {"the_source": source.name}) is None:
            return ()
    # To have taken the write lock is what a look consists of: so could whoever lives.
    with database.write() as connection:
        now = clock.read()
        judges = may_judge(now)
        lost = [
            batch
            for batch in _in_flight(connection, source, now)
            if (batch.is_over and judges)
            or (batch.boot_id == now.boot_id and is_dead(batch.worker or ""))
        ]
        return [_take_back(connection, batch, source.max_attempts, now) for batch in lost]


def _in_flight(connection: Connection, source: SourceSettings, now: Moment) -> Sequence[Row]:
    return connection.execute(
        select(
            batches.c.id.label("batch_id"),
            batches.c.ingestion_id,
            batches.c.attempt_count,
            batches.c.ids,
            dispatches.c.id.label("dispatch_id"),
            batches.c.source,
            dispatches.c.worker,
            batches.c.boot_id,
            lease_is_over(now, source.lease_seconds).label("is_over"),
        )
        .select_from(batches)
        .outerjoin(dispatches, _OPEN_DISPATCH)
        .where(batches.c.source == source.name, TRIGGERED)
        .order_by(batches.c.id)
    ).all()


def _take_back(connection: Connection, batch: Row, max_attempts: int, now: Moment) -> Recovered:
    error = _SILENT if batch.is_over else _DEAD
    status = _status_after(connection, batch, max_attempts)
    values: dict[str, Any] = {"status": status.value, "last_error": error}
    if status is BatchStatus.FAILED:
        rest, _ = unanswered(connection, batch.batch_id, batch.ids)
        close_records(connection, batch.batch_id, rest, error=error, now=now)
    if status is not BatchStatus.YET_TO_START:
        values["completed_at"] = now.at
    change(connection, UPDATE_BATCH, {"the_batch": batch.batch_id, **values, **NO_LEASE})
    if status is not BatchStatus.YET_TO_START:
        note_end(connection, batch.ingestion_id, now.at)
    lost = {"outcome": DispatchOutcome.LOST.value, "finished_at": now.at, "error": error}
    change(connection, UPDATE_DISPATCH, {"the_dispatch": batch.dispatch_id, **lost})
    return Recovered(batch.batch_id, source=batch.source, worker=batch.worker, reason=error)


def _status_after(connection: Connection, batch: Row, max_attempts: int) -> BatchStatus:
    if batch.attempt_count >= max_attempts:
        return BatchStatus.FAILED
    if fetch_value(connection, IS_CANCELLED, {"the_batch": batch.batch_id}):
        return BatchStatus.CANCELLED
    return BatchStatus.YET_TO_START
