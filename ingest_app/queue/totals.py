"""What all dispatches add up to, also those whose rows of the ledger were deleted since.

The ledger is counted step by step into `dispatch_totals`, each row once, as soon as it has its
outcome. A step reads without the write lock; what it found is added in a short transaction, unless
another process has counted meanwhile.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, delete, insert, select, update

from ingest_app.database import Database
from ingest_app.models import (
    dispatch_counting,
    dispatch_totals,
    dispatches,
    uncounted_dispatches,
)
from ingest_app.prepared import Row, change, change_each, fetch_all, fetch_one
from ingest_app.queue.wasted_slots import count_wasted_slots
from ingest_app.sqlite import seconds_between

LATENESS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets of lateness in seconds; a last one has none."""

UNBOUNDED = "+Inf"
"""The name of that last bucket, as Prometheus has it."""

UNKNOWN = "unknown"
"""The bucket of what was dispatched without a call, or for a source's first slot."""

STEP_SIZE = 2_000
"""How many rows of the ledger are read in a step; it takes about 10 ms."""

_BUCKETS = (*map(str, LATENESS_BOUNDS), UNBOUNDED)
_FIELDS = ("dispatch_count", "late_seconds", "slots_used", "slots_wasted")
_KEY = ("source", "outcome", "late_up_to")

_LATE = seconds_between(dispatches.c.slot_opened_at, dispatches.c.dispatched_at)
_COLUMNS = (
    dispatches.c.id,
    dispatches.c.source,
    dispatches.c.outcome,
    dispatches.c.interval_seconds,
    _LATE.label("late_seconds"),
)
# By rows, since a restore may leave a gap of millions of ids.
_STEP = (
    select(*_COLUMNS)
    .where(dispatches.c.id > bindparam("the_start", type_=Integer))
    .order_by(dispatches.c.id)
    .limit(bindparam("the_most", type_=Integer))
)
# An outer join, so that SQLite never begins with the ledger; and for rows that were deleted.
_HELD_OVER = select(uncounted_dispatches.c.dispatch_id, *_COLUMNS).join_from(
    uncounted_dispatches,
    dispatches,
    dispatches.c.id == uncounted_dispatches.c.dispatch_id,
    isouter=True,
)
_COUNTING = select(dispatch_counting.c.counted_up_to, dispatch_counting.c.step_count)
_ADVANCE = (
    update(dispatch_counting)
    .where(dispatch_counting.c.step_count == bindparam("the_step"))
    .values(
        counted_up_to=bindparam("the_end"),
        step_count=dispatch_counting.c.step_count + 1,
    )
)
_HOLD_OVER = insert(uncounted_dispatches)
_LET_GO = delete(uncounted_dispatches).where(
    uncounted_dispatches.c.dispatch_id == bindparam("the_dispatch")
)
_ADD_UP = (
    update(dispatch_totals)
    .where(*(dispatch_totals.c[name] == bindparam(f"the_{name}") for name in _KEY))
    .values({name: dispatch_totals.c[name] + bindparam(f"more_{name}") for name in _FIELDS})
)
_BEGIN = insert(dispatch_totals)
_TOTALS = select(dispatch_totals)


class _Key(NamedTuple):
    source: str
    outcome: str
    late_up_to: str


@dataclass
class _Sums:
    dispatch_count: int = 0
    late_seconds: float = 0.0
    slots_used: int = 0
    slots_wasted: int = 0


@dataclass(frozen=True)
class _Step:
    """What a look at the ledger has found, to be added to what was counted before `number`."""

    number: int
    end: int
    is_last: bool
    sums: Mapping[_Key, _Sums]
    open_ids: Sequence[int]
    let_go_ids: Sequence[int]

    @property
    def is_empty(self) -> bool:
        return not (self.sums or self.open_ids or self.let_go_ids)


