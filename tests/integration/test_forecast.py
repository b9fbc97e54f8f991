"""Forecasts against what happens: a queue is played through to its end, on a clock of the test."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from ingest_app.queue import outlook, packing, previews, waiting_counts
from ingest_app.queue.claim import Claim
from ingest_app.queue.control import cancel_ingestion, pause_source, retry_ingestion
from ingest_app.queue.forecast import Forecast, list_with_forecasts, read_forecast
from ingest_app.queue.listing import Wanted
from ingest_app.queue.previews import Preview, preview_submission
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.queues import Queue

CALL_SECONDS = 1.0
ROUNDING = timedelta(milliseconds=12)


@dataclass
class Reality:
    """When each ingestion's next batch went, and when its last one ended."""

    next_starts_at: dict[str, datetime] = field(default_factory=dict)
    finishes_at: dict[str, datetime] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def configured(queue: Queue) -> Mapping[str, SourceSettings]:
    return {queue.source.name: queue.source}


def forecast(queue: Queue, ingestion_id: str) -> Forecast:
    return read_forecast(queue.database, ingestion_id, configured(queue), clock=queue.clock)


def preview(queue: Queue, id_count: int) -> Preview:
    return preview_submission(queue.database, queue.source, id_count=id_count, clock=queue.clock)


def call_ended(queue: Queue) -> Claim:
    """The next batch, called at the instant its slot opened; what came of it is to be settled."""
    claim = queue.claim_in_turn()
    queue.clock.move(CALL_SECONDS)
    return claim


def call_next(queue: Queue) -> tuple[str, datetime]:
    """Take the next batch through its call."""
    claim = call_ended(queue)
    queue.complete(claim, called=claim.claimed)
    ((ingestion_id,),) = queue.rows(f"SELECT ingestion_id FROM batches WHERE id = {claim.batch_id}")
    return ingestion_id, claim.claimed.at


def play_through(queue: Queue) -> Reality:
    reality = Reality()
    while queue.rows("SELECT 1 FROM queue LIMIT 1"):
        ingestion_id, started_at = call_next(queue)
        reality.next_starts_at.setdefault(ingestion_id, started_at)
        reality.finishes_at[ingestion_id] = queue.clock.now.at
        reality.order.append(ingestion_id)
    return reality


def submit_mixture(queue: Queue, dice: random.Random) -> list[str]:
    """Ingestions of all sizes and priorities, some of them packed."""
    found = []
    for _ in range(12):
        queue.clock.move(dice.random())
        found.append(queue.submit(range(dice.randint(1, 30)), dice.choice(list(Priority))))
    return found


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 4)


def check(forecasts: Mapping[str, Forecast], reality: Reality) -> None:
    for ingestion_id, foretold in forecasts.items():
        assert foretold.next_starts_at == pytest.approx(
            reality.next_starts_at[ingestion_id], abs=ROUNDING
        )
        assert foretold.finishes_at == pytest.approx(
            reality.finishes_at[ingestion_id], abs=ROUNDING
        )
        assert foretold.batches_ahead == reality.order.index(ingestion_id)


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_queue_goes_as_foretold(queue: Queue, seed: int) -> None:
    dice = random.Random(seed)
    submitted = submit_mixture(queue, dice)
    for _ in range(dice.randint(3, 20)):
        call_next(queue)
    going_on = {each: forecast(queue, each) for each in submitted}
    going_on = {each: it for each, it in going_on.items() if it.waiting_count}
    assert not any(it.caveats for it in going_on.values())
    check(going_on, play_through(queue))


@pytest.mark.parametrize("seed", range(3))
def test_retries_that_wait_are_counted_at_their_times(queue: Queue, seed: int) -> None:
    dice = random.Random(seed)
    submitted = submit_mixture(queue, dice)
    for _ in range(8):
        call_next(queue)
    for _ in range(6):
        queue.retry(call_ended(queue), delay_seconds=dice.choice([1, 20, 90, 280]))
    forget_failures(queue)
    going_on = {each: forecast(queue, each) for each in submitted}
    going_on = {each: it for each, it in going_on.items() if it.waiting_count}
    check(going_on, play_through(queue))


def forget_failures(queue: Queue) -> None:
    """Leave no sign in the ledger that calls fail, which a forecast would expect to go on."""
    queue.change("UPDATE dispatches SET outcome = 'completed' WHERE outcome = 'retried'")
    queue.change("UPDATE sources SET failure_count = 0, backoff_until = NULL")


