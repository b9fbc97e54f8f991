"""Whose failure it was: the source's when batch after batch fails, and then the source waits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from ingest_app.clock import Moment
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim
from ingest_app.queue.recording import storable
from ingest_app.queue.statements import FORGET_FAILURES, SOURCE, UPDATE_SOURCE


def note_success(connection: Connection, source: str) -> None:
    """The upstream answers: whatever failed before is no reason to hold back any more."""
    connection.execute(FORGET_FAILURES, {"the_source": source})


def note_failure(
    connection: Connection,
    claim: Claim,
    *,
    error: str,
    jitter: float,
    now: Moment,
    pauses: bool = False,
) -> None:
    """Count a failure, and let the source wait when there were many of different batches.

    pauses: the upstream asked for a pause of unknown length, so the source waits in any case.
    """
    state = connection.execute(SOURCE, {"the_source": claim.source}).one()
    # One bad batch is not the source's fault, however often it is tried; a wish for a pause is.
    counts = pauses or state.failed_batch_id != claim.batch_id
    failure_count = state.failure_count + counts
    counted = {"failure_count": failure_count, "failed_batch_id": claim.batch_id}
    connection.execute(UPDATE_SOURCE, {"the_source": claim.source, **counted})
    delay_seconds = retrying.breaker_seconds(failure_count, jitter=jitter)
    if pauses:
        delay_seconds = retrying.backoff_seconds(failure_count, jitter=jitter)
    defer_source(connection, claim.source, delay_seconds, error=error, now=now)


def defer_source(
    connection: Connection, source: str, delay_seconds: float, *, error: str, now: Moment
) -> None:
    """Let the source wait so long from now, if it does not wait longer already, and say why."""
    state = connection.execute(SOURCE, {"the_source": source}).one()
    until = _later(state.deferred_until, now.later(delay_seconds).at) if delay_seconds else None
    values = {"last_error": storable(error), "deferred_until": until or state.deferred_until}
    connection.execute(UPDATE_SOURCE, {"the_source": source, **values})


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
