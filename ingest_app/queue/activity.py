"""What was dispatched lately: the slots used in each stretch of an hour or a day, by outcome.

The ledger has no index by time and gets none, since every dispatch would pay for it. Its ids grow
with time, so the row where a window begins is searched for along the primary key. A window of many
rows is not read: evenly spread blocks of it are, and what they hold is scaled up.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    type_coerce,
)

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import dispatches
from ingest_app.prepared import fetch_all, fetch_one, fetch_value
from ingest_app.queue.sampling import Sample, sample_of, whole_of
from ingest_app.sqlite import along, array_elements, epoch_seconds
from ingest_app.states import DispatchOutcome

MOST_COUNTED = 20_000
"""How many rows of the ledger are counted one by one; of more, about so many."""

IN_FLIGHT = "in_flight"
"""What stands for the outcome of a dispatch that has none yet."""

# Calls begin somewhat later than in the order of ids, and what is handed back counts only then.
_DISORDER = timedelta(seconds=60)
_LOOKED_AT = 8  # so that a few rows out of order, or without a time, do not mislead the search

_AT = func.coalesce(dispatches.c.dispatched_at, dispatches.c.finished_at)
_OF_THE_SOURCE = dispatches.c.source == bindparam("the_source")
# Where a person has let SQLite gather statistics it would rather read the rows of all sources.
_BY_SOURCE = along("ix_dispatches_by_source")

# Two statements: SQLite looks only one of them up, and of both together reads the whole index.
_ENDS = select(
    select(func.min(dispatches.c.id)).scalar_subquery().label("first"),
    select(func.max(dispatches.c.id)).scalar_subquery().label("last"),
)
_NEXT = (
    select(_AT.label("at"))
    .where(dispatches.c.id >= bindparam("the_id"))
    .order_by(dispatches.c.id)
    # A literal: with a bound limit SQLite plans the statement anew each time.
    .limit(literal_column(str(_LOOKED_AT), Integer))
    .subquery()
)
_REACHES = select(func.max(_NEXT.c.at) >= bindparam("the_start", type_=_AT.type))
_SOME_OF_THE_SOURCE = (
    select(dispatches.c.id)
    .where(_OF_THE_SOURCE, dispatches.c.id >= bindparam("the_id"))
    .with_hint(dispatches, _BY_SOURCE)
    .limit(literal_column(str(MOST_COUNTED + 1), Integer))
    .subquery()
)
_COUNT_OF_THE_SOURCE = select(func.count()).select_from(_SOME_OF_THE_SOURCE)

_BLOCK = array_elements(bindparam("the_blocks", type_=Text))
_BLOCK_START = type_coerce(_BLOCK.c.value, Integer)
_SECOND = epoch_seconds(_AT) - bindparam("the_second", type_=Integer)
_BUCKET = (_SECOND // bindparam("the_bucket_seconds", type_=Integer)).label("bucket")
_IN_BLOCK = and_(
    dispatches.c.id >= _BLOCK_START,
    dispatches.c.id < _BLOCK_START + bindparam("the_size", type_=Integer),
    _AT.between(
        bindparam("the_start", type_=_AT.type),
        bindparam("the_end", type_=_AT.type),
    ),
)


def _counted(which: ColumnElement[bool]) -> Select[Any]:
    # An outer join, so that SQLite never begins with the ledger.
    return (
        select(_BUCKET, dispatches.c.outcome, func.count(dispatches.c.id).label("count"))
        .join_from(_BLOCK, dispatches, which, isouter=True)
        .group_by(literal_column("1"), literal_column("2"))
    )


_TALLY = _counted(_IN_BLOCK)
_TALLY_OF_THE_SOURCE = _counted(and_(_IN_BLOCK, _OF_THE_SOURCE)).with_hint(dispatches, _BY_SOURCE)


class Span(enum.StrEnum):
    """How far back to look."""

    HOUR = "hour"  # by the minute
    DAY = "day"  # by the quarter of an hour

    @property
    def bucket_seconds(self) -> int:
        """How long one bucket is."""
        return 60 if self is Span.HOUR else 900

    @property
    def bucket_count(self) -> int:
        """How many there are; the last is the one that now is in."""
        return 60 if self is Span.HOUR else 96


@dataclass(frozen=True)
class Activity:
    """The slots used in each bucket, by the outcome of their dispatches.

    starts_at: when each bucket starts, aware UTC, on a full multiple of its length.
    outcomes: for each of them, and for IN_FLIGHT, a count for each bucket.
    approximate: True when the counts are estimates from a part of the ledger. The sum of a bucket
        is then within a few percent, within ten or twenty of a source that is one among several;
        of what is rare there may be none.
    """

    span: Span
    starts_at: Sequence[datetime]
    outcomes: Mapping[str, Sequence[int]]
    approximate: bool

    @property
    def bucket_seconds(self) -> int:
        """How long one bucket is."""
        return self.span.bucket_seconds


class _Window(NamedTuple):
    """The time of all buckets, from `starts_at` on.

    ids: those of the dispatches in it; may have some more.
    """

    starts_at: datetime
    span: Span
    source: str | None
    ids: range


_Tally = Mapping[tuple[int, str], int]
"""How many dispatches there are of a bucket and an outcome."""


def read_activity(
    database: Database, span: Span, *, clock: Clock, source: str | None = None
) -> Activity:
    """What was dispatched over the span that ends now, of one source or of all (None).

    A dispatch counts when its call began. When it was handed back without a call its slot was spent
    all the same, and it counts when that happened.
    """
    with database.read() as connection:
        window = _find_window(connection, span, source, clock.read().at)
        sample = _choose_sample(connection, window)
        tally = _tally(connection, window, sample)
        wider = sample.widened(sum(tally.values()), MOST_COUNTED)
        if wider != sample:
            sample, tally = wider, _tally(connection, window, wider)
    return Activity(
        span=span,
        starts_at=_starts(window.starts_at, span),
        outcomes=_spread(tally, span, scale=sample.scale),
        approximate=not sample.is_whole,
    )


def _find_window(connection: Connection, span: Span, source: str | None, now: datetime) -> _Window:
    last_start = int(now.timestamp()) // span.bucket_seconds * span.bucket_seconds
    first_start = last_start - span.bucket_seconds * (span.bucket_count - 1)
    starts_at = datetime.fromtimestamp(first_start, UTC)
    return _Window(starts_at, span, source, _find_ids(connection, starts_at - _DISORDER))


def _find_ids(connection: Connection, at: datetime) -> range:
    """The ids from the first that reaches this time on."""
    ends = fetch_one(connection, _ENDS, {})
    if ends.last is None:
        return range(0)
    low, high = ends.first, ends.last + 1
    while low < high:
        middle = (low + high) // 2
        if fetch_value(connection, _REACHES, {"the_id": middle, "the_start": at}):
            high = middle
        else:
            low = middle + 1
    return range(low, ends.last + 1)


def _choose_sample(connection: Connection, window: _Window) -> Sample:
    if len(window.ids) <= MOST_COUNTED or _has_few(connection, window):
        return whole_of(window.ids)
    return sample_of(window.ids, MOST_COUNTED)


def _has_few(connection: Connection, window: _Window) -> bool:
    if window.source is None:
        return False
    which = {"the_source": window.source, "the_id": window.ids.start}
    return bool(fetch_value(connection, _COUNT_OF_THE_SOURCE, which) <= MOST_COUNTED)


def _tally(connection: Connection, window: _Window, sample: Sample) -> _Tally:
    span, starts_at = window.span, window.starts_at
    values = {
        "the_blocks": json.dumps(sample.block_starts),
        "the_size": sample.size,
        "the_start": starts_at,
        "the_end": starts_at + timedelta(seconds=span.bucket_seconds * span.bucket_count),
        "the_second": int(starts_at.timestamp()),
        "the_bucket_seconds": span.bucket_seconds,
    }
    if window.source is None:
        rows = fetch_all(connection, _TALLY, values)
    else:
        values["the_source"] = window.source
        rows = fetch_all(connection, _TALLY_OF_THE_SOURCE, values)
    return {(row.bucket, row.outcome or IN_FLIGHT): row.count for row in rows}


def _starts(first: datetime, span: Span) -> Sequence[datetime]:
    return [first + timedelta(seconds=span.bucket_seconds * at) for at in range(span.bucket_count)]


def _spread(tally: _Tally, span: Span, *, scale: int) -> Mapping[str, Sequence[int]]:
    return {
        outcome: [tally.get((bucket, outcome), 0) * scale for bucket in range(span.bucket_count)]
        for outcome in (*map(str, DispatchOutcome), IN_FLIGHT)
    }