@dataclass
class SourceTotals:
    """What the dispatches of one source add up to.

    late_counts: of each bucket of lateness alone, UNKNOWN left out, the last without a bound.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    late_counts: list[int] = field(default_factory=lambda: [0] * len(_BUCKETS))
    late_seconds: float = 0.0
    slots_used: int = 0
    slots_wasted: int = 0


def count_dispatches(database: Database, *, within_seconds: float | None = None) -> bool:
    """Count what has got its outcome since the last time; True when nothing is left to count.

    To be called before rows of the ledger are deleted, then without a limit of time. It only reads
    when there is nothing new. Raises DatabaseError.
    """
    deadline = None if within_seconds is None else time.monotonic() + within_seconds
    while not _take_step(database):
        if deadline is not None and time.monotonic() > deadline:
            return False
    return True


def read_totals(connection: Connection) -> Mapping[str, SourceTotals]:
    """What was counted, by source."""
    totals: dict[str, SourceTotals] = defaultdict(SourceTotals)
    for row in fetch_all(connection, _TOTALS, {}):
        of_source = totals[row.source]
        of_source.outcomes[row.outcome] += row.dispatch_count
        of_source.slots_used += row.slots_used
        of_source.slots_wasted += row.slots_wasted
        if row.late_up_to in _BUCKETS:
            of_source.late_counts[_BUCKETS.index(row.late_up_to)] += row.dispatch_count
            of_source.late_seconds += row.late_seconds
    return totals


def _take_step(database: Database) -> bool:
    """True when it was the last."""
    with database.read() as connection:
        step = _look(connection)
    if step.is_empty and step.is_last:
        return True
    with database.write() as connection:
        return _add(connection, step) and step.is_last


def _look(connection: Connection) -> _Step:
    counting = fetch_one(connection, _COUNTING, {})
    which = {"the_start": counting.counted_up_to, "the_most": STEP_SIZE}
    rows = fetch_all(connection, _STEP, which)
    held_over = fetch_all(connection, _HELD_OVER, {})
    ended = [row for row in (*rows, *held_over) if row.outcome is not None]
    return _Step(
        number=counting.step_count,
        end=rows[-1].id if rows else counting.counted_up_to,
        is_last=len(rows) < STEP_SIZE,
        sums=_sum_up(connection, ended),
        open_ids=[row.id for row in rows if row.outcome is None],
        # Also what is not in the ledger any more.
        let_go_ids=[
            row.dispatch_id for row in held_over if row.id is None or row.outcome is not None
        ],
    )


def _sum_up(connection: Connection, rows: Sequence[Row]) -> Mapping[_Key, _Sums]:
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for row in rows:
        # A clock that was set makes it less than nothing.
        late_seconds = None if row.late_seconds is None else max(0.0, row.late_seconds)
        of_key = sums[_Key(row.source, row.outcome, _bucket(late_seconds))]
        of_key.dispatch_count += 1
        of_key.late_seconds += late_seconds or 0.0
        of_key.slots_used += row.interval_seconds > 0
        of_key.slots_wasted += count_wasted_slots(
            connection,
            row.id,
            late_seconds=late_seconds,
            interval_seconds=row.interval_seconds,
        )
    return sums


def _bucket(late_seconds: float | None) -> str:
    if late_seconds is None:
        return UNKNOWN
    return _BUCKETS[bisect_left(LATENESS_BOUNDS, late_seconds)]


def _add(connection: Connection, step: _Step) -> bool:
    """False, and nothing is added, when another process has taken this step."""
    if change(connection, _ADVANCE, {"the_step": step.number, "the_end": step.end}) != 1:
        return False
    change_each(connection, _HOLD_OVER, [{"dispatch_id": each} for each in step.open_ids])
    change_each(connection, _LET_GO, [{"the_dispatch": each} for each in step.let_go_ids])
    for key, sums in step.sums.items():
        more = {f"more_{name}": getattr(sums, name) for name in _FIELDS}
        which = {f"the_{name}": value for name, value in key._asdict().items()}
        if change(connection, _ADD_UP, {**which, **more}) == 0:
            change(connection, _BEGIN, {**key._asdict(), **vars(sums)})
    return True
