"""What people ask the queue; nothing here changes a state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import batches, ingestion_status, sources
from ingest_app.queue.columns import TRIGGERED, WAITING


class BatchLine(NamedTuple):
    """One batch of an ingestion; `ids` is a JSON array as text, exactly as stored."""

    position: int
    ids: str
    status: str


@dataclass(frozen=True)
class IngestionStatus:
    """An ingestion, its state derived from all its batches, and those that were asked for."""

    ingestion_id: str
    status: str
    batch_count: int
    batches: tuple[BatchLine, ...]


def abandoned_sources(database: Database, configured: Collection[str]) -> Sequence[str]:
    """Sources that are not configured any more though batches of theirs have not ended."""
    unended = (
        select(batches.c.id).where(batches.c.source == sources.c.name, WAITING | TRIGGERED).exists()
    )
    query = select(sources.c.name).where(sources.c.name.not_in(configured), unended)
    with database.read() as connection:
        return connection.scalars(query.order_by(sources.c.name)).all()


def read_status(
    database: Database, ingestion_id: str, *, after: int = 0, limit: int | None = None
) -> IngestionStatus:
    """One consistent picture of an ingestion, batches in order (UnknownIngestion).

    after: only batches with a greater position. limit: at most so many; None for all.
    """
    lines = (
        select(batches.c.position, batches.c.ids, batches.c.status)
        .where(batches.c.ingestion_id == ingestion_id, batches.c.position > after)
        .order_by(batches.c.position)
        .limit(limit)
    )
    with database.read() as connection:
        view = ingestion_status
        row = connection.execute(
            select(view.c.status, view.c.batch_count).where(view.c.id == ingestion_id)
        ).first()
        if row is None:
            raise UnknownIngestion(ingestion_id)
        found = tuple(BatchLine(*line) for line in connection.execute(lines))
    return IngestionStatus(ingestion_id, row.status, row.batch_count, found)
