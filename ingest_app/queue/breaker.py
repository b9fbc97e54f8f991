"""Whose failure it was: the source's when batch after batch fails, and then it backs off."""

from __future__ import annotations

import math

from sqlalchemy import Connection

from ingest_app.clock import Moment
from ingest_app.prepared import change, fetch_one
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim
from ingest_app.queue.recording import storable
from ingest_app.queue.statements import FORGET_FAILURES, SOURCE, UPDATE_SOURCE


def note_success(connection: Connection, source: str) -> None:
    """The upstream answers: whatever failed before is no reason to hold back any more."""
    change(connection, FORGET_FAILURES, {"the_source": source})


def note_rejection(connection: Connection, source: str, *, error: str) -> None:
    """The upstream answers, and says never: people should see why, should it say so to all."""
    note_success(connection, source)
    change(connection, UPDATE_SOURCE, {"the_source": source, "last_error": storable(error)})


def note_failure(
    connection: Connection,
    claim: Claim,
    *,
    error: str,
    jitter: float,
    now: Moment,
    is_deferral: bool = False,
) -> None:
    """Count a failure, and let the source back off when there were many of different batches.

    jitter: from 0 to 1; see `retrying`.
    is_deferral: the upstream wants to be left alone and does not say for how long, so that the
        source backs off from the first one on.
    """
    state = fetch_one(connection, SOURCE, {"the_source": claim.source})
    # One bad batch is not the source's fault, however often it is tried.
    counts = is_deferral or state.failed_batch_id != claim.batch_id
    failure_count = state.failure_count + counts
    delay = retrying.backoff_seconds if is_deferral else retrying.breaker_seconds
    seconds = delay(failure_count, jitter=jitter)
    values = {
        "failure_count": failure_count,
        "failed_batch_id": claim.batch_id,
        "last_error": storable(error),
        "backoff_until": retrying.pause_until(state.backoff_until, now.at, seconds),
    }
    change(connection, UPDATE_SOURCE, {"the_source": claim.source, **values})


def defer_source(
    connection: Connection, source: str, delay_seconds: float, *, error: str, now: Moment
) -> None:
    """Let the source wait so long from now, if it does not wait longer already, and say why."""
    state = fetch_one(connection, SOURCE, {"the_source": source})
    # An upstream may ask for any time.
    deferred_until = retrying.pause_until(
        state.deferred_until, now.at, delay_seconds, longest_seconds=math.inf
    )
    values = {"last_error": storable(error), "deferred_until": deferred_until}
    change(connection, UPDATE_SOURCE, {"the_source": source, **values})
