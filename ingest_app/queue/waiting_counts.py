"""How many batches wait, and how many of them go before another: exact, or estimated where many.

A queue of ten million batches is not counted row by row each time somebody looks. What is packed is
summed up, a row for up to 500 batches. Of what has a row of its own up to `COUNTED_MOST` are
counted; beyond that the rest is estimated from evenly spread probes of its ids.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)

from ingest_app.models import batches, packed_batches
from ingest_app.prepared import fetch_all, fetch_value
from ingest_app.queue.columns import PACKED_WAITING, WAITING
from ingest_app.queue.statements import NEWEST_BATCH_ID
from ingest_app.sqlite import array_elements

COUNTED_MOST = 20_000
"""How many rows of a line are counted; it takes a few milliseconds."""

PROBE_COUNT = 2_000
"""How many ids an estimate looks up. Its standard error is at most 1.1% of the ids in question."""

_GOLDEN_RATIO = 0.618_033_988_749_895


class QueuePlace(NamedTuple):
    """Where a batch stands in its line, by its `id` in the queue's order."""

    created_at: datetime
    batch_id: int


class Line(NamedTuple):
    """What waits for one source with one priority and may go at once, in order."""

    source: str
    priority_rank: int


@dataclass(frozen=True)
class Count:
    """A number of batches."""

    number: int
    is_estimate: bool = False

    def __add__(self, other: Count) -> Count:
        """Both together."""
        return Count(self.number + other.number, self.is_estimate or other.is_estimate)


_HEAD = QueuePlace(datetime.min.replace(tzinfo=UTC), 0)
_END = QueuePlace(datetime.max.replace(tzinfo=UTC), 2**63 - 1)

_TIME = batches.c.created_at.type
_START_PLACE = tuple_(bindparam("the_start", type_=_TIME), bindparam("the_first", type_=Integer))
_END_PLACE = tuple_(bindparam("the_end", type_=_TIME), bindparam("the_last", type_=Integer))
_PLACE = tuple_(batches.c.created_at, batches.c.id)
_PACK_PLACE = tuple_(packed_batches.c.created_at, packed_batches.c.first_batch_id)
_IN_LINE = (
    batches.c.source == bindparam("the_source"),
    WAITING,
    batches.c.not_before.is_(None),
    batches.c.priority_rank == bindparam("the_rank"),
)
_ROWS = (
    select(batches.c.id)
    .where(*_IN_LINE, _PLACE >= _START_PLACE, _PLACE < _END_PLACE)
    .limit(bindparam("the_most", type_=Integer))
)
_COUNT = select(func.count()).select_from(_ROWS.subquery())
_PACKED_SUM = select(func.coalesce(func.sum(packed_batches.c.batch_count), 0)).where(
    packed_batches.c.source == bindparam("the_source"),
    PACKED_WAITING,
    packed_batches.c.priority_rank == bindparam("the_rank"),
    _PACK_PLACE >= _START_PLACE,
    _PACK_PLACE < _END_PLACE,
)
_FIRST_ID = (
    select(batches.c.id)
    .where(*_IN_LINE, _PLACE >= _START_PLACE)
    .order_by(batches.c.created_at, batches.c.id)
    .limit(literal_column("1", Integer))
)
_LAST_ID = (
    select(batches.c.id)
    .where(*_IN_LINE)
    .order_by(batches.c.created_at.desc(), batches.c.id.desc())
    .limit(literal_column("1", Integer))
)
_PROBES = array_elements(bindparam("the_ids", type_=Text))
# An outer join, so that SQLite looks each probe up and not the probes in the line.
_PROBED = select(batches.c.created_at, batches.c.id).join_from(
    _PROBES, batches, and_(batches.c.id == _PROBES.c.value, *_IN_LINE), isouter=True
)


def count_waiting(connection: Connection, line: Line) -> Count:
    """How many batches are in the line."""
    return count_ahead(connection, line, [_END])[0]


def count_ahead(
    connection: Connection, line: Line, places: Sequence[QueuePlace]
) -> Sequence[Count]:
    """How many batches of the line go before each of these places, which ascend."""
    both = zip(
        _packed_ahead(connection, line, places), _rows_ahead(connection, line, places), strict=True
    )
    return [packed + rows for packed, rows in both]


def _packed_ahead(
    connection: Connection, line: Line, places: Sequence[QueuePlace]
) -> Sequence[Count]:
    counts, total = [], 0
    for start, end in pairwise([_HEAD, *places]):
        total += fetch_value(connection, _PACKED_SUM, _between(line, start, end))
        counts.append(Count(total))
    return counts


def _rows_ahead(
    connection: Connection, line: Line, places: Sequence[QueuePlace]
) -> Sequence[Count]:
    counts: list[Count] = []
    total = 0
    for start, end in pairwise([_HEAD, *places]):
        most = COUNTED_MOST + 1 - total
        number = fetch_value(connection, _COUNT, {**_between(line, start, end), "the_most": most})
        if number == most:
            rest = _estimate(connection, line, start, places[len(counts) :])
            return counts + [Count(total + more, is_estimate=True) for more in rest]
        total += number
        counts.append(Count(total))
    return counts


def _estimate(
    connection: Connection, line: Line, start: QueuePlace, places: Sequence[QueuePlace]
) -> Sequence[int]:
    """About how many rows of the line there are from `start` to each of the places."""
    ids = _id_range(connection, line, start, places[-1])
    width = len(ids) / PROBE_COUNT
    # One in each stretch, at no regular distance, lest it keep in step with a pattern of the ids;
    # and the same ones at each look, lest the figure jump.
    probes = [
        ids.start + int((number + number * _GOLDEN_RATIO % 1) * width)
        for number in range(PROBE_COUNT)
    ]
    found = fetch_all(connection, _PROBED, {**_of(line), "the_ids": json.dumps(probes)})
    hits = sorted(QueuePlace(*hit) for hit in found if hit.id is not None)
    before = bisect_left(hits, start)
    return [round((bisect_left(hits, place) - before) * width) for place in places]


def _id_range(connection: Connection, line: Line, start: QueuePlace, end: QueuePlace) -> range:
    the_line = _of(line)
    head = {**the_line, "the_start": start.created_at, "the_first": start.batch_id}
    first_id = fetch_value(connection, _FIRST_ID, head)
    last_id = min(fetch_value(connection, _LAST_ID, the_line), end.batch_id)
    if first_id <= last_id:
        return range(first_id, last_id + 1)
    # The wall clock was set back between the two, and they may be anywhere.
    return range(1, fetch_value(connection, NEWEST_BATCH_ID, {}) + 1)


def _between(line: Line, start: QueuePlace, end: QueuePlace) -> dict[str, Any]:
    return {
        **_of(line),
        "the_start": start.created_at,
        "the_first": start.batch_id,
        "the_end": end.created_at,
        "the_last": end.batch_id,
    }


def _of(line: Line) -> dict[str, Any]:
    return {"the_source": line.source, "the_rank": line.priority_rank}
