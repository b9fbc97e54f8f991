"""What people ask the queue; nothing here changes a state."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import batches, packed_batches, sources
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.queue.held_parts import HeldParts
from ingest_app.queue.status_parts import PART_SIZE, States, read_parts, read_states, read_whole
from ingest_app.states import BatchStatus

LONGEST_SECONDS = 60.0
"""How long one status is read from the same snapshot. SQLite's log cannot start anew while one that
is older is read, and grows.
"""


@dataclass(frozen=True)
class IngestionStatus:
    """An ingestion, its state derived from all its batches, and those that were asked for.

    parts: the batches in order as JSON text, the parts to be joined with commas. They are read
        when they are asked for where `version` is not None; then `close` must be called.
    next_after: the position after which there are more than were asked for; None when there are
        none.
    version: changes when the state of any batch does, over restarts too, and with nothing else;
        None when all of the text is in `parts`.
    """

    ingestion_id: str
    status: BatchStatus
    batch_count: int
    parts: Iterator[str]
    next_after: int | None = None
    version: str | None = None

    def close(self) -> None:
        """Let go of the snapshot."""
        if isinstance(self.parts, HeldParts):
            self.parts.close()


def abandoned_sources(database: Database, configured: Collection[str]) -> Sequence[str]:
    """Sources that are not configured any more though batches of theirs have not ended."""
    unended = (
        select(batches.c.id).where(batches.c.source == sources.c.name, WAITING | TRIGGERED).exists()
    )
    packed = (
        select(packed_batches.c.first_batch_id)
        .where(packed_batches.c.source == sources.c.name, PACKED_WAITING)
        .exists()
    )
    query = select(sources.c.name).where(sources.c.name.not_in(configured), unended | packed)
    with database.read() as connection:
        return connection.scalars(query.order_by(sources.c.name)).all()


def read_status(
    database: Database, ingestion_id: str, *, after: int = 0, limit: int | None = None
) -> IngestionStatus:
    """One consistent picture of an ingestion, batches in order (UnknownIngestion).

    Up to PART_SIZE batches, and those of a page, are read at once, more of them part by part.
    after: only batches with a greater position. limit: at most so many; None for all.
    """
    with ExitStack() as transaction:
        connection = transaction.enter_context(database.read())
        if after == 0 and limit is None:
            whole = read_whole(connection, ingestion_id)
            if whole is not None:
                return _status(ingestion_id, whole.states, iter([whole.text]))
        states = read_states(connection, ingestion_id)
        if not states.batch_count:
            raise UnknownIngestion(ingestion_id)
        if limit is not None or states.batch_count - after <= PART_SIZE:
            return _page(connection, ingestion_id, states, after=after, limit=limit)
        parts = read_parts(connection, ingestion_id, states.packs, after=after)
        texts = (part.text for part in parts)
        held = HeldParts(texts, transaction.pop_all(), LONGEST_SECONDS)
        return _status(ingestion_id, states, held, version=_version(states, after))


def _page(
    connection: Connection, ingestion_id: str, states: States, *, after: int, limit: int | None
) -> IngestionStatus:
    parts = list(read_parts(connection, ingestion_id, states.packs, after=after, limit=limit))
    last_position = parts[-1].last_position if parts else states.batch_count
    is_full = sum(part.batch_count for part in parts) == limit
    rest = read_parts(connection, ingestion_id, states.packs, after=last_position, limit=1)
    next_after = last_position if is_full and next(rest, None) else None
    texts = iter([part.text for part in parts])
    return _status(ingestion_id, states, texts, next_after=next_after)


def _status(
    ingestion_id: str, states: States, parts: Iterator[str], **beside: Any
) -> IngestionStatus:
    return IngestionStatus(ingestion_id, states.derived(), states.batch_count, parts, **beside)


def _version(states: States, after: int) -> str:
    # What is packed does not change but by a change of state, so its places stand for its batches.
    return hashlib.sha256(repr((after, states)).encode()).hexdigest()
