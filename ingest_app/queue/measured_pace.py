"""How fast a source has been going lately, from its ledger: what a forecast reckons with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from sqlalchemy import Connection, Integer, bindparam, literal_column, select

from ingest_app.clock import Moment
from ingest_app.models import dispatches
from ingest_app.prepared import Row, fetch_all
from ingest_app.queue import pacing
from ingest_app.settings import SourceSettings
from ingest_app.sqlite import along
from ingest_app.states import DispatchOutcome

LATEST_COUNT = 100
"""How many dispatches count as lately."""

_LEAST_GAP_COUNT = 3
_PROMPT_SHARE = 0.02
_PROMPT_LEAST_SECONDS = 0.05

_ENDS_BATCH = (DispatchOutcome.COMPLETED, DispatchOutcome.FAILED)
_WAS_WORKED_ON = (*_ENDS_BATCH, DispatchOutcome.RETRIED)  # to be turned away takes no time

_LATEST = (
    select(
        dispatches.c.dispatched_at,
        dispatches.c.dispatched_boot_seconds,
        dispatches.c.boot_id,
        dispatches.c.finished_at,
        dispatches.c.outcome,
        dispatches.c.slot_opened_at,
        dispatches.c.interval_seconds,
    )
    .where(dispatches.c.source == bindparam("the_source"))
    # With statistics SQLite would look for a rare source through the whole ledger.
    .with_hint(dispatches, along("ix_dispatches_by_source"))
    .order_by(dispatches.c.id.desc())
    .limit(literal_column(str(LATEST_COUNT), Integer))
)


@dataclass(frozen=True)
class MeasuredPace:
    """What to expect of a source's calls.

    gap_seconds: from one call to the next while work waits; None when nothing tells.
    call_seconds: from a call's start until its outcome is stored; None before the first.
    dispatches_per_batch: how many it takes to end a batch, not counting those that were turned away
        or not made; 1 where none fails, None where no batch has ended.
    is_measured: False where the gap is the interval's, for lack of calls that followed each other.
    is_bound_by_calls: True when the calls take so long that slots pass unused.
    """

    gap_seconds: float | None
    call_seconds: float | None
    dispatches_per_batch: float | None
    is_measured: bool
    is_bound_by_calls: bool


def measure_pace(
    connection: Connection, source: SourceSettings, *, most_in_flight: int
) -> MeasuredPace:
    """The pace of the latest dispatches.

    most_in_flight: how many batches of it may be under way at once now.
    """
    rows = fetch_all(connection, _LATEST, {"the_source": source.name})[::-1]
    call_seconds = _mean_call_seconds(rows)
    slot_gap_seconds = _mean_slot_gap_seconds(rows, source.interval_seconds)
    is_measured = slot_gap_seconds is not None
    if slot_gap_seconds is None:
        slot_gap_seconds = _expected_gap_seconds(source.interval_seconds, call_seconds)
    bound_seconds = (call_seconds or 0.0) / most_in_flight
    return MeasuredPace(
        gap_seconds=max(slot_gap_seconds, bound_seconds) or None,
        call_seconds=call_seconds,
        dispatches_per_batch=_dispatches_per_batch(rows),
        is_measured=is_measured,
        is_bound_by_calls=bound_seconds > slot_gap_seconds,
    )


def _mean_call_seconds(rows: Sequence[Row]) -> float | None:
    seconds = [
        (row.finished_at - row.dispatched_at).total_seconds()
        for row in rows
        if row.outcome in _WAS_WORKED_ON and row.dispatched_at is not None
    ]
    return max(0.0, fmean(seconds)) if seconds else None


def _mean_slot_gap_seconds(rows: Sequence[Row], interval_seconds: float) -> float | None:
    gaps = [
        _moment(after).seconds_since(_moment(before))
        for before, after in pairwise(rows)
        # Over a reboot the wall clock alone tells, which may have been set.
        if after.boot_id == before.boot_id
        and before.dispatched_at is not None
        and _took_slot_at_once(after, interval_seconds)
        and _is_next_slot(before, after)
    ]
    return max(interval_seconds, fmean(gaps)) if len(gaps) >= _LEAST_GAP_COUNT else None


def _took_slot_at_once(row: Row, interval_seconds: float) -> bool:
    """True when work waited for the slot: the call was made as soon as it opened."""
    if row.interval_seconds != interval_seconds or None in (row.dispatched_at, row.slot_opened_at):
        return False
    late_seconds = (row.dispatched_at - row.slot_opened_at).total_seconds()
    return bool(late_seconds <= max(_PROMPT_LEAST_SECONDS, interval_seconds * _PROMPT_SHARE))


def _is_next_slot(before: Row, after: Row) -> bool:
    """False when dispatches between them were deleted, or their source waited for its upstream."""
    seconds = (after.slot_opened_at - before.dispatched_at).total_seconds()
    return bool(seconds <= 2 * after.interval_seconds + _PROMPT_LEAST_SECONDS)


def _moment(row: Row) -> Moment:
    return Moment(row.dispatched_at, row.dispatched_boot_seconds, row.boot_id)


def _expected_gap_seconds(interval_seconds: float, call_seconds: float | None) -> float:
    # A call that has ended brings its slot forward, so the margin is paid for by longer ones alone.
    margin = pacing.margin_seconds(interval_seconds)
    return interval_seconds + (margin if call_seconds is None else min(margin, call_seconds))


def _dispatches_per_batch(rows: Sequence[Row]) -> float | None:
    worked_on_count = sum(row.outcome in _WAS_WORKED_ON for row in rows)
    ended_count = sum(row.outcome in _ENDS_BATCH for row in rows)
    if not worked_on_count:
        return 1.0
    return worked_on_count / ended_count if ended_count else None
