"""How a source stands, and the sentence that says why nothing of it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from ingest_app.errors import NoSuchSource
from ingest_app.queue.control import pause_source
from ingest_app.queue.reasons import reason
from ingest_app.queue.refusing import Refusal, Wait
from ingest_app.queue.source_states import SourceState, read_source, read_sources
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.queues import Queue


def configured(queue: Queue) -> Mapping[str, SourceSettings]:
    return {queue.source.name: queue.source}


def state(queue: Queue) -> SourceState:
    return read_source(queue.database, queue.source.name, configured(queue), clock=queue.clock)


def idle(_queue: Queue) -> None:
    pass


def new_work(queue: Queue) -> None:
    queue.submit()


def between_slots(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.move(1.8)


def between_slots_without_work(queue: Queue) -> None:
    queue.submit()
    queue.complete(queue.claim())


def open_slot(queue: Queue) -> None:
    between_slots(queue)
    queue.clock.move(10)


def paused(queue: Queue) -> None:
    queue.submit()
    pause_source(queue.database, "default", clock=queue.clock)


def paused_without_work(queue: Queue) -> None:
    pause_source(queue.database, "default", clock=queue.clock)


def deferred(queue: Queue) -> None:
    queue.submit(range(6))
    queue.defer(queue.claim(), delay_seconds=90)
    queue.clock.move(10)


def deferred_while_it_fails(queue: Queue) -> None:
    failing(queue)
    queue.defer(queue.claim_in_turn(), delay_seconds=90)
    queue.clock.move(10)


def failing(queue: Queue) -> None:
    queue.submit(range(60))
    for _ in range(5):
        queue.retry(queue.claim_in_turn(), delay_seconds=300)


def left_alone_without_a_time(queue: Queue) -> None:
    queue.submit()
    queue.defer(queue.claim(), delay_seconds=None)


def one_in_flight_of_a_failing_source(queue: Queue) -> None:
    failing(queue)
    queue.claim_in_turn()
    queue.clock.move(10)


def answers_again(queue: Queue) -> None:
    queue.submit(range(60))
    late = queue.claim_in_turn()
    for _ in range(5):
        queue.retry(queue.claim_in_turn(), delay_seconds=300)
    queue.complete(late)  # which was in flight all the time
    queue.clock.move(queue.refused().wait_seconds)


def all_in_flight(queue: Queue) -> None:
    queue.submit(range(15))
    for _ in range(4):
        queue.claim_in_turn()
    queue.clock.move(10)


def one_in_flight(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    queue.clock.move(10)


def waits_for_a_retry(queue: Queue) -> None:
    queue.submit()
    queue.retry(queue.claim(), delay_seconds=37)
    queue.clock.move(10)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (idle, "Nothing waits."),
        (new_work, None),
        (between_slots, "The next slot opens at 2026-03-01 12:00:05 UTC."),
        pytest.param(
            between_slots_without_work, "Nothing waits.", id="no news where nothing wants the slot"
        ),
        (open_slot, None),
        (paused, "Paused since 2026-03-01 12:00:00 UTC."),
        (paused_without_work, "Paused since 2026-03-01 12:00:00 UTC."),
        (
            deferred,
            "The upstream asked to be left alone until 2026-03-01 12:01:30 UTC.",
        ),
        (
            deferred_while_it_fails,
            "The upstream asked to be left alone until 2026-03-01 12:01:55 UTC.",
        ),
        (
            left_alone_without_a_time,
            "Left alone until 2026-03-01 12:00:01 UTC after a failure.",
        ),
        (
            failing,
            "Left alone until 2026-03-01 12:00:21 UTC after 5 failures on end.",
        ),
        (
            one_in_flight_of_a_failing_source,
            "1 batch is in flight, as many as may be after 5 failures on end.",
        ),
        (answers_again, None),
        (all_in_flight, "4 batches are in flight, as many as may be."),
        (one_in_flight, "Nothing waits."),
        (waits_for_a_retry, "What failed may go again at 2026-03-01 12:00:37 UTC."),
    ],
)
def test_sentence_says_why_nothing_goes(
    queue: Queue, situation: Callable[[Queue], None], expected: str | None
) -> None:
    situation(queue)
    assert state(queue).waits_for == expected  # without the error, which may name somebody's IDs


def test_a_sentence_stays_the_same_while_its_reason_does(queue: Queue) -> None:
    between_slots(queue)
    before = state(queue)
    queue.clock.move(1.1)
    assert state(queue) == before


@pytest.mark.parametrize("wait", Wait)
def test_there_is_a_reason_for_whatever_a_claim_is_refused_for(queue: Queue, wait: Wait) -> None:
    queue.submit()
    queue.claim()
    until = queue.clock.read().at
    queue.set_source(paused_at=until, deferred_until=until, backoff_until=until)
    refused = Refusal(wait, wait_seconds=1.0)
    words = reason(refused, queue.source_row(), until=until, in_flight_count=1)
    assert words.endswith(".")


def test_what_waits_is_counted_by_priority_with_what_waits_again(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(9), Priority.HIGH)
    queue.submit(range(3), Priority.LOW)
    queue.retry(queue.claim())
    queue.claim()
    found = state(queue)
    assert found.waiting == {"HIGH": 2, "MEDIUM": 0, "LOW": 1}
    assert found.in_flight_count == 1


def test_slot_is_told_while_it_is_closed(queue: Queue) -> None:
    assert state(queue).next_slot_at is None
    queue.submit()
    queue.claim()
    queue.clock.move(1)
    assert state(queue).next_slot_at == queue.slot().opens.at
    queue.clock.move(10)
    assert state(queue).next_slot_at is None


def test_slot_is_told_on_the_wall_clock_of_today(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    queue.clock.set_wall(-3_600)
    assert state(queue).next_slot_at == queue.clock.read().later(5.025).at


def test_slot_follows_the_interval_in_force(queue: Queue) -> None:
    queue.submit()
    claimed = queue.claim().claimed
    assert state(queue.using(interval_seconds=60)).next_slot_at == claimed.later(60.025).at


def test_settings_and_failures_are_told(queue: Queue) -> None:
    between_slots(queue)
    queue.set_source(failure_count=2, last_error="503 Service Unavailable")
    found = state(queue)
    assert (found.name, found.kind, found.configured) == ("default", "simulated", True)
    assert (found.interval_seconds, found.batch_size) == (5.0, 3)
    assert (found.failure_count, found.last_error) == (2, "503 Service Unavailable")


def test_nothing_secret_is_told(queue: Queue) -> None:
    secret = queue.using(options={"url": "https://u:hunter2@x"}, secrets=("hunter2",))
    assert "hunter2" not in repr(state(secret))


@pytest.mark.parametrize(
    ("claims", "waits_for"),
    [
        pytest.param(0, "It is not configured any more", id="it was never dispatched"),
        pytest.param(1, "It is not configured any more", id="some of it was dispatched"),
        pytest.param(2, "Nothing waits.", id="all of it was dispatched"),
    ],
)
def test_source_that_only_the_database_knows_is_listed(
    queue: Queue, claims: int, waits_for: str
) -> None:
    gone = queue.using(name="gone", interval_seconds=0)
    gone.submit(range(6))
    for _ in range(claims):
        gone.claim()
    found = read_sources(queue.database, configured(queue), clock=queue.clock)
    names = [(one.name, one.configured) for one in found]
    assert names == [("default", True), ("gone", False)]
    assert found[1].waits_for.startswith(waits_for)
    assert (found[1].kind, found[1].interval_seconds, found[1].batch_size) == (None, None, None)


def test_unknown_source_is_an_error_that_names_the_known_ones(queue: Queue) -> None:
    queue.using(name="gone").submit()
    with pytest.raises(NoSuchSource, match="default, gone") as caught:
        read_source(queue.database, "nowhere", configured(queue), clock=queue.clock)
    assert caught.value.name == "nowhere"


def test_reading_changes_nothing(queue: Queue) -> None:
    between_slots(queue)
    before = queue.everything()
    read_sources(queue.database, configured(queue), clock=queue.clock)
    assert queue.everything() == before


def test_slot_stands_still_though_the_clocks_drift(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    before = state(queue).next_slot_at
    queue.clock.set_wall(0.003)
    assert state(queue).next_slot_at == before
