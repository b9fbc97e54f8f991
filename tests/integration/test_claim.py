"""Which batch goes, when, and that the slot is spent with it or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.queue import claim as claiming
from ingest_app.queue import pacing
from ingest_app.queue.claim import Claim
from ingest_app.queue.pacing import Slot
from ingest_app.queue.refusing import Refusal, Wait, find_refusal
from ingest_app.states import Priority
from tests.support.clocks import DAY, HOUR, START, FakeClock, without_boot_clock
from tests.support.queues import Queue, keeps_what_an_error_interrupts

HIGH, MEDIUM, LOW = Priority
SPACING = 5.025


def about(seconds: float) -> Any:
    """These seconds, but for the rounding of floats and of stored times."""
    return pytest.approx(seconds)


def test_claim_prefers_lower_rank_then_older_then_lower_id(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(["low"], LOW)
    queue.submit(["medium, first of two at one time"])
    queue.submit(["medium, second of two at one time"])
    queue.clock.move(1)
    queue.submit(["high, younger"], HIGH)
    queue.clock.set_wall(-10)
    queue.submit(["high, older by the clock"], HIGH)
    assert [queue.claim().ids[0] for _ in range(5)] == [
        "high, older by the clock",
        "high, younger",
        "medium, first of two at one time",
        "medium, second of two at one time",
        "low",
    ]


def test_high_that_arrives_a_millisecond_before_the_slot_wins(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.move(queue.refused().wait_seconds - 0.001)
    queue.submit(["urgent"], HIGH)
    queue.refused()
    queue.clock.move(0.001)
    assert queue.claim_in_turn().ids == ("urgent",)


def claim_all(queue: Queue) -> Sequence[Claim] | Refusal:
    """All that may go at once, for a source without a pace."""
    return claiming.claim_all_that_may_go(
        queue.database, queue.source, worker="worker", clock=queue.clock
    )


def test_without_a_pace_a_claim_fills_all_places_in_the_order_of_the_queue(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=3)
    queue.submit(["low"], LOW)
    queue.submit(["medium"])
    queue.submit(["high"], HIGH)
    queue.submit(["too many"], LOW)
    claims = claim_all(queue)
    assert isinstance(claims, list)
    assert [claim.ids[0] for claim in claims] == ["high", "medium", "low"]
    assert [row.newest_batch_id for row in queue.ledger()] == [4] * 3
    assert claim_all(queue) == Refusal(Wait.IN_FLIGHT)


def test_claim_of_all_that_may_go_leaves_places_free_when_less_waits(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(6))
    claims = claim_all(queue)
    assert isinstance(claims, list)
    assert len(claims) == 2
    assert claim_all(queue) == Refusal(Wait.EMPTY)


def test_claim_of_all_that_may_go_takes_one_while_the_breaker_is_open(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(6))
    queue.submit()
    queue.complete(queue.claim())
    queue.set_source(failure_count=5)
    claims = claim_all(queue)
    assert isinstance(claims, list)
    assert len(claims) == 1


def test_batches_of_one_ingestion_go_in_their_order(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(range(60))
    assert [queue.claim().ids for _ in range(20)] == [(n, n + 1, n + 2) for n in range(0, 60, 3)]


def test_other_sources_are_not_touched(queue: Queue) -> None:
    other = queue.using(name="other")
    other.submit(["other"], HIGH)
    queue.submit(["own"], LOW)
    assert queue.claim().ids == ("own",)
    assert other.claim().ids == ("other",)  # with a slot of its own


def test_claimed_batch_is_triggered_under_a_lease(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    batch, now = queue.batch(claim.batch_id), queue.clock.read()
    assert (batch.status, batch.attempt_count) == ("triggered", 1)
    assert (batch.triggered_at, batch.completed_at) == (now.at, None)
    assert batch.claim_token == claim.claim_token
    ends = now.later(queue.source.lease_seconds)
    assert (batch.lease_expires_at, batch.lease_boot_seconds) == (ends.at, ends.boot_seconds)
    assert batch.boot_id == now.boot_id


def test_ledger_has_the_dispatch_before_the_call_is_made(queue: Queue) -> None:
    queue.submit()
    claim, now = queue.claim(), queue.clock.read()
    entry = queue.dispatch(claim)
    assert (entry.source, entry.batch_id, entry.attempt) == ("default", claim.batch_id, 1)
    assert (entry.worker, entry.outcome, entry.finished_at) == ("worker", None, None)
    assert (entry.dispatched_at, entry.dispatched_boot_seconds) == (now.at, now.boot_seconds)
    assert (entry.interval_seconds, entry.margin_seconds) == (5.0, pytest.approx(0.025))


def test_ledger_says_when_the_slot_had_opened(queue: Queue) -> None:
    queue.submit(range(6))
    assert queue.dispatch(queue.claim()).slot_opened_at is None  # never used before
    queue.clock.move(SPACING + 3)
    late = queue.clock.read().at - queue.dispatch(queue.claim()).slot_opened_at
    assert late.total_seconds() == pytest.approx(3)


def test_every_claim_has_a_token_of_its_own(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(range(60))
    assert len({queue.claim().claim_token for _ in range(20)}) == 20


def test_claims_are_an_interval_and_a_margin_apart(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    assert queue.refused() == Refusal(Wait.SLOT, about(SPACING))
    queue.clock.move(SPACING - 0.001)
    assert queue.refused() == Refusal(Wait.SLOT, about(0.001))
    queue.clock.move(0.001 + 1e-9)
    queue.claim()


def test_slot_that_was_not_used_does_not_add_up(queue: Queue) -> None:
    queue.submit(range(9))
    queue.claim()
    queue.clock.move(HOUR)
    queue.claim()
    assert queue.refused().reason is Wait.SLOT


@pytest.mark.parametrize("step_seconds", [HOUR, -HOUR, DAY, -DAY])
def test_step_of_the_wall_clock_moves_no_slot(queue: Queue, step_seconds: float) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.set_wall(step_seconds)
    assert queue.refused() == Refusal(Wait.SLOT, about(SPACING))
    queue.clock.move(SPACING + 1e-9)
    queue.claim()


def test_slot_outlives_a_reboot(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.reboot()
    assert queue.refused() == Refusal(Wait.SLOT, about(SPACING))


def test_reboot_with_the_clock_set_back_waits_one_interval_from_now(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.reboot(-DAY)
    assert queue.refused() == Refusal(Wait.SLOT, about(SPACING))
    queue.clock.move(SPACING + 1e-9)
    queue.claim()


def test_without_that_rule_a_clock_set_back_is_seen_to_stall(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(pacing, "says_nothing", lambda *_: False)
    queue.submit(range(6))
    queue.claim()
    queue.clock.reboot(-DAY)
    assert queue.refused().wait_seconds > DAY


def test_look_before_a_claim_tries_it_after_a_clock_set_back(queue: Queue) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.reboot(-DAY)
    assert find_refusal(queue.database, queue.source, clock=queue.clock) is None


@pytest.mark.parametrize("interval_seconds", [0.5, 60.0])
def test_changed_interval_counts_from_the_last_claim(queue: Queue, interval_seconds: float) -> None:
    queue.submit(range(6))
    queue.claim()
    wait_seconds = queue.using(interval_seconds=interval_seconds).refused().wait_seconds
    assert interval_seconds <= wait_seconds <= interval_seconds + 0.026


def test_without_an_interval_there_is_no_waiting(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(range(60))
    assert len([queue.claim() for _ in range(20)]) == 20


def paused(queue: Queue) -> None:
    queue.submit()
    queue.claim_in_turn()
    queue.clock.move(SPACING)
    queue.set_source(paused_at=queue.clock.read().at)


def deferred(queue: Queue) -> None:
    queue.submit()
    queue.claim_in_turn()
    queue.clock.move(SPACING)
    queue.set_source(deferred_until=queue.clock.read().later(60).at)


def full(queue: Queue) -> None:
    for _ in range(queue.source.max_in_flight):
        queue.submit()
        queue.claim_in_turn()
    queue.clock.move(SPACING)


def closed(queue: Queue) -> None:
    queue.submit()
    queue.claim()


def waiting_for_a_retry(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    queue.clock.move(SPACING)
    queue.retry(claim, delay_seconds=2)


def refusals(*, with_work: bool) -> Sequence[Any]:
    both = [
        pytest.param(paused, Refusal(Wait.PAUSED), id="paused"),
        pytest.param(deferred, Refusal(Wait.DEFERRED, about(60)), id="deferred"),
        pytest.param(full, Refusal(Wait.IN_FLIGHT), id="as many in flight as may be"),
        pytest.param(closed, Refusal(Wait.SLOT, about(SPACING)), id="slot closed"),
    ]
    idle = [
        pytest.param(lambda _queue: None, Refusal(Wait.EMPTY), id="empty"),
        pytest.param(waiting_for_a_retry, Refusal(Wait.RETRY, about(2)), id="retry"),
    ]
    return both if with_work else both + idle


@pytest.mark.parametrize(("hinder", "refusal"), refusals(with_work=True))
def test_waiting_work_does_not_go_while_the_source_may_not(
    queue: Queue, hinder: Callable[[Queue], None], refusal: Refusal
) -> None:
    hinder(queue)
    queue.submit(["urgent"], HIGH)
    assert queue.refused() == refusal


@pytest.mark.parametrize(("hinder", "refusal"), refusals(with_work=False))
def test_refused_claim_changes_nothing(
    queue: Queue, hinder: Callable[[Queue], None], refusal: Refusal
) -> None:
    queue.submit()
    queue.complete(queue.claim())  # so that the source has its row
    queue.clock.move(SPACING)
    hinder(queue)
    before = queue.everything()
    assert queue.refused() == refusal
    assert queue.everything() == before


@pytest.mark.parametrize(("hinder", "refusal"), refusals(with_work=False))
def test_look_without_the_write_lock_finds_the_same_refusal(
    queue: Queue, hinder: Callable[[Queue], None], refusal: Refusal
) -> None:
    queue.submit()
    queue.complete(queue.claim())
    queue.clock.move(SPACING)
    hinder(queue)
    assert find_refusal(queue.database, queue.source, clock=queue.clock) == refusal


def test_look_at_a_source_that_was_never_used_finds_no_refusal(queue: Queue) -> None:
    assert find_refusal(queue.database, queue.source, clock=queue.clock) is None


def test_deferral_ends_at_its_instant(queue: Queue) -> None:
    deferred(queue)
    queue.submit()
    queue.clock.move(queue.refused().wait_seconds)
    queue.claim()


def test_resumed_source_goes_on(queue: Queue) -> None:
    paused(queue)
    queue.submit()
    queue.set_source(paused_at=None)
    queue.claim()


def test_end_of_a_batch_makes_room_for_another(queue: Queue) -> None:
    queue = queue.using(max_in_flight=1, interval_seconds=0)
    queue.submit(range(6))
    claim = queue.claim()
    assert queue.refused() == Refusal(Wait.IN_FLIGHT)
    queue.complete(claim)
    queue.claim()


def test_batches_in_flight_of_other_sources_take_no_room(queue: Queue) -> None:
    queue = queue.using(max_in_flight=1)
    other = queue.using(name="other")
    queue.submit()
    other.submit()
    queue.claim()
    other.claim()


def test_retry_does_not_go_before_it_is_due(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit()
    queue.retry(queue.claim(), delay_seconds=2)
    queue.clock.move(1.999)
    assert queue.refused() == Refusal(Wait.RETRY, about(0.001))


def test_retry_goes_when_it_is_due_with_the_next_attempt(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(["again"])
    queue.retry(queue.claim(), delay_seconds=2)
    queue.clock.move(2)
    claim = queue.claim()
    assert (claim.ids, claim.attempt) == (("again",), 2)
    assert queue.batch(claim.batch_id).not_before is None


def test_retry_that_waits_lets_others_pass(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(["again"], HIGH)
    queue.retry(queue.claim(), delay_seconds=2)
    queue.submit(["patient"], LOW)
    assert queue.claim().ids == ("patient",)


def test_due_retry_is_at_its_old_place(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(["again"])
    claim = queue.claim()
    queue.clock.move(1)
    queue.submit(["younger"])
    queue.submit(["urgent"], HIGH)
    queue.retry(claim, delay_seconds=2)
    queue.clock.move(2)
    assert [queue.claim().ids[0] for _ in range(3)] == ["urgent", "again", "younger"]


def test_retry_recorded_before_the_clock_was_set_back_is_due(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit()
    queue.retry(queue.claim(), delay_seconds=2)
    queue.clock.set_wall(-DAY)
    queue.claim()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("_trigger", id="after the slot was spent"),
        pytest.param("_write_ledger", id="after the batch was triggered"),
    ],
)
def test_error_in_a_claim_undoes_slot_and_batch(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    queue.submit(range(6))
    queue.claim()
    queue.clock.move(SPACING + 1)
    before = queue.everything()
    monkeypatch.setattr(claiming, broken, out_of_order)
    with pytest.raises(RuntimeError):
        queue.ask()
    assert queue.everything() == before


def test_without_the_transaction_half_a_claim_is_seen(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    queue.submit(range(6))
    queue.claim()
    queue.clock.move(SPACING + 1)
    before = queue.everything()
    monkeypatch.setattr(claiming, "_write_ledger", out_of_order)
    monkeypatch.setattr(Database, "write", keeps_what_an_error_interrupts)
    with pytest.raises(RuntimeError):
        queue.ask()
    assert queue.everything() != before


def out_of_order(*_: object) -> None:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Queue.complete, id="completed"),
        pytest.param(Queue.retry, id="retried"),
        pytest.param(Queue.fail, id="failed"),
    ],
)
def test_settled_call_keeps_its_interval_but_not_its_margin(
    queue: Queue, end: Callable[..., None]
) -> None:
    queue.submit()
    claim = queue.claim()
    answered = claim.claimed.later(0.01)
    end(queue, replace(claim, answered=answered), called=claim.claimed)
    assert queue.slot() == Slot(answered.later(5.0), 5.0, 0.0)
    queue.submit()
    assert queue.refused().reason is Wait.SLOT


def test_slot_of_a_batch_that_was_not_called_is_not_given_back(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    slot = queue.slot()
    queue.release(claim)
    assert queue.slot() == slot


def test_call_that_ends_after_the_next_claim_leaves_its_slot_alone(queue: Queue) -> None:
    queue.submit(range(6))
    first = queue.claim()
    queue.claim_in_turn()
    slot = queue.slot()
    queue.complete(replace(first, answered=first.claimed))
    assert queue.slot() == slot


def test_call_that_is_still_under_way_keeps_its_margin(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    slot = queue.slot()
    queue.release(claim, called=claim.claimed)
    assert queue.slot() == slot


def test_slot_is_never_moved_away_by_a_call_that_ends(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    slot = queue.slot()
    queue.complete(replace(claim, answered=claim.claimed.later(1.0)))
    assert queue.slot() == slot


def test_without_a_boot_clock_the_margin_stays(queue: Queue) -> None:
    # On the wall clock alone, how long ago the call began is not certain.
    queue = replace(queue, clock=without_boot_clock())
    queue.submit()
    claim = queue.claim()
    slot = queue.slot()
    queue.complete(replace(claim, answered=claim.claimed))
    assert queue.slot() == slot


def test_slot_of_a_lost_batch_is_not_given_back(queue: Queue) -> None:
    queue = queue.using(interval_seconds=60, lease_seconds=30)
    queue.submit()
    claim = queue.claim()
    slot = queue.slot()
    queue.lose(claim)
    assert queue.slot() == slot
    assert queue.refused() == Refusal(Wait.SLOT, about(30.025))


def test_clock_is_read_when_the_write_lock_is_held(queue: Queue) -> None:
    database = queue.database

    class Asking(FakeClock):
        def read(self) -> Moment:
            assert not database._writing.acquire(blocking=False)
            return START

    queue.submit()
    assert isinstance(queue.ask(clock=Asking()), Claim)


def test_claims_without_a_boot_clock_keep_the_interval(database: Database, queue: Queue) -> None:
    queue = Queue(database, queue.source, without_boot_clock())
    queue.submit(range(6))
    queue.claim()
    assert queue.refused() == Refusal(Wait.SLOT, about(SPACING))
    queue.clock.move(SPACING)
    queue.claim()