def test_only_retries_are_left(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    call_next(queue)
    queue.retry(call_ended(queue), delay_seconds=100)
    forget_failures(queue)
    check({ingestion_id: forecast(queue, ingestion_id)}, play_through(queue))


def test_calls_that_failed_lately_are_expected_to_fail_as_often(queue: Queue) -> None:
    ingestion_id = queue.submit(range(300))
    for _ in range(10):
        call_next(queue)
        queue.retry(call_ended(queue), delay_seconds=1)
    foretold = forecast(queue, ingestion_id)
    per_batch = 20 / 10
    assert foretold.remaining_seconds == pytest.approx(
        foretold.waiting_count * foretold.pace_seconds * per_batch, abs=3 * foretold.pace_seconds
    )
    assert foretold.approximate
    assert any("taken 2.00 dispatches" in caveat for caveat in foretold.caveats)


def test_a_deferral_is_waited_out(queue: Queue) -> None:
    ingestion_id = queue.submit(range(12))
    call_next(queue)
    queue.defer(call_ended(queue), delay_seconds=600)
    queue.change("UPDATE dispatches SET outcome = 'completed' WHERE outcome = 'deferred'")
    foretold = forecast(queue, ingestion_id)
    assert foretold.waits_for.startswith("The upstream asked to be left alone until")
    check({ingestion_id: foretold}, play_through(queue))


def test_while_paused_only_the_time_it_takes_is_told(queue: Queue) -> None:
    ingestion_id = queue.submit(range(12))
    call_next(queue)
    queue.clock.move(20)
    before = forecast(queue, ingestion_id)
    pause_source(queue.database, "default", clock=queue.clock)
    foretold = forecast(queue, ingestion_id)
    assert (foretold.next_starts_at, foretold.finishes_at) == (None, None)
    assert foretold.remaining_seconds == before.remaining_seconds
    assert foretold.waits_for.startswith("Paused since")
    assert not foretold.approximate


def test_of_a_source_that_is_not_configured_nothing_can_be_told(queue: Queue) -> None:
    ingestion_id = queue.submit(range(12))
    foretold = read_forecast(queue.database, ingestion_id, {}, clock=queue.clock)
    assert (foretold.finishes_at, foretold.remaining_seconds) == (None, None)
    assert foretold.waits_for.startswith("It is not configured any more")
    assert foretold.caveats == ["Nothing tells yet how fast this source goes."]


def test_a_call_under_way_ends_when_such_calls_do_even_while_paused(queue: Queue) -> None:
    queue.submit(range(3))
    call_next(queue)
    ingestion_id = queue.submit(range(3))
    claim = queue.claim_in_turn()
    pause_source(queue.database, "default", clock=queue.clock)
    queue.clock.move(0.25)
    foretold = forecast(queue, ingestion_id)
    assert foretold.next_starts_at is None
    assert foretold.remaining_seconds == pytest.approx(CALL_SECONDS - 0.25)
    ends_at = claim.claimed.later(CALL_SECONDS).at
    assert foretold.finishes_at == pytest.approx(ends_at, abs=ROUNDING)


def test_what_has_ended_says_when(queue: Queue) -> None:
    ingestion_id = queue.submit(range(3))
    call_next(queue)
    ended_at = queue.clock.now.at
    queue.clock.move(1000)
    foretold = forecast(queue, ingestion_id)
    assert (foretold.next_starts_at, foretold.finishes_at) == (None, ended_at)
    assert (foretold.remaining_seconds, foretold.batches_ahead) == (0.0, 0)
    with_it = list_with_forecasts(
        queue.database, Wanted(), configured(queue), limit=9, after=None, clock=queue.clock
    )
    assert with_it[1] == {}


def test_before_the_first_call_its_length_is_not_counted_in(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    foretold = forecast(queue, ingestion_id)
    assert foretold.next_starts_at == queue.clock.now.at
    assert foretold.remaining_seconds == pytest.approx(queue.source.interval_seconds, rel=0.01)
    assert foretold.caveats == ["No call has ended yet, so how long one takes is not counted in."]


def test_without_an_interval_the_calls_set_the_pace(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0.0, max_in_flight=2)
    unknown = forecast(queue, queue.submit(range(6)))
    assert (unknown.remaining_seconds, unknown.pace_seconds) == (None, None)
    for _ in range(2):
        call_next(queue)
    foretold = forecast(queue, queue.submit(range(30)))
    assert foretold.pace_seconds == CALL_SECONDS / 2
    assert foretold.approximate


def test_calls_that_take_longer_than_their_slots_set_the_pace(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0.1, max_in_flight=2)
    ingestion_id = queue.submit(range(60))
    for _ in range(4):
        call_next(queue)
    foretold = forecast(queue, ingestion_id)
    assert foretold.pace_seconds == pytest.approx(CALL_SECONDS / 2)
    assert foretold.caveats == ["Calls take 1.0 s each: they set the pace, not the interval."]


def test_a_cancelled_ingestion_delays_no_one(queue: Queue) -> None:
    first, second = queue.submit(range(60)), queue.submit(range(3))
    call_next(queue)
    assert forecast(queue, second).batches_ahead == 19
    cancel_ingestion(queue.database, first, clock=queue.clock)
    check({second: forecast(queue, second)}, play_through(queue))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("SELECT 1", id="before any dispatch"),
        pytest.param("UPDATE batches SET completed_at = NULL", id="batches edited by a person"),
    ],
)
def test_what_was_cancelled_ended_then(queue: Queue, edit: str) -> None:
    ingestion_id = queue.submit(range(3))
    queue.clock.move(10)
    cancelled_at = queue.clock.now.at
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    queue.change(edit)
    queue.clock.move(1000)
    assert forecast(queue, ingestion_id).finishes_at == cancelled_at


