"""Deliveries as the operator sees them: listed, and sent again."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Update, bindparam, literal_column, select, update

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.errors import NoEndpoint, UnknownDelivery
from ingest_app.models import webhook_deliveries, webhook_endpoints
from ingest_app.prepared import Row, change, fetch_all, fetch_first
from ingest_app.queue.endpoints import CHUNK_COUNT, ENDPOINT

_deliveries = webhook_deliveries.c
_NEWEST = select(webhook_deliveries).order_by(_deliveries.id.desc()).limit(bindparam("the_limit"))
_ENDPOINT = select(webhook_endpoints).where(webhook_endpoints.c.name == ENDPOINT)
_FORGET_FAILURES = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.name == ENDPOINT)
    .values(failure_count=0, failed_delivery_id=None, backoff_until=None)
)
_AGAIN = update(webhook_deliveries).values(
    attempt_count=0, delivered_at=None, given_up_at=None, last_error=None
)
# Not one that is being sent at this moment.
_IS_FREE = _deliveries.claim_token.is_(None)
_AGAIN_ONE = _AGAIN.where(_deliveries.id == bindparam("the_delivery"), _IS_FREE)
_AGAIN_GIVEN_UP = _AGAIN_ONE.where(_deliveries.given_up_at.is_not(None))
_THE_DELIVERY = select(_deliveries.id).where(_deliveries.id == bindparam("the_delivery"))
_GIVEN_UP_SOME = (
    select(_deliveries.id)
    .where(_deliveries.given_up_at.is_not(None), _deliveries.id > bindparam("the_last"))
    .order_by(_deliveries.id)
    .limit(literal_column(str(CHUNK_COUNT)))
)


class DeliveryState(enum.StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"  # for its first attempt, or for another
    SENDING = "sending"  # a worker has it
    DELIVERED = "delivered"  # the endpoint has taken it
    GIVEN_UP = "given_up"  # the endpoint will not be told


@dataclass(frozen=True)
class DeliveryEntry:
    """A delivery; times are aware UTC, and None for what has not happened or will not."""

    delivery_id: int
    ingestion_id: str
    ended_at: datetime
    state: DeliveryState
    attempt_count: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None


def list_deliveries(database: Database, *, limit: int) -> Sequence[DeliveryEntry]:
    """The newest deliveries first."""
    with database.read() as connection:
        return [_entry(row) for row in fetch_all(connection, _NEWEST, {"the_limit": limit})]


def resend_deliveries(database: Database, delivery_ids: Sequence[int], *, clock: Clock) -> int:
    """Let these be sent at once, with all attempts before them; how many will be.

    Those that are being sent at this moment are left alone, and the endpoint is asked again even if
    it failed before. Raises NoEndpoint, and UnknownDelivery; then nothing has changed.
    """
    with database.write() as connection:
        _check_endpoint(connection)
        for delivery_id in delivery_ids:
            if fetch_first(connection, _THE_DELIVERY, {"the_delivery": delivery_id}) is None:
                raise UnknownDelivery(delivery_id)
        return _resend(connection, _AGAIN_ONE, delivery_ids, clock.read().at)


def resend_given_up(database: Database, *, clock: Clock) -> int:
    """The same for all that were given up, some in each transaction.

    What was deleted or resent by others meanwhile is left out.
    """
    count, last = 0, 0
    while True:
        with database.read() as connection:
            found = [row.id for row in fetch_all(connection, _GIVEN_UP_SOME, {"the_last": last})]
        if not found:
            return count
        with database.write() as connection:
            _check_endpoint(connection)
            count += _resend(connection, _AGAIN_GIVEN_UP, found, clock.read().at)
        last = found[-1]


def _check_endpoint(connection: Connection) -> None:
    if fetch_first(connection, _ENDPOINT, {}) is None:
        raise NoEndpoint


def _resend(
    connection: Connection, again: Update, delivery_ids: Sequence[int], now: datetime
) -> int:
    change(connection, _FORGET_FAILURES, {})
    return sum(
        change(connection, again, {"the_delivery": each, "next_attempt_at": now})
        for each in delivery_ids
    )


def _entry(row: Row) -> DeliveryEntry:
    return DeliveryEntry(
        delivery_id=row.id,
        ingestion_id=row.ingestion_id,
        ended_at=row.ended_at,
        state=_state(row),
        attempt_count=row.attempt_count,
        next_attempt_at=row.next_attempt_at,
        delivered_at=row.delivered_at,
        given_up_at=row.given_up_at,
        last_error=row.last_error,
    )


def _state(row: Row) -> DeliveryState:
    if row.delivered_at is not None:
        return DeliveryState.DELIVERED
    if row.given_up_at is not None:
        return DeliveryState.GIVEN_UP
    return DeliveryState.WAITING if row.claim_token is None else DeliveryState.SENDING
