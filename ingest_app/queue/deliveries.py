"""Tell an endpoint of the end of an ingestion: claim what is due, and record what came of it.

Only the claim that holds a delivery can record: False is returned when another one has it by now.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, select, update

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import webhook_deliveries, webhook_endpoints
from ingest_app.prepared import Row, change, fetch_first, fetch_one
from ingest_app.queue import retrying
from ingest_app.queue.endpoints import ENDPOINT
from ingest_app.queue.recording import storable

LEASE_SECONDS = 60.0
"""More than a call may take; then another worker may try."""

LONGEST_DELAY_SECONDS = 6 * 3_600.0
"""Nothing waits longer for its next attempt; what seems to was put off before the wall clock was
set back."""

_deliveries, _endpoints = webhook_deliveries.c, webhook_endpoints.c
_WAITS = _deliveries.next_attempt_at.is_not(None)
_NAMED = _endpoints.name == bindparam("the_endpoint")
_ONE: ColumnElement[int] = literal_column("1")
_NEXT_AT = _deliveries.next_attempt_at
_LOOK = select(
    select(func.count()).where(_NAMED).select_from(webhook_endpoints).scalar_subquery(),
    select(_endpoints.backoff_until).where(_NAMED).scalar_subquery().label("backoff_until"),
    # Both ends of the index.
    select(_NEXT_AT).where(_WAITS).order_by(_NEXT_AT).limit(_ONE).scalar_subquery().label("first"),
    select(_NEXT_AT)
    .where(_WAITS)
    .order_by(_NEXT_AT.desc())
    .limit(_ONE)
    .scalar_subquery()
    .label("last"),
)
_FIRST = select(webhook_deliveries).where(_WAITS).order_by(_NEXT_AT).limit(_ONE)
_LAST = select(webhook_deliveries).where(_WAITS).order_by(_NEXT_AT.desc()).limit(_ONE)
_ENDPOINT = select(webhook_endpoints).where(_NAMED)
_UPDATE_ENDPOINT = update(webhook_endpoints).where(_NAMED)
# A pause stays: the endpoint may have asked for it since this one was claimed.
_NOTE_SUCCESS = _UPDATE_ENDPOINT.where(_endpoints.failure_count > 0).values(
    failure_count=0, failed_delivery_id=None
)
_END_TURN = _UPDATE_ENDPOINT.where(
    (_endpoints.backoff_until == bindparam("the_lease"))
    # What is over would come back when the wall clock is set back.
    | (_endpoints.backoff_until <= bindparam("the_present"))
    | (_endpoints.backoff_until > bindparam("the_longest_wait"))
).values(backoff_until=None)
_WHOSE_TURN = (
    select(_deliveries.id)
    .where(_deliveries.claim_token.is_not(None))
    .where(_deliveries.next_attempt_at == bindparam("the_lease"))
    .limit(_ONE)
)
_CLAIM = update(webhook_deliveries).where(_deliveries.id == bindparam("the_delivery"))
_UPDATE_HELD = _CLAIM.where(_deliveries.claim_token == bindparam("the_token"))
_THE_ENDPOINT = {"the_endpoint": ENDPOINT}


@dataclass(frozen=True)
class Delivery:
    """An end to tell of, held by this claim until its lease ends; `attempt` counts from 1."""

    delivery_id: int
    ingestion_id: str
    ended_at: datetime
    attempt: int
    claim_token: str
    lease_expires_at: datetime


def seconds_until_due(database: Database, *, clock: Clock) -> float | None:
    """Seconds until a claim is worth a try, 0 when it is; None when nothing waits."""
    with database.read() as connection:
        seen = fetch_one(connection, _LOOK, _THE_ENDPOINT)
    if not seen[0] or seen.first is None:
        return None
    now = clock.read().at
    soonest = min(_wait(seen.first, now), _wait(seen.last, now))
    return max(soonest, _wait(seen.backoff_until, now))


def claim_delivery(database: Database, *, clock: Clock) -> Delivery | None:
    """Take the delivery that has been due for longest; None when there is none, or a pause.

    While the endpoint fails for one delivery after the other, one at a time is all that is granted.
    """
    with database.write() as connection:
        now = clock.read().at
        endpoint = fetch_first(connection, _ENDPOINT, _THE_ENDPOINT)
        if endpoint is None or _wait(endpoint.backoff_until, now):
            return None
        found = _first_due(connection, now)
        return None if found is None else _claim(connection, found, endpoint, now)


def mark_delivered(database: Database, delivery: Delivery, *, clock: Clock) -> bool:
    """Record that the endpoint has been told."""
    with database.write() as connection:
        now = clock.read().at
        ended = {"delivered_at": now, "next_attempt_at": None, "last_error": None}
        holds = _let_go(connection, delivery, now, ended)
        if holds:
            change(connection, _NOTE_SUCCESS, _THE_ENDPOINT)
        return holds


def put_off(
    database: Database,
    delivery: Delivery,
    *,
    error: str,
    delay_seconds: float,
    pause_seconds: float,
    jitter: float,
    clock: Clock,
) -> bool:
    """Let a delivery that failed wait for another attempt.

    pause_seconds: for how long the endpoint asked to be left alone; 0 when it did not. It is left
        alone also when it fails again and again; see `retrying`. jitter: from 0 to 1.
    """
    with database.write() as connection:
        now = clock.read().at
        next_attempt_at = now + timedelta(seconds=delay_seconds)
        waits = {"next_attempt_at": next_attempt_at, "last_error": storable(error)}
        holds = _let_go(connection, delivery, now, waits)
        if holds:
            _note_failure(connection, delivery, now, pause_seconds=pause_seconds, jitter=jitter)
        return holds


def give_up(
    database: Database, delivery: Delivery, *, error: str, jitter: float, clock: Clock
) -> bool:
    """Record that it failed for good."""
    with database.write() as connection:
        now = clock.read().at
        holds = _let_go(connection, delivery, now, _given_up(now, error))
        if holds:
            _note_failure(connection, delivery, now, pause_seconds=0.0, jitter=jitter)
        return holds


def drop_delivery(database: Database, delivery: Delivery, *, reason: str, clock: Clock) -> bool:
    """Record that there is nothing to tell; nothing was sent: it says nothing of the endpoint."""
    with database.write() as connection:
        now = clock.read().at
        return _let_go(connection, delivery, now, _given_up(now, reason))


def _wait(at: datetime | None, now: datetime) -> float:
    return retrying.wait_seconds(at, now, longest_seconds=LONGEST_DELAY_SECONDS)


def _first_due(connection: Connection, now: datetime) -> Row | None:
    for which in (_FIRST, _LAST):
        found = fetch_first(connection, which, {})
        if found is not None and not _wait(found.next_attempt_at, now):
            return found
    return None


def _claim(connection: Connection, found: Row, endpoint: Row, now: datetime) -> Delivery:
    delivery = Delivery(
        delivery_id=found.id,
        ingestion_id=found.ingestion_id,
        ended_at=found.ended_at,
        attempt=found.attempt_count + 1,
        claim_token=secrets.token_hex(8),
        lease_expires_at=now + timedelta(seconds=LEASE_SECONDS),
    )
    held = {
        "claim_token": delivery.claim_token,
        "attempt_count": delivery.attempt,
        "next_attempt_at": delivery.lease_expires_at,
    }
    change(connection, _CLAIM, {"the_delivery": delivery.delivery_id, **held})
    if retrying.breaker_is_open(endpoint.failure_count):
        turn = {"backoff_until": delivery.lease_expires_at}
        change(connection, _UPDATE_ENDPOINT, {**_THE_ENDPOINT, **turn})
    return delivery


def _let_go(
    connection: Connection, delivery: Delivery, now: datetime, values: dict[str, Any]
) -> bool:
    held = {"the_delivery": delivery.delivery_id, "the_token": delivery.claim_token}
    if not change(connection, _UPDATE_HELD, {**held, **values, "claim_token": None}):
        return False
    turn = {
        "the_lease": delivery.lease_expires_at,
        "the_present": now,
        "the_longest_wait": now + timedelta(seconds=LONGEST_DELAY_SECONDS),
    }
    change(connection, _END_TURN, {**_THE_ENDPOINT, **turn})
    return True


def _given_up(now: datetime, error: str) -> dict[str, Any]:
    return {"given_up_at": now, "next_attempt_at": None, "last_error": storable(error)}


def _note_failure(
    connection: Connection,
    delivery: Delivery,
    now: datetime,
    *,
    pause_seconds: float,
    jitter: float,
) -> None:
    endpoint = fetch_first(connection, _ENDPOINT, _THE_ENDPOINT)
    if endpoint is None:  # removed in the meantime
        return
    is_another = endpoint.failed_delivery_id != delivery.delivery_id
    failure_count = endpoint.failure_count + is_another
    seconds = max(pause_seconds, retrying.breaker_seconds(failure_count, jitter=jitter))
    failed = {
        "failure_count": failure_count,
        "failed_delivery_id": delivery.delivery_id,
        "backoff_until": retrying.pause_until(
            _pause_of(connection, endpoint), now, seconds, longest_seconds=LONGEST_DELAY_SECONDS
        ),
    }
    change(connection, _UPDATE_ENDPOINT, {**_THE_ENDPOINT, **failed})


def _pause_of(connection: Connection, endpoint: Row) -> datetime | None:
    """Until when it is to be left alone; None also when only another delivery has its turn."""
    until: datetime | None = endpoint.backoff_until
    is_turn = until and fetch_first(connection, _WHOSE_TURN, {"the_lease": until})
    return None if is_turn else until