def test_batches_that_a_person_retries_are_at_their_old_place(queue: Queue) -> None:
    first = queue.submit(range(9))
    call_next(queue)
    for _ in range(2):
        queue.fail(call_ended(queue))
    second = queue.submit(range(9))
    forget_failures(queue)
    retry_ingestion(queue.database, first)
    going_on = {each: forecast(queue, each) for each in (first, second)}
    assert going_on[second].batches_ahead == 2
    check(going_on, play_through(queue))


def test_a_batch_that_a_person_made_urgent_is_found_where_it_is(queue: Queue) -> None:
    queue.submit(range(30), Priority.HIGH)
    moved = queue.submit(range(6), Priority.LOW)
    call_next(queue)
    queue.change(
        "UPDATE batches SET priority_rank = 0, created_at = '2020-01-01 00:00:00.000000'"
        f" WHERE ingestion_id = '{moved}'"
    )
    check({moved: forecast(queue, moved)}, play_through(queue))


@pytest.mark.parametrize("priority", Priority)
def test_a_submission_goes_as_its_preview_says(queue: Queue, priority: Priority) -> None:
    submit_mixture(queue, random.Random(7))
    for _ in range(5):
        call_next(queue)
    foretold = preview(queue, 40)
    mine = queue.submit(range(40), priority)
    reality = play_through(queue)
    at_priority = foretold.priorities[priority]
    assert at_priority.starts_at == pytest.approx(reality.next_starts_at[mine], abs=ROUNDING)
    assert at_priority.finishes_at == pytest.approx(reality.finishes_at[mine], abs=ROUNDING)
    assert at_priority.batches_ahead == reality.order.index(mine)
    assert foretold.batch_count == 14


def test_a_preview_says_whom_it_would_delay_and_by_how_much(queue: Queue) -> None:
    queue.submit([0])
    call_next(queue)
    others = []
    for priority in (Priority.HIGH, Priority.MEDIUM, Priority.LOW, Priority.LOW):
        queue.clock.move(0.1)
        others.append(queue.submit(range(9), priority))
    before = {each: forecast(queue, each) for each in others}
    foretold = preview(queue, 30)
    assert [each.delays.ingestion_count for each in foretold.priorities.values()] == [3, 2, 0]
    queue.submit(range(30), Priority.HIGH)
    for ingestion_id in others[1:]:
        later = forecast(queue, ingestion_id).remaining_seconds
        delay = later - before[ingestion_id].remaining_seconds
        assert delay == pytest.approx(foretold.priorities[Priority.HIGH].delays.seconds)
    assert foretold.priorities[Priority.LOW].delays.seconds == 0


def test_the_list_says_the_same_as_each_forecast(queue: Queue) -> None:
    submitted = submit_mixture(queue, random.Random(3))
    for _ in range(12):
        call_next(queue)
    page, found = list_with_forecasts(
        queue.database, Wanted(), configured(queue), limit=50, after=None, clock=queue.clock
    )
    assert len(page.entries) == len(submitted)
    assert 0 < len(found) < len(submitted)
    assert found == {each: forecast(queue, each) for each in found}


def test_more_than_can_be_counted_are_estimated_and_said_to_be(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 500)
    for _ in range(3):
        queue.submit(range(900), Priority.HIGH)
        queue.submit(range(900), Priority.LOW)
    ingestion_id = queue.submit(range(3), Priority.LOW)
    call_next(queue)
    exact = forecast(queue, ingestion_id)
    monkeypatch.setattr(waiting_counts, "COUNTED_MOST", 100)
    monkeypatch.setattr(waiting_counts, "PROBE_COUNT", 200)
    estimated = forecast(queue, ingestion_id)
    assert not exact.caveats
    assert estimated.caveats == ["So many batches wait that they were estimated, not counted."]
    assert estimated.batches_ahead == pytest.approx(exact.batches_ahead, rel=0.05)
    assert estimated.batches_ahead != exact.batches_ahead


