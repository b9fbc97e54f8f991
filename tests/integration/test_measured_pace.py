"""What the ledger says of a source's pace."""

from __future__ import annotations

import pytest

from ingest_app.queue.measured_pace import MeasuredPace, measure_pace
from tests.support.queues import Queue

CALL_SECONDS = 0.01


def pace(queue: Queue, *, most_in_flight: int = 4) -> MeasuredPace:
    with queue.database.read() as connection:
        return measure_pace(connection, queue.source, most_in_flight=most_in_flight)


def call(queue: Queue, *, late_seconds: float = 0.0) -> None:
    """Take the next batch through its call, begun so long after its claim."""
    claim = queue.claim_in_turn()
    called = queue.clock.move(late_seconds)
    queue.clock.move(CALL_SECONDS)
    queue.complete(claim, called=called)


@pytest.fixture
def full(queue: Queue) -> Queue:
    queue.submit(range(900))
    return queue


def test_before_the_first_call_the_settings_tell_the_pace(queue: Queue) -> None:
    assert pace(queue) == MeasuredPace(
        gap_seconds=5.025,
        call_seconds=None,
        dispatches_per_batch=1.0,
        is_measured=False,
        is_bound_by_calls=False,
    )


def test_a_short_call_does_not_pay_for_the_whole_margin(full: Queue) -> None:
    call(full)
    assert pace(full).gap_seconds == pytest.approx(5.0 + CALL_SECONDS)


def test_gaps_between_calls_that_followed_each_other_are_measured(full: Queue) -> None:
    for late_seconds in (0.0, 0.01, 0.02, 0.0):
        call(full, late_seconds=late_seconds)
    found = pace(full)
    assert found.is_measured
    assert found.gap_seconds == pytest.approx(5.025)  # that of the claims; the rest evens out
    assert found.call_seconds == pytest.approx(CALL_SECONDS)


def test_idle_times_are_no_gaps(full: Queue) -> None:
    for _ in range(4):
        call(full)
    before = pace(full)
    full.clock.move(3_600)
    call(full)
    assert pace(full) == before


def test_dispatches_that_were_deleted_leave_no_gap(full: Queue) -> None:
    for _ in range(12):
        call(full)
    before = pace(full)
    full.change("DELETE FROM dispatches WHERE id BETWEEN 4 AND 8")
    assert pace(full).gap_seconds == pytest.approx(before.gap_seconds)


def test_gaps_of_another_interval_do_not_count(full: Queue) -> None:
    for _ in range(6):
        call(full)
    faster = full.using(interval_seconds=1.0)
    assert not pace(faster).is_measured
    assert pace(faster).gap_seconds == pytest.approx(1.0 + 0.005)


def test_a_wall_clock_that_was_set_is_no_gap(full: Queue) -> None:
    for step_seconds in (0, 0, 600, -900, 0):
        full.clock.set_wall(step_seconds)
        call(full)
    assert pace(full).gap_seconds == pytest.approx(5.025)


def test_a_call_that_was_not_made_takes_no_time(full: Queue) -> None:
    call(full)
    full.release(full.claim_in_turn(), called=None)
    assert pace(full).call_seconds == pytest.approx(CALL_SECONDS)


def test_a_deferral_is_no_failure_of_its_batch(full: Queue) -> None:
    call(full)
    full.defer(full.claim_in_turn(), delay_seconds=1)
    assert pace(full).dispatches_per_batch == 1


def test_a_reboot_is_no_gap(full: Queue) -> None:
    for _ in range(6):
        call(full)
    before = pace(full)
    full.clock.reboot(wall_step_seconds=-3_600)
    call(full)
    assert pace(full) == before


def test_long_calls_share_the_places_in_flight(full: Queue) -> None:
    full = full.using(interval_seconds=0.001)
    for _ in range(4):
        call(full)
    found = pace(full, most_in_flight=1)
    assert found.is_bound_by_calls
    assert found.gap_seconds == pytest.approx(CALL_SECONDS)
    assert not pace(full, most_in_flight=64).is_bound_by_calls


def test_where_no_batch_has_ended_nothing_tells_how_many_dispatches_one_takes(full: Queue) -> None:
    for _ in range(3):
        full.retry(full.claim_in_turn())
    assert pace(full).dispatches_per_batch is None


def test_other_sources_do_not_count(full: Queue) -> None:
    for _ in range(4):
        call(full)
    full.change("UPDATE dispatches SET source = 'another'")
    assert pace(full).call_seconds is None
