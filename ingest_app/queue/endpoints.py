"""Whom to tell of the end of an ingestion: kept in line with the settings."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import webhook_deliveries, webhook_endpoints
from ingest_app.prepared import change, fetch_value

ENDPOINT = "default"
"""The name of the one endpoint that the settings can have."""

CHUNK_COUNT = 500
"""So many rows in one transaction: dispatching waits for the write lock meanwhile."""

_REMOVED = "The settings have no webhook_url any more."

_NAMED = webhook_endpoints.c.name == bindparam("the_endpoint")
_THE_ENDPOINT = select(webhook_endpoints.c.name).where(_NAMED)
_ADD = insert(webhook_endpoints)
_REMOVE = delete(webhook_endpoints).where(_NAMED)
_WAITS = webhook_deliveries.c.next_attempt_at.is_not(None)
_WAITING = select(webhook_deliveries.c.id).where(_WAITS).limit(literal_column("1"))
_GIVE_UP_SOME = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.id.in_(
            select(webhook_deliveries.c.id).where(_WAITS).limit(literal_column(str(CHUNK_COUNT)))
        )
    )
    .values(next_attempt_at=None, claim_token=None, last_error=_REMOVED)
)


def keep_endpoint(database: Database, *, is_wanted: bool, clock: Clock) -> int:
    """Let ends from now on be told, or not any more; how many that waited were given up for that.

    Writes only when something has to change, and in small transactions.
    """
    named = {"the_endpoint": ENDPOINT}
    with database.read() as connection:
        is_there = fetch_value(connection, _THE_ENDPOINT, named) is not None
        is_awaited = fetch_value(connection, _WAITING, {}) is not None
    if is_wanted:
        if not is_there:
            _add(database, clock)
        return 0
    if is_there:
        with database.write() as connection:
            change(connection, _REMOVE, named)
    return _give_up_all(database, clock) if is_awaited or is_there else 0


def _add(database: Database, clock: Clock) -> None:
    with database.write() as connection:
        # Another process may have been quicker.
        if fetch_value(connection, _THE_ENDPOINT, {"the_endpoint": ENDPOINT}) is None:
            change(connection, _ADD, {"name": ENDPOINT, "created_at": clock.read().at})


def _give_up_all(database: Database, clock: Clock) -> int:
    count, of_chunk = 0, CHUNK_COUNT
    while of_chunk == CHUNK_COUNT:
        with database.write() as connection:
            of_chunk = change(connection, _GIVE_UP_SOME, {"given_up_at": clock.read().at})
        count += of_chunk
    return count