def test_what_waits_near_the_head_is_exact_however_long_the_queue_is(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queue.submit(range(30))
    queue.submit(range(900))
    call_next(queue)
    monkeypatch.setattr(waiting_counts, "COUNTED_MOST", 50)
    foretold = forecast(queue, first)
    assert (foretold.batches_ahead, foretold.waiting_count) == (0, 9)
    assert not foretold.approximate


def test_a_time_beyond_all_calendars_is_not_told(queue: Queue) -> None:
    a_year = 366 * 86_400.0
    foretold = preview(queue.using(interval_seconds=a_year), 10**9)
    at_priority = foretold.priorities[Priority.HIGH]
    assert at_priority.starts_at == queue.clock.now.at
    assert at_priority.finishes_at is None
    assert at_priority.remaining_seconds == pytest.approx(333_333_333 * a_year, rel=0.01)


def test_the_first_call_of_all_may_take_any_time(queue: Queue) -> None:
    ingestion_id = queue.submit([1])
    queue.claim()
    foretold = forecast(queue, ingestion_id)
    assert (foretold.finishes_at, foretold.remaining_seconds) == (None, None)
    assert foretold.caveats == ["Nothing tells yet how long a call takes."]


def test_a_call_that_is_overdue_is_said_to_be(queue: Queue) -> None:
    queue.submit([1])
    call_next(queue)
    ingestion_id = queue.submit([1])
    queue.claim_in_turn()
    queue.clock.move(CALL_SECONDS * 2)
    foretold = forecast(queue, ingestion_id)
    assert foretold.remaining_seconds == 0.0
    assert foretold.caveats == ["A call takes longer than they do."]


def test_while_the_upstream_fails_the_forecast_counts_on_its_answering(queue: Queue) -> None:
    ingestion_id = queue.submit(range(30))
    for _ in range(8):
        queue.defer(queue.claim_in_turn(), delay_seconds=None)
    foretold = forecast(queue, ingestion_id)
    assert foretold.waiting_count == 10
    assert foretold.remaining_seconds < 300 + 10 * 5.1  # the longest back-off, and its batches
    assert [caveat for caveat in foretold.caveats if "counts on its answering" in caveat]
    assert not [caveat for caveat in foretold.caveats if "dispatches" in caveat]


def test_each_priority_counts_those_it_would_delay_for_itself(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "DELAYED_MOST", 3)
    for priority in (*[Priority.MEDIUM] * 9, Priority.LOW, Priority.LOW):
        queue.clock.move(0.1)
        queue.submit([1], priority)
    foretold = preview(queue, 3)
    delayed = [each.delays.ingestion_count for each in foretold.priorities.values()]
    assert delayed == [4 + 2, 2, 0]
    assert any(caveat.startswith("More than 3 ingestions") for caveat in foretold.caveats)


def test_an_estimate_holds_where_the_wall_clock_was_set_back(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_counts, "COUNTED_MOST", 50)
    monkeypatch.setattr(packing, "PACK_SIZE", 500)
    queue.submit(range(900))
    queue.clock.set_wall(-3_600)
    queue.submit(range(900))
    with queue.database.read() as connection:
        count = waiting_counts.count_waiting(connection, waiting_counts.Line("default", 1))
    assert count.is_estimate
    assert count.number == pytest.approx(600, rel=0.05)


def test_retries_that_are_too_many_to_be_looked_at_count_as_ready(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queue.submit(range(12)), queue.submit(range(6))
    call_next(queue)
    later = queue.clock.now.later(60).at
    queue.change(
        "UPDATE batches SET not_before = :later WHERE status = 'yet_to_start'", later=later
    )
    monkeypatch.setattr(outlook, "RETRIES_MOST", 3)
    foretold = forecast(queue, second)
    assert foretold.waiting_count == 2
    assert foretold.remaining_seconds > 2 * 5
    assert any(caveat.startswith("So many batches wait for a time") for caveat in foretold.caveats)
    assert forecast(queue, first).approximate


def test_a_forecast_stays_the_same_between_two_slots(queue: Queue) -> None:
    queue.submit(range(60))
    ingestion_id = queue.submit(range(60))
    for _ in range(5):
        call_next(queue)
    before = forecast(queue, ingestion_id)
    queue.clock.move(0.7)
    after = forecast(queue, ingestion_id)
    assert after.remaining_seconds == pytest.approx(before.remaining_seconds - 0.7)
    assert replace(after, remaining_seconds=before.remaining_seconds) == before
