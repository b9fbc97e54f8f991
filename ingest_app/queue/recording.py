"""The records of a batch: one for each of its IDs when it has ended, some of them before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from ingest_app.clock import Moment
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.prepared import change_each, fetch_all
from ingest_app.queue.statements import ADD_RECORD, RECORDS_OF_BATCH
from ingest_app.states import RecordOutcome

_ERROR_LENGTH = 2_000

Places = Mapping[int, ItemId]
"""IDs by their position in the batch, from 1."""


def places_of(ids: str) -> Places:
    """The places of a batch whose IDs are stored as this JSON array."""
    return dict(enumerate(json.loads(ids), start=1))


def unanswered(connection: Connection, batch_id: int, ids: str) -> tuple[Places, int]:
    """The places of a batch that have no record yet, and how many of its IDs were refused.

    ids: the batch's, as stored.
    """
    outcomes = {
        row.position: row.outcome
        for row in fetch_all(connection, RECORDS_OF_BATCH, {"the_batch": batch_id})
    }
    refused_count = sum(outcome == RecordOutcome.ERROR for outcome in outcomes.values())
    places = places_of(ids).items()
    return {at: item for at, item in places if at not in outcomes}, refused_count


def store_records(
    connection: Connection,
    batch_id: int,
    places: Places,
    fetched: Iterable[FetchedRecord],
    now: Moment,
) -> Places:
    """Store what was fetched for the IDs at these places, and return those that stay open."""
    by_id = {record.item_id: record for record in fetched}
    if not by_id:
        return places
    named = {position: item for position, item in places.items() if item in by_id}
    rows = [_row(batch_id, position, by_id[item], now) for position, item in named.items()]
    change_each(connection, ADD_RECORD, rows)
    return {position: item for position, item in places.items() if position not in named}


def close_records(
    connection: Connection, batch_id: int, places: Places, *, error: str, now: Moment
) -> None:
    """Store the same error for every ID at these places: the batch ends without them."""
    rows = [
        _row(batch_id, position, FetchedRecord(item, RecordOutcome.ERROR, error=error), now)
        for position, item in places.items()
    ]
    change_each(connection, ADD_RECORD, rows)


def storable(error: str) -> str:
    """An error's text as it is stored: of bounded length, and without what UTF-8 cannot hold."""
    return error[:_ERROR_LENGTH].encode(errors="backslashreplace").decode()


def _row(batch_id: int, position: int, record: FetchedRecord, now: Moment) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "position": position,
        "item_id": _json(record.item_id),
        "outcome": record.outcome.value,
        "data": None if record.data is None else _json(record.data),
        "error": record.error and storable(record.error),
        "fetched_at": now.at,
    }


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
