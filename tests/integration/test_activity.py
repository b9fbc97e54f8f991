"""The slots used lately, from a ledger that has no index by time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import cycle

import pytest
from sqlalchemy import insert

from ingest_app.models import dispatches
from ingest_app.queue import activity
from ingest_app.queue.activity import IN_FLIGHT, Activity, Span, read_activity
from ingest_app.states import DispatchOutcome
from tests.support.clocks import START
from tests.support.queues import Queue

NOW = START.at + timedelta(minutes=7, seconds=31)
HOUR_STARTS_AT = START.at - timedelta(minutes=52)
DAY_STARTS_AT = START.at - timedelta(hours=23, minutes=45)
LAST = {Span.HOUR: 59, Span.DAY: 95}


@pytest.fixture
def queue(queue: Queue) -> Queue:
    """A queue with one batch to have been dispatched, and the clock at NOW."""
    queue.submit()
    queue.clock.move((NOW - START.at).total_seconds())
    return queue


def write(
    queue: Queue,
    times: Iterable[datetime | None],
    *,
    outcomes: Iterable[str | None] = (DispatchOutcome.COMPLETED,),
    sources: Iterable[str] = ("default",),
    finished_at: datetime | None = None,
    first_id: int = 1,
    id_step: int = 1,
) -> None:
    """Rows of the ledger in the order of their ids; outcomes and sources take turns."""
    rows = [
        {
            "id": first_id + number * id_step,
            "source": source,
            "batch_id": 1,
            "attempt": 1,
            "worker": "worker",
            "dispatched_at": at,
            "finished_at": None if outcome is None else finished_at or at,
            "outcome": outcome,
            "interval_seconds": 5.0,
            "margin_seconds": 0.025,
            "newest_batch_id": 1,
        }
        for number, (at, outcome, source) in enumerate(
            zip(times, cycle(outcomes), cycle(sources), strict=False)
        )
    ]
    with queue.database.write() as connection:
        connection.execute(insert(dispatches), rows)


def evenly(count: int, seconds: float) -> Iterable[datetime]:
    """So many times up to NOW, over so long."""
    return [NOW - timedelta(seconds=seconds * (count - n) / count) for n in range(count)]


def read(queue: Queue, span: Span = Span.HOUR, source: str | None = None) -> Activity:
    return read_activity(queue.database, span, clock=queue.clock, source=source)


def slots(found: Activity) -> list[int]:
    """The slots used in each bucket."""
    return [sum(counts) for counts in zip(*found.outcomes.values(), strict=True)]


def quarters(found: Activity) -> list[int]:
    """The slots used in each quarter of the span: of few rows few are read for each bucket."""
    length = found.span.bucket_count // 4
    return [sum(slots(found)[start : start + length]) for start in range(0, 4 * length, length)]


def used(found: Activity) -> Mapping[str, Mapping[int, int]]:
    """What was counted, without what is zero, by outcome and bucket."""
    return {
        outcome: {at: count for at, count in enumerate(counts) if count}
        for outcome, counts in found.outcomes.items()
        if any(counts)
    }


@pytest.mark.parametrize(
    ("span", "starts_at", "bucket_seconds", "bucket_count"),
    [
        pytest.param(Span.HOUR, HOUR_STARTS_AT, 60, 60, id="an hour by the minute"),
        pytest.param(Span.DAY, DAY_STARTS_AT, 900, 96, id="a day by the quarter"),
    ],
)
def test_buckets_stand_on_the_clock_and_the_last_has_now(
    queue: Queue, span: Span, starts_at: datetime, bucket_seconds: int, bucket_count: int
) -> None:
    found = read(queue, span)
    assert (found.span, found.bucket_seconds) == (span, bucket_seconds)
    assert found.starts_at == [
        starts_at + timedelta(seconds=bucket_seconds * at) for at in range(bucket_count)
    ]
    assert found.starts_at[-1] <= NOW < found.starts_at[-1] + timedelta(seconds=bucket_seconds)
    assert {len(counts) for counts in found.outcomes.values()} == {bucket_count}


def test_nothing_was_dispatched_yet(queue: Queue) -> None:
    found = read(queue)
    assert list(found.outcomes) == [*map(str, DispatchOutcome), IN_FLIGHT]
    assert (used(found), found.approximate) == ({}, False)


@pytest.mark.parametrize(
    ("at", "bucket"),
    [
        pytest.param(NOW, 59, id="now"),
        pytest.param(HOUR_STARTS_AT, 0, id="the first instant of the window"),
        pytest.param(HOUR_STARTS_AT - timedelta(microseconds=1), None, id="just before it"),
        pytest.param(HOUR_STARTS_AT + timedelta(seconds=60), 1, id="the first instant of a bucket"),
        pytest.param(
            HOUR_STARTS_AT + timedelta(seconds=59.999999), 0, id="the last: not rounded up"
        ),
        pytest.param(NOW + timedelta(hours=1), None, id="a clock that was set back"),
    ],
)
def test_dispatch_counts_in_the_bucket_of_its_call(
    queue: Queue, at: datetime, bucket: int | None
) -> None:
    write(queue, [at])
    assert used(read(queue)) == ({} if bucket is None else {"completed": {bucket: 1}})


def test_every_outcome_is_counted_by_itself(queue: Queue) -> None:
    outcomes = [*map(str, DispatchOutcome), None]
    write(queue, evenly(14, 30), outcomes=outcomes)
    counts = {outcome: {59: 2} for outcome in [*map(str, DispatchOutcome), IN_FLIGHT]}
    assert used(read(queue)) == counts


def test_batch_handed_back_without_a_call_counts_when_it_was(queue: Queue) -> None:
    at = NOW - timedelta(minutes=3)
    write(queue, [None], outcomes=["released"], finished_at=at)
    assert used(read(queue)) == {"released": {56: 1}}


def test_ledger_of_real_dispatches(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(12))
    queue.complete(queue.claim())
    queue.retry(queue.claim())
    queue.fail(queue.claim())
    queue.claim()
    assert used(read(queue)) == {
        "completed": {59: 1},
        "retried": {59: 1},
        "failed": {59: 1},
        IN_FLIGHT: {59: 1},
    }


def test_only_the_slots_of_one_source(queue: Queue) -> None:
    write(queue, evenly(30, 30), sources=["default", "other", "other"])
    assert sum(slots(read(queue))) == 30
    assert sum(slots(read(queue, source="other"))) == 20
    assert sum(slots(read(queue, source="nowhere"))) == 0


@pytest.mark.parametrize("span", Span)
def test_window_begins_where_it_should_in_a_long_ledger(queue: Queue, span: Span) -> None:
    write(queue, evenly(3_000, 3 * 86_400))  # every 86.4 s
    found = read(queue, span)
    start = found.starts_at[0]
    assert not found.approximate
    assert sum(slots(found)) == sum(at >= start for at in evenly(3_000, 3 * 86_400))


@pytest.mark.parametrize(
    "disorder",
    [
        pytest.param(lambda n, at: None if n % 2 else at, id="every other without a call"),
        pytest.param(lambda n, at: None if n % 50 < 7 else at, id="seven on end without a time"),
        pytest.param(
            lambda n, at: at + timedelta(seconds=50 * (n % 2)), id="calls that began out of order"
        ),
    ],
)
def test_window_begins_where_it_should_in_disorder(queue: Queue, disorder: object) -> None:
    times = [
        disorder(n, at)  # type: ignore[operator]
        for n, at in enumerate(evenly(1_500, 2 * 3_600))
    ]
    write(queue, times, outcomes=[None])
    start, end = HOUR_STARTS_AT, HOUR_STARTS_AT + timedelta(hours=1)
    expected = sum(at is not None and start <= at < end for at in times)
    assert sum(slots(read(queue))) == expected > 0


@pytest.mark.parametrize("name", [None, "default"])
def test_up_to_a_number_of_slots_all_are_counted(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", 100)
    write(queue, evenly(100, 1_800))
    assert (sum(slots(read(queue, source=name))), read(queue).approximate) == (100, False)
    write(queue, [NOW], first_id=101)
    assert read(queue, source=name).approximate


def test_source_with_few_slots_among_many_is_counted(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", 100)
    write(queue, evenly(5_000, 1_800), sources=["rare", *["default"] * 99])
    found = read(queue, source="rare")
    assert (sum(slots(found)), found.approximate) == (50, False)


@pytest.mark.parametrize("span", Span)
@pytest.mark.parametrize("name", [None, "often", "seldom"])
@pytest.mark.parametrize(
    "id_step", [pytest.param(1, id="one after the other"), pytest.param(7, id="with gaps")]
)
def test_estimate_is_within_a_few_percent(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, span: Span, name: str | None, id_step: int
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", 1_000)
    length = LAST[span] * span.bucket_seconds
    write(
        queue,
        evenly(8_000, length),
        outcomes=["completed"] * 3 + ["retried"],
        sources=["seldom", *["often"] * 4],
        id_step=id_step,
    )
    estimate = read(queue, span, name)
    monkeypatch.setattr(activity, "MOST_COUNTED", 10**9)
    exact = read(queue, span, name)
    assert (estimate.approximate, exact.approximate) == (True, False)
    for outcome in ("completed", "retried"):
        true_count = sum(exact.outcomes[outcome])
        assert sum(estimate.outcomes[outcome]) == pytest.approx(true_count, rel=0.05)
    assert quarters(estimate) == pytest.approx(quarters(exact), rel=0.15)


def test_estimate_of_what_is_past_stays_as_it_was(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", 1_000)
    write(queue, evenly(3_000, 1_800))
    before = read(queue)
    write(queue, [NOW] * 500, first_id=3_001)
    after = read(queue)
    assert before.approximate
    assert slots(after)[:-1] == slots(before)[:-1]
    assert slots(after)[-1] > slots(before)[-1]
