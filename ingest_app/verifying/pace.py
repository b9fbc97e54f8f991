"""P2 and P3: whether calls were ever closer than the interval, and how many slots were wasted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection, func, literal, select, union_all

from ingest_app.clock import Moment
from ingest_app.models import batches, dispatches, packed_batches
from ingest_app.prepared import Row
from ingest_app.states import BatchStatus, DispatchOutcome
from ingest_app.verifying.findings import Finding
from ingest_app.verifying.order import PRUNED

_ROUNDING_SECONDS = 0.000_002  # wall times are kept in microseconds


class Call(NamedTuple):
    """One call of the ledger.

    time_is_known: False when the call's own time was never recorded; then it began at most
        `margin_seconds` after `at`.
    late_seconds: how long its slot had been open; None for a source's first.
    was_waiting: True when work had been waiting since before the slot opened.
    follows_gap: True when the ledger had others before this one that were deleted.
    """

    dispatch_id: int
    at: Moment
    time_is_known: bool
    interval_seconds: float
    margin_seconds: float
    late_seconds: float | None
    was_waiting: bool
    follows_gap: bool = False


@dataclass
class PaceFigures:
    """The pace of one source. Times in seconds; None where there is nothing to measure.

    mean_gap_seconds: over the gaps in which work was waiting when the slot opened, and between
        whose ends nothing was deleted.
    wasted_slot_count: slots that passed unused while work waited, for whatever reason: the service
        was down, the source was paused or deferred, or too many batches were in flight.
    unproven_gap_count: gaps over a reboot at which the wall clock was set back.
    dispatched_again: how often a batch was dispatched again, by the outcome before.
    """

    source: str
    call_count: int = 0
    interval_seconds: float | None = None
    smallest_gap_seconds: float | None = None
    mean_gap_seconds: float | None = None
    wasted_slot_count: int = 0
    unproven_gap_count: int = 0
    dispatched_again: dict[str, int] = field(default_factory=dict)


def measure_pace(connection: Connection, source: str) -> tuple[PaceFigures, list[Finding]]:
    """The figures of a source, and every pair of calls that was too close."""
    figures, findings = judge_pace(source, _calls(connection, source))
    figures.dispatched_again = _dispatched_again(connection, source)
    return figures, findings


def judge_pace(source: str, calls: Iterable[Call]) -> tuple[PaceFigures, list[Finding]]:
    """The same from calls in the order of their claims."""
    figures, findings, busy_gaps = PaceFigures(source), [], _Mean()
    for earlier, later in pairwise(_counted(calls, figures)):
        gap = _smallest_gap_seconds(earlier, later)
        if not later.interval_seconds:
            gap = abs(gap)  # without a pace, calls need not begin in the order of their claims
        if gap < 0 and later.at.boot_seconds_since(earlier.at) is None:
            figures.unproven_gap_count += 1
            continue
        smallest = figures.smallest_gap_seconds
        figures.smallest_gap_seconds = gap if smallest is None else min(gap, smallest)
        if gap < later.interval_seconds - _ROUNDING_SECONDS:
            findings.append(_too_close(earlier, later, gap))
        if later.was_waiting:
            if not later.follows_gap:
                busy_gaps.add(gap)
            figures.wasted_slot_count += _wasted_slots(later)
    figures.mean_gap_seconds = busy_gaps.value
    return figures, findings


def _counted(calls: Iterable[Call], figures: PaceFigures) -> Iterator[Call]:
    for call in calls:
        figures.call_count += 1
        figures.interval_seconds = call.interval_seconds
        yield call


class _Mean:
    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def _smallest_gap_seconds(earlier: Call, later: Call) -> float:
    gap = later.at.seconds_since(earlier.at)
    return gap if earlier.time_is_known else gap - earlier.margin_seconds


def _wasted_slots(call: Call) -> int:
    if not call.interval_seconds or call.late_seconds is None:
        return 0
    return int(call.late_seconds // call.interval_seconds)


def _too_close(earlier: Call, later: Call, gap: float) -> Finding:
    return Finding(
        "P2",
        "Two calls were closer than the interval.",
        f"dispatches {earlier.dispatch_id} and {later.dispatch_id}:"
        f" {gap:.6f} s instead of {later.interval_seconds:g} s",
    )


def _calls(connection: Connection, source: str) -> Iterator[Call]:
    numbered = select(
        dispatches, func.row_number().over(order_by=dispatches.c.id).label("number")
    ).subquery()
    query = select(numbered).where(numbered.c.source == source).order_by(numbered.c.id)
    backlog = _Backlog(_arrivals(connection, source))
    before = None
    for row in connection.execute(query):
        if row.dispatched_at is not None:  # else it was handed back, or could not connect
            waited = backlog.waited_since(row.slot_opened_at)
            yield _call(row, was_waiting=waited, follows_gap=_is_gap_between(before, row))
            before = row
        backlog.leave(row.batch_id)


def _is_gap_between(earlier: Row | None, later: Row) -> bool:
    # Ids are given away one by one; those between the two may be other sources' dispatches.
    return earlier is not None and later.id - earlier.id != later.number - earlier.number


def _call(row: Row, *, was_waiting: bool, follows_gap: bool) -> Call:
    return Call(
        dispatch_id=row.id,
        at=Moment(row.dispatched_at, row.dispatched_boot_seconds, row.boot_id),
        time_is_known=row.outcome not in (None, DispatchOutcome.LOST),
        interval_seconds=row.interval_seconds,
        margin_seconds=row.margin_seconds,
        late_seconds=_seconds_between(row.slot_opened_at, row.dispatched_at),
        was_waiting=was_waiting,
        follows_gap=follows_gap,
    )


class _Backlog:
    """How many batches wait that were never dispatched."""

    def __init__(self, arrivals: Iterator[datetime]) -> None:
        self._arrivals = arrivals
        self._next = next(arrivals, None)
        self._arrived_count = 0
        self._left: set[int] = set()

    def waited_since(self, at: datetime | None) -> bool:
        """True when one has been waiting since before `at`; of a source's first slot, False."""
        while at is not None and self._next is not None and self._next <= at:
            self._arrived_count += 1
            self._next = next(self._arrivals, None)
        return at is not None and self._arrived_count > len(self._left)

    def leave(self, batch_id: int) -> None:
        """The batch is dispatched."""
        self._left.add(batch_id)


def _arrivals(connection: Connection, source: str) -> Iterator[datetime]:
    table, packed = batches.c, packed_batches.c
    # When a cancelled batch left the queue is not known.
    single = select(table.created_at.label("at"), literal(1).label("batch_count")).where(
        table.source == source,
        table.status != BatchStatus.CANCELLED.value,
        table.ingestion_id.not_in(PRUNED),
    )
    packs = select(packed.created_at, packed.batch_count).where(
        packed.source == source, packed.status != BatchStatus.CANCELLED.value
    )
    arrived = connection.execute(union_all(single, packs).order_by("at"))
    return (at for at, count in arrived for _ in range(count))


def _seconds_between(earlier: datetime | None, later: datetime) -> float | None:
    return None if earlier is None else (later - earlier).total_seconds()


def _dispatched_again(connection: Connection, source: str) -> dict[str, int]:
    query = (
        select(dispatches.c.batch_id, dispatches.c.outcome)
        .where(dispatches.c.source == source)
        .order_by(dispatches.c.batch_id, dispatches.c.id)
    )
    return dict(
        Counter(
            str(earlier.outcome)
            for earlier, later in pairwise(connection.execute(query))
            if earlier.batch_id == later.batch_id
        )
    )
