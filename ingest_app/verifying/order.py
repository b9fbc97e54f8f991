"""P4: whether a batch was ever dispatched while a better one waited."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import starmap
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, select

from ingest_app.models import batches, dispatches, ingestions, packed_batches
from ingest_app.queue.columns import PACKED_WAITING
from ingest_app.states import BatchStatus
from ingest_app.verifying.findings import Finding

PRUNED = select(ingestions.c.id).where(ingestions.c.pruned_at.is_not(None))
"""Ingestions that are being deleted: some of their rows are gone."""


class QueueKey(NamedTuple):
    """What puts a batch in its place: it goes in the order of these."""

    priority_rank: int
    created_at: datetime
    batch_id: int


class Choice(NamedTuple):
    """One claim: the batch it took, and the newest batch it could have taken."""

    dispatch_id: int
    batch: QueueKey
    newest_batch_id: int


def find_order_violations(connection: Connection, source: str) -> list[Finding]:
    """Every dispatch of the source before which a better batch waited.

    Only batches that wait for the first time count as better: when a retry was due is not in the
    ledger.
    """
    return judge_order(_batches(connection, source), _choices(connection, source))


def judge_order(by_id: Iterable[QueueKey], choices: Iterable[Choice]) -> list[Finding]:
    """The same from batches in the order of their ids and choices in the order they were made."""
    findings, waiting, gone = [], list[QueueKey](), set[int]()
    arrivals = iter(by_id)
    arriving = next(arrivals, None)
    for choice in choices:
        while arriving is not None and arriving.batch_id <= choice.newest_batch_id:
            heapq.heappush(waiting, arriving)
            arriving = next(arrivals, None)
        while waiting and waiting[0].batch_id in gone:
            gone.discard(heapq.heappop(waiting).batch_id)
        if waiting and waiting[0] < choice.batch:
            where = f"dispatch {choice.dispatch_id}: batch {waiting[0].batch_id} should have gone"
            findings.append(Finding("P4", "A batch went while a better one waited.", where))
        gone.add(choice.batch.batch_id)
    return findings


def _batches(connection: Connection, source: str) -> Iterator[QueueKey]:
    table = batches.c
    query = (
        select(table.priority_rank, table.created_at, table.id)
        # When a cancelled batch left the queue is not known, nor of one that is being deleted.
        .where(
            table.source == source,
            table.status != BatchStatus.CANCELLED.value,
            table.ingestion_id.not_in(PRUNED),
        )
        .order_by(table.id)
    )
    packed = packed_batches.c
    # None of a pack has gone, and its first goes before the others.
    first_packed = (
        select(packed.priority_rank, packed.created_at, packed.first_batch_id)
        .where(packed.source == source, PACKED_WAITING)
        .order_by(packed.first_batch_id)
    )
    rows = (connection.execute(each) for each in (query, first_packed))
    yield from heapq.merge(*(starmap(QueueKey, each) for each in rows), key=attrgetter("batch_id"))


def _choices(connection: Connection, source: str) -> Iterator[Choice]:
    query = (
        select(
            dispatches.c.id,
            dispatches.c.newest_batch_id,
            batches.c.priority_rank,
            batches.c.created_at,
            batches.c.id.label("batch_id"),
        )
        .join(batches, batches.c.id == dispatches.c.batch_id)
        .where(dispatches.c.source == source)
        .order_by(dispatches.c.id)
    )
    for row in connection.execute(query):
        key = QueueKey(row.priority_rank, row.created_at, row.batch_id)
        yield Choice(row.id, key, row.newest_batch_id)
