"""What the upstream's trouble does to a batch, its IDs and its source."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ingest_app.items import FetchedRecord
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim
from ingest_app.queue.refusing import Wait
from ingest_app.queue.retrying import BREAKER_FAILURE_COUNT, Retry, decide
from ingest_app.queue.settle import complete_batch
from ingest_app.states import Priority, RecordOutcome
from ingest_app.verifying import verify
from tests.support.clocks import DAY
from tests.support.queues import Queue, fetched

OUTCOMES = "SELECT position, outcome FROM records ORDER BY batch_id, position"


@pytest.fixture
def claim(queue: Queue) -> Claim:
    queue.submit([7, "b", 7])
    return queue.claim()


def of(claim: Claim, *ids: object) -> list[FetchedRecord]:
    """What was fetched for some IDs of the claim."""
    return [record for record in fetched(claim) if record.item_id in ids]


def refused(item: int | str) -> FetchedRecord:
    return FetchedRecord(item, RecordOutcome.ERROR, error="HTTP 403 Forbidden")


def source_row(queue: Queue) -> tuple[object, ...]:
    (row,) = queue.rows("SELECT failure_count, failed_batch_id, last_error FROM sources")
    return row


def test_retry_keeps_what_was_fetched_and_asks_only_for_the_rest(
    queue: Queue, claim: Claim
) -> None:
    queue.retry(claim, fetched=of(claim, 7))
    assert queue.rows(OUTCOMES) == [(1, "fetched"), (3, "fetched")]
    again = queue.claim_in_turn()
    assert (again.ids, again.attempt) == (("b",), 2)
    queue.complete(again)
    assert queue.rows(OUTCOMES) == [(1, "fetched"), (2, "fetched"), (3, "fetched")]
    assert queue.batch(claim.batch_id).status == "completed"
    assert verify(queue.database).holds


def test_what_is_given_for_other_ids_is_not_stored(queue: Queue, claim: Claim) -> None:
    queue.retry(claim, fetched=[*of(claim, "b"), refused(8)])
    assert queue.rows(OUTCOMES) == [(2, "fetched")]


def test_failed_batch_keeps_what_was_fetched_and_gives_the_rest_its_error(
    queue: Queue, claim: Claim
) -> None:
    queue.retry(claim, fetched=of(claim, "b"))
    queue.fail(queue.claim_in_turn(), "HTTP 500")
    assert queue.rows("SELECT position, outcome, error FROM records") == [
        (1, "error", "HTTP 500"),
        (2, "fetched", None),
        (3, "error", "HTTP 500"),
    ]
    assert verify(queue.database).holds


@pytest.mark.parametrize("first", [True, False], ids=["in the last call", "in the one before"])
def test_batch_has_failed_when_the_upstream_refused_one_of_its_ids(
    queue: Queue, claim: Claim, first: bool
) -> None:
    answers = [of(claim, 7), [refused("b")]]
    queue.retry(claim, fetched=answers[0 if first else 1])
    last = queue.claim_in_turn()
    rest = answers[1 if first else 0]
    complete_batch(queue.database, last, fetched=rest, called=last.claimed, clock=queue.clock)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.last_error) == ("failed", "The upstream refused 1 of its IDs.")
    assert queue.rows(OUTCOMES) == [(1, "fetched"), (2, "error"), (3, "fetched")]
    assert queue.dispatch(last).outcome == "failed"
    assert verify(queue.database).holds


def test_ids_of_a_batch_whose_last_worker_was_lost_say_so(queue: Queue) -> None:
    queue = queue.using(max_attempts=2)
    queue.submit([1, 2])
    claim = queue.claim()
    queue.retry(claim, fetched=of(claim, 1))
    queue.lose(queue.claim_in_turn())
    assert queue.rows(OUTCOMES) == [(1, "fetched"), (2, "error")]
    assert verify(queue.database).holds


def test_deferred_batch_waits_with_its_source_at_no_cost(queue: Queue, claim: Claim) -> None:
    queue.submit([9], Priority.HIGH)
    queue.defer(claim, delay_seconds=60, fetched=of(claim, "b"))
    refusal = queue.refused()
    assert (refusal.reason, refusal.wait_seconds) == (Wait.DEFERRED, 60)
    assert queue.dispatch(claim).outcome == "deferred"
    assert [queue.claim_in_turn().ids for _ in range(2)] == [(9,), (7, 7)]
    assert queue.batch(claim.batch_id).attempt_count == 1
    assert verify(queue.database).holds


def test_longer_deferral_is_not_cut_short(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(9))
    first, second, third = (queue.claim() for _ in range(3))
    queue.defer(first, delay_seconds=100)
    for other, seconds in ((second, 50.0), (third, 0.0)):
        queue.defer(other, delay_seconds=seconds)
        assert queue.refused().wait_seconds == 100


def test_deferral_of_unknown_length_doubles_until_something_succeeds(queue: Queue) -> None:
    queue.submit(range(15))
    waits = []
    for _ in range(3):
        queue.defer(queue.claim_in_turn(), delay_seconds=None)
        waits.append(queue.refused().wait_seconds)
        queue.submit([1], Priority.HIGH)  # so that another batch is next
    assert waits == [1.0, 2.0, 4.0]
    queue.complete(queue.claim_in_turn())
    queue.defer(queue.claim_in_turn(), delay_seconds=None)
    backoff_until = queue.source_row().backoff_until
    assert backoff_until == queue.clock.read().at + timedelta(seconds=1)


def fail_batches(queue: Queue, count: int) -> None:
    for _ in range(count):
        queue.retry(queue.claim_in_turn(), delay_seconds=300)


def test_failures_of_different_batches_open_the_breaker(queue: Queue) -> None:
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT - 1)
    assert queue.refused().reason is Wait.SLOT
    fail_batches(queue, 1)
    assert queue.refused().reason is Wait.BACKOFF
    assert source_row(queue)[0] == BREAKER_FAILURE_COUNT


def test_one_bad_batch_does_not_open_the_breaker(queue: Queue) -> None:
    queue = queue.using(max_attempts=100)
    queue.submit()
    for _ in range(2 * BREAKER_FAILURE_COUNT):
        queue.retry(queue.claim_in_turn())
    assert source_row(queue) == (1, 1, "Boom: it broke")
    assert queue.refused().reason is not Wait.BACKOFF


def test_open_breaker_lets_one_through_at_a_time_further_and_further_apart(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0.001)
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    waits = []
    for _ in range(3):
        wait_seconds = queue.refused().wait_seconds
        assert wait_seconds is not None
        waits.append(wait_seconds)
        probe = queue.claim_in_turn()
        queue.clock.move(1)
        assert queue.refused().reason is Wait.IN_FLIGHT
        queue.retry(probe, delay_seconds=300)
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda queue, claim: queue.complete(claim), id="a success"),
        pytest.param(
            lambda queue, claim: queue.fail(claim, is_outage=False),
            id="a refusal: the upstream answers",
        ),
    ],
)
def test_answer_shuts_the_breaker(queue: Queue, end: object) -> None:
    queue = queue.using(interval_seconds=0.001)
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    assert callable(end)
    end(queue, queue.claim_in_turn())
    assert source_row(queue)[:2] == (0, None)
    queue.claim_in_turn()
    queue.claim_in_turn()  # beside it


def test_success_of_a_call_in_flight_ends_the_back_off_and_no_deferral(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0.001, max_in_flight=9)
    queue.submit(range(60))
    first, second, third = (queue.claim_in_turn() for _ in range(3))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    queue.complete(first)
    assert queue.source_row().backoff_until is None
    queue.defer(second, delay_seconds=60)
    queue.complete(third)
    assert queue.refused().reason is Wait.DEFERRED


def test_back_off_does_not_outlive_a_clock_that_was_set_back(queue: Queue) -> None:
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    queue.clock.set_wall(-DAY)
    queue.clock.move(10)
    assert queue.ask().claim_token  # type: ignore[union-attr]


def test_back_off_from_before_the_clock_was_set_back_does_not_hide_another(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0.001)
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    queue.clock.set_wall(-DAY)
    fail_batches(queue, 1)
    assert (queue.refused().reason, queue.refused().wait_seconds) == (Wait.BACKOFF, 2.0)


def test_refusal_is_shown_at_the_source_until_something_succeeds(queue: Queue) -> None:
    queue.submit(range(6))
    queue.fail(queue.claim_in_turn(), "HTTP 401 Unauthorized", is_outage=False)
    assert source_row(queue) == (0, None, "HTTP 401 Unauthorized")
    queue.complete(queue.claim_in_turn())
    assert source_row(queue) == (0, None, None)


def test_batch_without_a_call_says_nothing_of_its_source(queue: Queue) -> None:
    queue.submit(range(60))
    fail_batches(queue, BREAKER_FAILURE_COUNT)
    claim = queue.claim_in_turn()
    complete_batch(queue.database, claim, fetched=fetched(claim), called=None, clock=queue.clock)
    assert source_row(queue)[0] == BREAKER_FAILURE_COUNT


def test_ids_a_person_broke_fail_their_batch_and_no_other(queue: Queue) -> None:
    queue = queue.using(max_attempts=1)
    queue.submit([1, 2])
    queue.submit([3])
    queue.change("UPDATE batches SET ids = '[[1],2]' WHERE id = 1")
    broken, other = queue.claim_in_turn(), queue.claim_in_turn()
    queue.clock.move(queue.source.lease_seconds)
    assert queue.recover() == [broken.batch_id, other.batch_id]
    assert queue.batch(broken.batch_id).status == "failed"


def test_last_failures_count_for_the_breaker_too(queue: Queue) -> None:
    queue.submit(range(60))
    for _ in range(BREAKER_FAILURE_COUNT):
        queue.fail(queue.claim_in_turn())
    assert queue.refused().reason is Wait.BACKOFF


def test_stale_worker_neither_defers_nor_blames_the_source(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    before = queue.everything()
    for settle in (queue.retry, queue.defer, queue.fail):
        with pytest.raises(Exception, match="no longer held"):
            settle(claim)
    assert queue.everything() == before


@pytest.mark.parametrize("verb", ["retry", "defer", "release", "lose"])
def test_batch_of_a_cancelled_ingestion_does_not_wait_again(
    queue: Queue, claim: Claim, verb: str
) -> None:
    queue.change("UPDATE ingestions SET cancelled_at = datetime('now')")
    getattr(queue, verb)(claim)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.not_before, batch.claim_token) == ("cancelled", None, None)
    assert batch.completed_at == queue.clock.read().at
    assert verify(queue.database).holds


def test_batch_in_flight_when_its_ingestion_was_cancelled_may_complete(
    queue: Queue, claim: Claim
) -> None:
    queue.change("UPDATE ingestions SET cancelled_at = datetime('now')")
    queue.complete(claim)
    assert queue.batch(claim.batch_id).status == "completed"


def outage(queue: Queue, seconds: float) -> tuple[int, int]:
    """How many calls an upstream gets that is down so long, and how many batches fail by it."""
    call_count = 0
    while queue.clock.passed_seconds < seconds:
        claim = queue.claim_in_turn()
        call_count += 1
        attempts = {"max_attempts": queue.source.max_attempts, "jitter": 0.5}
        decision = decide(ConnectionError("down"), claim.attempt, **attempts)  # type: ignore[arg-type]
        if isinstance(decision, Retry):
            queue.retry(claim, delay_seconds=decision.delay_seconds)
        else:
            queue.fail(claim)
    failed = queue.rows("SELECT count(*) FROM batches WHERE status = 'failed'")[0][0]
    return call_count, failed


@pytest.mark.parametrize(
    ("interval_seconds", "seconds", "cost"),
    [
        pytest.param(5.0, 60, (13, 2), id="a minute at the default pace"),
        pytest.param(5.0, 3_600, (40, 8), id="an hour"),
        pytest.param(0.1, 3_600, (36, 7), id="an hour at a pace that could end 7,200 batches"),
    ],
)
def test_outage_costs_few_calls_and_few_batches(
    queue: Queue, interval_seconds: float, seconds: float, cost: tuple[int, int]
) -> None:
    queue = queue.using(interval_seconds=interval_seconds)
    queue.submit(range(3_000))
    assert outage(queue, seconds) == cost


def test_without_the_breaker_an_outage_is_seen_to_cost_many_batches(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(retrying, "breaker_is_open", lambda _failure_count: False)
    queue = queue.using(interval_seconds=0.1)
    queue.submit(range(3_000))
    _, failed_count = outage(queue, 60)
    assert failed_count > 50
