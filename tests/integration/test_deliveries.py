"""Deliveries: due, claimed, told, put off, given up; and an endpoint that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingest_app.errors import NoEndpoint, UnknownDelivery
from ingest_app.prepared import change, fetch_all
from ingest_app.queue import deliveries, delivery_listing, endpoints, retrying
from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.deliveries import (
    LEASE_SECONDS,
    LONGEST_DELAY_SECONDS,
    Delivery,
    claim_delivery,
    drop_delivery,
    give_up,
    mark_delivered,
    put_off,
    seconds_until_due,
)
from ingest_app.queue.delivery_listing import (
    DeliveryState,
    list_deliveries,
    resend_deliveries,
    resend_given_up,
)
from ingest_app.queue.endpoints import keep_endpoint
from tests.support.clocks import DAY, HOUR
from tests.support.queues import Queue


@pytest.fixture
def queue(queue: Queue) -> Queue:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    return queue.using(interval_seconds=0, max_in_flight=64)


def end(queue: Queue, count: int = 1) -> list[str]:
    """So many ingestions end, a second after each other."""
    ended = []
    for _ in range(count):
        queue.clock.move(1)
        ended.append(queue.submit())
        cancel_ingestion(queue.database, ended[-1], clock=queue.clock)
    return ended


def claim(queue: Queue) -> Delivery:
    found = claim_or_none(queue)
    assert found is not None
    return found


def claim_or_none(queue: Queue) -> Delivery | None:
    return claim_delivery(queue.database, clock=queue.clock)


def wait(queue: Queue) -> float | None:
    return seconds_until_due(queue.database, clock=queue.clock)


def fail(queue: Queue, delivery: Delivery, delay: float = 5.0, pause: float = 0.0) -> bool:
    return put_off(
        queue.database,
        delivery,
        error="HTTP 500.",
        delay_seconds=delay,
        pause_seconds=pause,
        jitter=0.0,
        clock=queue.clock,
    )


def deliver(queue: Queue, delivery: Delivery) -> bool:
    return mark_delivered(queue.database, delivery, clock=queue.clock)


def states(queue: Queue) -> list[str]:
    return [entry.state.value for entry in reversed(list_deliveries(queue.database, limit=2_000))]


def test_what_has_been_due_for_longest_goes_first(queue: Queue) -> None:
    ended = end(queue, 3)
    assert [claim(queue).ingestion_id for _ in range(3)] == ended
    assert claim_or_none(queue) is None
    assert states(queue) == ["sending"] * 3


def test_delivered_is_told_once(queue: Queue) -> None:
    end(queue)
    assert wait(queue) == 0
    assert deliver(queue, claim(queue))
    queue.clock.move(DAY)
    assert (states(queue), wait(queue), claim_or_none(queue)) == (["delivered"], None, None)


def test_failed_waits_for_its_next_attempt(queue: Queue) -> None:
    end(queue)
    assert fail(queue, claim(queue), delay=20)
    assert (states(queue), wait(queue), claim_or_none(queue)) == (["waiting"], 20, None)
    queue.clock.move(20)
    assert wait(queue) == 0
    assert claim(queue).attempt == 2


def test_given_up_is_not_tried_again(queue: Queue) -> None:
    end(queue)
    assert give_up(queue.database, claim(queue), error="HTTP 410.", jitter=0, clock=queue.clock)
    queue.clock.move(30 * DAY)
    assert (states(queue), claim_or_none(queue)) == (["given_up"], None)
    assert list_deliveries(queue.database, limit=1)[0].last_error == "HTTP 410."


def test_another_may_try_when_the_lease_is_over_and_the_late_one_loses(queue: Queue) -> None:
    end(queue)
    late = claim(queue)
    queue.clock.move(LEASE_SECONDS - 1)
    assert (wait(queue), claim_or_none(queue)) == (1, None)
    queue.clock.move(1)
    holder = claim(queue)
    assert (holder.delivery_id, holder.attempt) == (late.delivery_id, 2)
    before = queue.rows("SELECT * FROM webhook_deliveries")
    assert not deliver(queue, late)
    assert not fail(queue, late)
    assert not give_up_one(queue, late)
    assert not drop(queue, late)
    assert queue.rows("SELECT * FROM webhook_deliveries") == before
    assert queue.rows("SELECT failure_count FROM webhook_endpoints") == [(0,)]
    assert deliver(queue, holder)


def test_without_its_token_a_late_one_would_win(queue: Queue) -> None:
    end(queue)
    late = claim(queue)
    queue.clock.move(LEASE_SECONDS)
    holder = claim(queue)
    assert deliver(queue, replace(late, claim_token=holder.claim_token))


def test_wall_clock_that_was_set_back_stalls_nothing(queue: Queue) -> None:
    end(queue)
    fail(queue, claim(queue), delay=LONGEST_DELAY_SECONDS)
    assert claim_or_none(queue) is None
    queue.clock.set_wall(-HOUR)
    end(queue)
    assert wait(queue) == 0
    first, second = claim(queue), claim(queue)
    assert (first.delivery_id, second.delivery_id) == (2, 1)


@pytest.mark.parametrize(
    ("step_seconds", "is_told_twice"),
    [
        pytest.param(LEASE_SECONDS - 1, False, id="forward, within the lease"),
        pytest.param(LEASE_SECONDS, True, id="forward, beyond the lease"),
        pytest.param(
            -LONGEST_DELAY_SECONDS + LEASE_SECONDS, False, id="back, by less than 6 hours"
        ),
        pytest.param(-LONGEST_DELAY_SECONDS, True, id="back, by so much that no lease explains it"),
    ],
)
def test_clock_that_is_set_during_a_call_lets_it_be_told_once_more_at_most(
    queue: Queue, step_seconds: float, is_told_twice: bool
) -> None:
    end(queue)
    early = claim(queue)
    queue.clock.set_wall(step_seconds)
    another = claim_or_none(queue)
    assert (another is not None) is is_told_twice
    assert claim_or_none(queue) is None
    assert deliver(queue, early) is not is_told_twice
    if another is not None:
        assert deliver(queue, another)
    assert (states(queue), wait(queue)) == (["delivered"], None)


@pytest.mark.parametrize("step_seconds", [DAY, HOUR, -HOUR, -5 * HOUR, -DAY, -30 * DAY])
@pytest.mark.parametrize("is_a_turn", [False, True])
def test_clock_that_is_set_keeps_no_delivery_of_a_dead_worker_for_more_than_the_longest_delay(
    queue: Queue, step_seconds: float, is_a_turn: bool
) -> None:
    end(queue, 6)
    fail_for_different_ones(queue, 5 if is_a_turn else 4)
    queue.clock.move(1)
    dead = claim(queue)
    queue.clock.set_wall(step_seconds)
    passed_seconds = 0.0
    found: set[int] = set()
    while dead.delivery_id not in found:
        delivery = claim_or_none(queue)
        if delivery is not None:
            found.add(delivery.delivery_id)
            deliver(queue, delivery)
            continue
        passed_seconds += wait(queue)
        queue.clock.move(wait(queue))
    assert passed_seconds <= LONGEST_DELAY_SECONDS


def test_without_a_longest_delay_a_clock_that_was_set_back_is_seen_to_keep_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LONGEST_DELAY_SECONDS", 365 * DAY)
    end(queue)
    claim(queue)
    queue.clock.set_wall(-30 * DAY)
    assert (claim_or_none(queue), wait(queue)) == (None, 30 * DAY + LEASE_SECONDS)


def fail_for_different_ones(queue: Queue, count: int) -> None:
    for _ in range(count):
        fail(queue, claim(queue), delay=HOUR)


def test_endpoint_that_fails_for_one_after_the_other_is_left_alone_by_all(queue: Queue) -> None:
    end(queue, 9)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    assert (claim_or_none(queue), wait(queue)) == (None, 1.0)
    queue.clock.move(1)
    probe = claim(queue)
    assert claim_or_none(queue) is None, "one at a time is enough"
    fail(queue, probe, delay=HOUR)
    assert (claim_or_none(queue), wait(queue)) == (None, 2.0)
    queue.clock.move(2)
    deliver(queue, claim(queue))
    assert [claim(queue).delivery_id for _ in range(2)] == [8, 9]


def test_without_the_breaker_all_are_tried_at_once(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "BREAKER_FAILURE_COUNT", 10**6)
    end(queue, 9)
    fail_for_different_ones(queue, 9)


def test_one_that_always_fails_does_not_hold_up_the_others(queue: Queue) -> None:
    end(queue)
    for _ in range(2 * retrying.BREAKER_FAILURE_COUNT):
        fail(queue, claim(queue), delay=1)
        queue.clock.move(1)
    (fresh,) = end(queue)
    assert {claim(queue).ingestion_id for _ in range(2)} >= {fresh}


def test_prober_that_died_blocks_the_endpoint_for_its_lease_only(queue: Queue) -> None:
    end(queue, 9)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    queue.clock.move(1)
    claim(queue)
    queue.clock.move(LEASE_SECONDS - 1)
    assert claim_or_none(queue) is None
    queue.clock.move(1)
    assert claim(queue)


def test_pause_that_the_endpoint_asks_for_is_for_all_deliveries(queue: Queue) -> None:
    end(queue, 2)
    fail(queue, claim(queue), delay=90, pause=90)
    assert (claim_or_none(queue), wait(queue)) == (None, 90)
    queue.clock.move(90)
    assert claim(queue)


def give_up_one(queue: Queue, delivery: Delivery) -> bool:
    return give_up(queue.database, delivery, error="no", jitter=0, clock=queue.clock)


def drop(queue: Queue, delivery: Delivery) -> bool:
    return drop_delivery(queue.database, delivery, reason="no", clock=queue.clock)


SETTLE = pytest.mark.parametrize("settle", [deliver, fail, give_up_one, drop])


@SETTLE
def test_pause_holds_whatever_comes_of_those_claimed_before_it(
    queue: Queue, settle: Callable[[Queue, Delivery], bool]
) -> None:
    end(queue, 3)
    first, second = claim(queue), claim(queue)
    fail(queue, first, pause=HOUR)
    queue.clock.move(1)
    assert settle(queue, second)
    assert (claim_or_none(queue), wait(queue)) == (None, HOUR - 1)


def test_shorter_pause_does_not_end_the_longer_one(queue: Queue) -> None:
    end(queue, 3)
    first, second = claim(queue), claim(queue)
    fail(queue, first, pause=HOUR)
    fail(queue, second, pause=90)
    assert (claim_or_none(queue), wait(queue)) == (None, HOUR)


@SETTLE
def test_pause_holds_beside_the_turn_of_another(
    queue: Queue, settle: Callable[[Queue, Delivery], bool]
) -> None:
    end(queue, 9)
    early = claim(queue)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    queue.clock.move(1)
    probe = claim(queue)
    fail(queue, early, pause=40)
    assert settle(queue, probe)
    assert (claim_or_none(queue), wait(queue)) == (None, 40)


def test_dropping_one_that_was_claimed_earlier_does_not_close_the_breaker(queue: Queue) -> None:
    end(queue, 9)
    early = claim(queue)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    assert drop(queue, early)
    assert (claim_or_none(queue), wait(queue)) == (None, 1.0)


@pytest.mark.parametrize("back_seconds", [HOUR, 12 * HOUR])
def test_pause_that_is_over_does_not_come_back_with_the_clock(
    queue: Queue, back_seconds: float
) -> None:
    end(queue, 2)
    fail(queue, claim(queue), delay=90, pause=90)
    queue.clock.move(90)
    deliver(queue, claim(queue))
    queue.clock.set_wall(-back_seconds)
    queue.clock.move(max(0.0, back_seconds - HOUR))
    end(queue)
    assert claim(queue)


def test_pause_from_before_the_clock_was_set_back_does_not_hide_another(queue: Queue) -> None:
    end(queue, 3)
    first, second = claim(queue), claim(queue)
    fail(queue, first, pause=90)
    queue.clock.set_wall(-DAY)
    fail(queue, second, pause=30)
    assert (claim_or_none(queue), wait(queue)) == (None, 30)


def test_what_was_not_sent_says_nothing_of_the_endpoint(queue: Queue) -> None:
    end(queue, 9)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    queue.clock.move(1)
    drop(queue, claim(queue))
    assert wait(queue) == 0
    assert queue.rows("SELECT failure_count FROM webhook_endpoints") == [(5,)]


def test_endpoint_is_kept_as_the_settings_say(queue: Queue) -> None:
    before = queue.rows("SELECT * FROM webhook_endpoints")
    queue.clock.move(60)
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    assert queue.rows("SELECT * FROM webhook_endpoints") == before


def test_removed_endpoint_gives_up_all_that_waits_in_small_transactions(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def change_and_count(*given: Any) -> int:
        counts.append(change(*given))
        return counts[-1]

    monkeypatch.setattr(endpoints, "change", change_and_count)
    queue.change(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001)"
        " INSERT INTO webhook_deliveries (endpoint, ingestion_id, ended_at, next_attempt_at)"
        " SELECT 'default', :it, '2026-03-01 12:00:00.000000', '2026-03-01 12:00:00.000000' FROM n",
        it=queue.submit(),
    )
    held = claim(queue)
    count = keep_endpoint(queue.database, is_wanted=False, clock=queue.clock)
    assert counts == [1, 500, 500, 1]
    assert (count, wait(queue), claim_or_none(queue)) == (1_001, None, None)
    assert not deliver(queue, held)
    reasons = queue.rows("SELECT DISTINCT given_up_at IS NULL, last_error FROM webhook_deliveries")
    assert reasons == [(0, "The settings have no webhook_url any more.")]
    end(queue)
    assert len(states(queue)) == 1_001
    assert keep_endpoint(queue.database, is_wanted=False, clock=queue.clock) == 0


def test_removal_that_was_interrupted_is_finished_by_the_next_start(queue: Queue) -> None:
    end(queue)
    queue.change("DELETE FROM webhook_endpoints")
    assert claim_or_none(queue) is None
    assert keep_endpoint(queue.database, is_wanted=False, clock=queue.clock) == 1
    assert states(queue) == ["given_up"]


def test_resent_has_all_its_attempts_before_it_and_the_endpoint_its_chance(queue: Queue) -> None:
    end(queue, 9)
    fail_for_different_ones(queue, retrying.BREAKER_FAILURE_COUNT)
    queue.clock.move(1)
    assert resend_deliveries(queue.database, [1, 2], clock=queue.clock) == 2
    claims = [claim(queue) for _ in range(6)]
    assert {(one.delivery_id, one.attempt) for one in claims[4:]} == {(1, 1), (2, 1)}
    # Now a worker has both.
    assert resend_deliveries(queue.database, [1, 2], clock=queue.clock) == 0


def test_all_that_were_given_up_can_be_resent(queue: Queue) -> None:
    end(queue, 3)
    for _ in range(2):
        give_up(queue.database, claim(queue), error="no", jitter=0, clock=queue.clock)
    deliver(queue, claim(queue))
    assert resend_given_up(queue.database, clock=queue.clock) == 2
    assert states(queue) == ["waiting", "waiting", DeliveryState.DELIVERED]


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param("DELETE FROM webhook_deliveries WHERE id = 2", id="deleted by retention"),
        pytest.param(
            "UPDATE webhook_deliveries SET given_up_at = NULL, delivered_at = ended_at"
            " WHERE id = 2",
            id="resent by another, and told",
        ),
    ],
)
def test_given_up_that_is_none_any_more_is_left_out(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    end(queue, 3)
    for _ in range(3):
        give_up_one(queue, claim(queue))

    def look_then_lose(*given: Any) -> list[Any]:
        found = fetch_all(*given)
        monkeypatch.undo()
        queue.change(meanwhile)
        return found

    monkeypatch.setattr(delivery_listing, "fetch_all", look_then_lose)
    assert resend_given_up(queue.database, clock=queue.clock) == 2
    waiting = "SELECT id FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL ORDER BY id"
    assert queue.rows(waiting) == [(1,), (3,)]


def test_nothing_is_resent_to_nobody_nor_what_is_not_there(queue: Queue) -> None:
    end(queue)
    with pytest.raises(UnknownDelivery):
        resend_deliveries(queue.database, [1, 7], clock=queue.clock)
    keep_endpoint(queue.database, is_wanted=False, clock=queue.clock)
    with pytest.raises(NoEndpoint):
        resend_deliveries(queue.database, [1], clock=queue.clock)
    assert states(queue) == ["given_up"]


def test_an_undone_claim_leaves_the_delivery_due(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(queue)
    monkeypatch.setattr(retrying, "BREAKER_FAILURE_COUNT", "broken")
    with pytest.raises(TypeError):
        claim(queue)
    monkeypatch.undo()
    assert claim(queue).attempt == 1
