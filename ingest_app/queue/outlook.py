"""What the near future of one source follows from, as one snapshot shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, bindparam, select

from ingest_app.clock import Moment
from ingest_app.models import batches
from ingest_app.prepared import Row, fetch_all, fetch_first
from ingest_app.queue import pacing, retrying
from ingest_app.queue.columns import TRIGGERED, WAITING, slot_of
from ingest_app.queue.measured_pace import MeasuredPace, measure_pace
from ingest_app.queue.source_states import SourceState, state_of
from ingest_app.queue.statements import SOURCE
from ingest_app.queue.timetable import Timetable
from ingest_app.queue.waiting_counts import QueuePlace
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority

RETRIES_MOST = 200
"""How many retries are looked at one by one; the others count as if they might go at once."""

NO_CALL_ENDED = "No call has ended yet, so how long one takes is not counted in."

_NOMINAL_SECONDS = 1.0
_AGE_SECONDS = 1e11  # three thousand years; calendars end

_RETRIES = (
    select(
        batches.c.ingestion_id,
        batches.c.priority_rank,
        batches.c.created_at,
        batches.c.id,
        batches.c.not_before,
    )
    .where(batches.c.source == bindparam("the_source"), WAITING, batches.c.not_before.is_not(None))
    .order_by(batches.c.not_before)
    .limit(bindparam("the_most", type_=Integer))
)
_IN_FLIGHT = select(batches.c.ingestion_id, batches.c.triggered_at).where(
    batches.c.source == bindparam("the_source"), TRIGGERED
)


@dataclass(frozen=True)
class WaitingRetry:
    """A batch that waits for a time of its own, in seconds from now."""

    ingestion_id: str
    priority_rank: int
    place: QueuePlace
    release_seconds: float


@dataclass(frozen=True)
class Outlook:
    """How a source stands, and how it is expected to go on.

    first_seconds: from now, or from when it is resumed, until its next slot may be used. pace: None
        when the source is not configured. retries: in no order. ends_seconds: from now until each
        call in flight is expected to end, by its ingestion; negative when it is overdue.
    """

    state: SourceState
    now: Moment
    first_seconds: float
    pace: MeasuredPace | None
    retries: Sequence[WaitingRetry]
    ends_seconds: Sequence[tuple[str, float]]

    @property
    def is_held(self) -> bool:
        """True when it goes on only after a person has done something, and none can say when."""
        return self.state.paused_at is not None or not self.state.configured

    @property
    def gap_seconds(self) -> float | None:
        """From one call to the next; None when nothing tells."""
        return None if self.pace is None else self.pace.gap_seconds

    @property
    def is_failing(self) -> bool:
        """True when the latest calls say nothing of those to come but that they may fail."""
        ends_none = self.pace is not None and self.pace.dispatches_per_batch is None
        return ends_none or retrying.breaker_is_open(self.state.failure_count)

    @property
    def batch_seconds(self) -> float | None:
        """From one batch's turn to the next one's, with what goes again between them."""
        if self.pace is None or self.pace.gap_seconds is None or self.is_failing:
            return self.gap_seconds
        return self.pace.gap_seconds * (self.pace.dispatches_per_batch or 1.0)

    @property
    def call_seconds(self) -> float:
        """How long a call takes; 0 before the first."""
        return (self.pace and self.pace.call_seconds) or 0.0

    def ready_count(self, ranks: range = range(len(Priority))) -> int:
        """How many batches of these ranks may go as soon as it is their turn."""
        waiting = [self.state.waiting[str(priority)] for priority in Priority]
        retry_count = sum(retry.priority_rank in ranks for retry in self.retries)
        return sum(waiting[rank] for rank in ranks) - retry_count

    def timetable(self, *, more_count: int = 0) -> Timetable:
        """The slots of all that waits, and of so many more; their times mean nothing where
        `batch_seconds` is None.
        """
        return Timetable(
            first_seconds=self.first_seconds,
            pace_seconds=self.batch_seconds or _NOMINAL_SECONDS,
            ready_count=self.ready_count() + more_count,
            releases=[retry.release_seconds for retry in self.retries],
        )

    def start_of(self, timetable: Timetable, slot: int) -> float | None:
        """Seconds until a slot of the timetable opens; None when nothing tells."""
        return None if self.batch_seconds is None else timetable.seconds_of(slot)

    def end_of(self, timetable: Timetable, slot: int) -> float | None:
        """Seconds until the batch that gets the slot has ended; None when nothing tells."""
        start_seconds = self.start_of(timetable, slot)
        return None if start_seconds is None else start_seconds + self.call_seconds

    def at(self, seconds: float | None) -> datetime | None:
        """The time in so many seconds; None while someone holds the source, or in an age."""
        is_known = seconds is not None and not self.is_held and seconds < _AGE_SECONDS
        return steady(self.now.later(seconds).at) if is_known and seconds is not None else None

    def caveats(self) -> Iterator[str]:
        """What the forecast takes for granted though it need not be so, a sentence each."""
        if self.pace is None or self.pace.gap_seconds is None:
            yield "Nothing tells yet how fast this source goes."
            return
        if self.pace.call_seconds is None:
            yield NO_CALL_ENDED
        if self.is_failing:
            yield "The upstream fails; this counts on its answering from the next call on."
        elif self.pace.dispatches_per_batch != 1:
            dispatches = f"{self.pace.dispatches_per_batch:.2f} dispatches"
            yield f"Lately it has taken {dispatches} to end a batch; this expects as many."
        if len(self.retries) >= RETRIES_MOST:
            yield "So many batches wait for a time of their own that some count as if they did not."
        if self.pace.is_bound_by_calls:
            yield f"Calls take {self.call_seconds:.1f} s each: they set the pace, not the interval."


def steady(at: datetime) -> datetime:
    """A foretold time to the hundredth of a second, so that it is the same at the next look."""
    return at.replace(microsecond=at.microsecond // 10_000 * 10_000)


def outlook_of(
    connection: Connection, name: str, source: SourceSettings | None, now: Moment
) -> Outlook:
    """The outlook of the source of this name; `source` is None when it is not configured."""
    state = state_of(connection, name, source, now)
    pace = None if source is None else _pace(connection, source, state)
    in_flight = fetch_all(connection, _IN_FLIGHT, {"the_source": name})
    ends_seconds = [(row.ingestion_id, _end_seconds(row, pace, now)) for row in in_flight]
    row = fetch_first(connection, SOURCE, {"the_source": name})
    first_seconds = 0.0 if source is None or row is None else _first_seconds(row, source, now)
    if source is not None and len(ends_seconds) >= _most_in_flight(source, state):
        first_seconds = max(first_seconds, min(seconds for _, seconds in ends_seconds))
    retries = _find_retries(connection, name, now)
    return Outlook(state, now, first_seconds, pace, retries, ends_seconds)


def outlooks_of(
    connection: Connection, names: set[str], configured: Mapping[str, SourceSettings], now: Moment
) -> Mapping[str, Outlook]:
    """The same for several sources, by their names."""
    return {name: outlook_of(connection, name, configured.get(name), now) for name in names}


def _pace(connection: Connection, source: SourceSettings, state: SourceState) -> MeasuredPace:
    return measure_pace(connection, source, most_in_flight=_most_in_flight(source, state))


def _most_in_flight(source: SourceSettings, state: SourceState) -> int:
    return 1 if retrying.breaker_is_open(state.failure_count) else source.max_in_flight


def _end_seconds(row: Row, pace: MeasuredPace | None, now: Moment) -> float:
    call_seconds = (pace and pace.call_seconds) or 0.0
    return call_seconds - float((now.at - row.triggered_at).total_seconds())


def _first_seconds(row: Row, source: SourceSettings, now: Moment) -> float:
    slot = slot_of(row)
    if pacing.says_nothing(slot, source.interval_seconds, now):
        slot = pacing.anew(slot, source.interval_seconds, now)
    wait_seconds = pacing.wait_seconds(slot, source.interval_seconds, now)
    if row.paused_at is not None:
        return wait_seconds  # to resume ends the other waits
    if row.deferred_until is not None:
        wait_seconds = max(wait_seconds, (row.deferred_until - now.at).total_seconds())
    if row.backoff_until is not None:
        wait_seconds = max(wait_seconds, retrying.wait_seconds(row.backoff_until, now.at))
    return wait_seconds


def _find_retries(connection: Connection, name: str, now: Moment) -> Sequence[WaitingRetry]:
    which = {"the_source": name, "the_most": RETRIES_MOST}
    return [_waiting_retry(row, now) for row in fetch_all(connection, _RETRIES, which)]


def _waiting_retry(row: Row, now: Moment) -> WaitingRetry:
    return WaitingRetry(
        ingestion_id=row.ingestion_id,
        priority_rank=row.priority_rank,
        place=QueuePlace(row.created_at, row.id),
        release_seconds=retrying.wait_seconds(row.not_before, now.at),
    )
