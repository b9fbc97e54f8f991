"""Batches and records put into a state as a person with `sqlite3` would."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import insert, select

from ingest_app.models import batches, records
from ingest_app.states import BatchStatus, RecordOutcome
from tests.support.queues import Queue


def put(queue: Queue, ingestion_id: str, position: int, state: BatchStatus) -> None:
    """Put a batch of an ingestion into a state."""
    leased = state is BatchStatus.TRIGGERED
    queue.change(
        "UPDATE batches SET status = :state, claim_token = :token, lease_expires_at = :until"
        " WHERE ingestion_id = :ingestion AND position = :position",
        ingestion=ingestion_id,
        state=state.value,
        token="t" if leased else None,
        until="2026-03-01 12:00:30.000000" if leased else None,
        position=position,
    )


def put_record(
    queue: Queue,
    ingestion_id: str,
    position: int,
    *,
    batch: int = 1,
    outcome: RecordOutcome = RecordOutcome.FETCHED,
    data: object = None,
    error: str | None = None,
    fetched_at: datetime | None = None,
) -> None:
    """Store the record of the ID at a position of a batch."""
    with queue.database.write() as connection:
        query = select(batches.c.id, batches.c.ids).where(
            batches.c.ingestion_id == ingestion_id, batches.c.position == batch
        )
        row = connection.execute(query).one()
        stored = {
            "batch_id": row.id,
            "position": position,
            "item_id": json.dumps(json.loads(row.ids)[position - 1], ensure_ascii=False),
            "outcome": outcome.value,
            "data": None if data is None else json.dumps(data, separators=(",", ":")),
            "error": error,
            "fetched_at": fetched_at or queue.clock.read().at,
        }
        connection.execute(insert(records), stored)
