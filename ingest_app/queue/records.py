"""What was fetched for an ingestion so far, in the order of its request, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Integer, bindparam, func, literal_column, or_, select

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import batches, ingestions, packed_batches, records
from ingest_app.prepared import Row, fetch_first, fetch_value
from ingest_app.states import RecordOutcome

BATCHES_A_READ = 500
RECORDS_A_READ = 1_000
LENGTH_A_READ = 4 * 1024 * 1024
"""A read ends at the first of these, the last one in characters of data: so neither what is held in
memory nor the time of one transaction grows with the ingestion.
"""

# Not the bare column, or SQLite could begin with the records and would have to sort.
_OF_THE_BATCH = records.c.batch_id == batches.c.id + literal_column("0")
_THE_BATCH = bindparam("the_batch", type_=Integer)
_RECORDS = (
    select(
        batches.c.position.label("batch"),
        records.c.position.label("record"),
        records.c.item_id,
        records.c.outcome,
        records.c.data,
        records.c.error,
        records.c.fetched_at,
    )
    .join_from(batches, records, _OF_THE_BATCH)
    .where(
        batches.c.ingestion_id == bindparam("the_ingestion"),
        batches.c.position >= _THE_BATCH,
        batches.c.position < bindparam("the_end"),
        or_(batches.c.position > _THE_BATCH, records.c.position > bindparam("the_record")),
    )
    .order_by(batches.c.position, records.c.position)
)
_FIRST_IDS = (
    select(batches.c.ids)
    .where(batches.c.ingestion_id == ingestions.c.id, batches.c.position == 1)
    .scalar_subquery()
)
_FIRST_PACKED_IDS = (
    select(func.json_extract(packed_batches.c.ids, "$[0]"))
    .where(packed_batches.c.ingestion_id == ingestions.c.id, packed_batches.c.first_position == 1)
    .scalar_subquery()
)
_SIZES = select(
    ingestions.c.batch_count,
    func.json_array_length(func.coalesce(_FIRST_IDS, _FIRST_PACKED_IDS)).label("batch_size"),
).where(ingestions.c.id == bindparam("the_ingestion"), ingestions.c.pruned_at.is_(None))
_IS_THERE = select(ingestions.c.id).where(
    ingestions.c.id == bindparam("the_ingestion"), ingestions.c.pruned_at.is_(None)
)
_DATA = 4  # where a row has it
_RECORDS_OF_OUTCOME = _RECORDS.where(records.c.outcome == bindparam("the_outcome"))


class RecordLine(NamedTuple):
    """What became of one ID.

    position: of the ID in the request, from 1. item_id, data: JSON text exactly as stored.
    """

    position: int
    batch_id: str
    item_id: str
    outcome: str
    data: str | None
    error: str | None
    fetched_at: datetime


class _Bookmark(NamedTuple):
    """A record by the positions of its batch and within it; 0 is before the first."""

    batch: int
    record: int


@dataclass(frozen=True)
class IngestionRecords:
    """The records of an ingestion that exists; they are read when they are asked for.

    batch_size: how many IDs each of its batches has; the last may have fewer.
    """

    database: Database
    ingestion_id: str
    batch_count: int
    batch_size: int

    def read(
        self, *, after: int = 0, outcome: RecordOutcome | None = None, limit: int | None = None
    ) -> Iterator[Sequence[RecordLine]]:
        """The records after a position of the request, in its order, some at a time.

        Each part is read in a transaction of its own, which has ended when it is handed out, so
        that whoever sends it on may take their time. What is stored meanwhile is seen if its place
        is still to come. Raises UnknownIngestion when it is deleted meanwhile.
        outcome: only records with this one. limit: at most so many; None for all.
        """
        at = _Bookmark(after // self.batch_size + 1, after % self.batch_size)
        left = limit
        while at.batch <= self.batch_count and left != 0:
            rows, at = self._read_some(at, outcome, min(left or RECORDS_A_READ, RECORDS_A_READ))
            left = None if left is None else left - len(rows)
            if rows:
                yield [self._line(row) for row in rows]

    def _read_some(
        self, at: _Bookmark, outcome: RecordOutcome | None, most: int
    ) -> tuple[Sequence[Row], _Bookmark]:
        rows: list[Row] = []
        length, end = 0, at.batch + BATCHES_A_READ
        chosen = {
            "the_ingestion": self.ingestion_id,
            "the_batch": at.batch,
            "the_record": at.record,
            "the_end": end,
        }
        query = _RECORDS_OF_OUTCOME.params(the_outcome=outcome.value) if outcome else _RECORDS
        # A cursor left open would hold the snapshot beyond its transaction.
        with self.database.read() as connection, connection.execute(query, chosen) as found:
            # Or what is left of it would look like all of it.
            if fetch_value(connection, _IS_THERE, {"the_ingestion": self.ingestion_id}) is None:
                raise UnknownIngestion(self.ingestion_id)
            for row in found:
                rows.append(row)
                length += len(row[_DATA] or "")
                if len(rows) == most or length >= LENGTH_A_READ:
                    return rows, _Bookmark(row.batch, row.record)
        return rows, _Bookmark(end, 0)

    def _line(self, row: Row) -> RecordLine:
        # Unpacked, since a row's attributes take longer than the database.
        batch, record, *found = row
        position = (batch - 1) * self.batch_size + record
        return RecordLine(position, f"{self.ingestion_id}-{batch}", *found)


def find_records(database: Database, ingestion_id: str) -> IngestionRecords:
    """The records of an ingestion, to be read (UnknownIngestion)."""
    with database.read() as connection:
        row = fetch_first(connection, _SIZES, {"the_ingestion": ingestion_id})
    if row is None or row.batch_size is None:
        raise UnknownIngestion(ingestion_id)
    return IngestionRecords(database, ingestion_id, row.batch_count, max(1, row.batch_size))
