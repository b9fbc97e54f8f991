"""The outcome of a claimed batch: what is written, and by whom it may be."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import bindparam, update

from ingest_app.errors import StaleClaim
from ingest_app.items import FetchedRecord
from ingest_app.models import batches
from ingest_app.queue import settle
from ingest_app.queue.claim import Claim
from ingest_app.queue.settle import complete_batch
from ingest_app.states import RecordOutcome
from tests.support.queues import Queue

VERBS = [
    pytest.param(Queue.complete, id="complete"),
    pytest.param(Queue.retry, id="retry"),
    pytest.param(Queue.fail, id="fail"),
    pytest.param(Queue.release, id="release"),
]
Verb = Callable[[Queue, Claim], None]


@pytest.fixture
def claim(queue: Queue) -> Claim:
    """A claim that was called at once and took two seconds."""
    queue.submit([5, "b", 5])
    claim = queue.claim()
    queue.clock.move(2)
    return claim


def test_completed_batch_has_its_time_and_no_error(queue: Queue, claim: Claim) -> None:
    queue.change("UPDATE batches SET last_error = 'of an attempt before'")
    queue.complete(claim)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.completed_at) == ("completed", queue.clock.read().at)
    assert (batch.attempt_count, batch.last_error) == (1, None)


def test_retried_batch_waits_for_its_delay(queue: Queue, claim: Claim) -> None:
    queue.retry(claim, delay_seconds=2, error="OSError: no route")
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.completed_at) == ("yet_to_start", None)
    assert batch.not_before == queue.clock.read().later(2).at
    assert (batch.attempt_count, batch.last_error) == (1, "OSError: no route")


def test_failed_batch_has_its_time_and_its_error(queue: Queue, claim: Claim) -> None:
    queue.fail(claim, "OSError: no route")
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.completed_at) == ("failed", queue.clock.read().at)
    assert (batch.attempt_count, batch.last_error) == (1, "OSError: no route")


def test_released_batch_waits_and_keeps_its_attempts(queue: Queue, claim: Claim) -> None:
    queue.release(claim)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.completed_at, batch.not_before) == ("yet_to_start", None, None)
    assert (batch.attempt_count, batch.last_error) == (0, None)


@pytest.mark.parametrize("verb", VERBS)
def test_settled_batch_has_no_lease(queue: Queue, claim: Claim, verb: Verb) -> None:
    verb(queue, claim)
    lease = "claim_token, lease_expires_at, lease_boot_seconds, boot_id"
    assert queue.rows(f"SELECT {lease} FROM batches") == [(None, None, None, None)]


@pytest.mark.parametrize(
    ("verb", "outcome", "error"),
    [
        pytest.param(Queue.complete, "completed", None, id="complete"),
        pytest.param(Queue.retry, "retried", "Boom: it broke", id="retry"),
        pytest.param(Queue.fail, "failed", "Boom: it broke", id="fail"),
        pytest.param(Queue.release, "released", "stopping", id="release"),
    ],
)
def test_ledger_has_the_outcome(
    queue: Queue, claim: Claim, verb: Verb, outcome: str, error: str | None
) -> None:
    verb(queue, claim)
    entry = queue.dispatch(claim)
    assert (entry.outcome, entry.error) == (outcome, error)
    assert entry.finished_at == queue.clock.read().at


def test_ledger_has_the_time_of_the_call_instead_of_the_claim(queue: Queue, claim: Claim) -> None:
    called = claim.claimed.later(0.02)
    queue.complete(claim, called=called)
    entry = queue.dispatch(claim)
    assert entry.dispatched_at == called.at
    assert entry.dispatched_boot_seconds == called.boot_seconds


def test_ledger_has_no_time_of_a_call_that_was_not_made(queue: Queue, claim: Claim) -> None:
    queue.release(claim)
    entry = queue.dispatch(claim)
    assert (entry.dispatched_at, entry.dispatched_boot_seconds, entry.boot_id) == (None, None, None)


def test_other_dispatches_of_the_batch_keep_their_outcome(queue: Queue, claim: Claim) -> None:
    queue.release(claim)
    queue.complete(queue.claim_in_turn())
    assert queue.rows("SELECT attempt, outcome FROM dispatches ORDER BY id") == [
        (1, "released"),
        (1, "completed"),
    ]


def test_records_are_stored_one_per_id_in_order(queue: Queue, claim: Claim) -> None:
    queue.complete(claim)
    stored = queue.rows("SELECT batch_id, position, item_id, outcome, data, error FROM records")
    assert stored == [
        (claim.batch_id, 1, "5", "fetched", '{"id":5}', None),
        (claim.batch_id, 2, '"b"', "fetched", '{"id":"b"}', None),
        (claim.batch_id, 3, "5", "fetched", '{"id":5}', None),
    ]


def test_records_say_why_there_is_nothing(queue: Queue, claim: Claim) -> None:
    found = [
        FetchedRecord("b", RecordOutcome.MISSING, error="not known there"),
        FetchedRecord(5, RecordOutcome.FETCHED, data={"name": "Zoë", "tags": [None, 1.5]}),
    ]
    complete_batch(queue.database, claim, fetched=found, called=claim.claimed, clock=queue.clock)
    first, second, third = queue.rows("SELECT outcome, data, error FROM records")
    assert second == ("missing", None, "not known there")
    assert first == third
    assert json.loads(first[1]) == {"name": "Zoë", "tags": [None, 1.5]}


def test_endless_error_is_cut(queue: Queue, claim: Claim) -> None:
    queue.fail(claim, "x" * 100_000)
    assert queue.rows("SELECT length(last_error) FROM batches") == [(2_000,)]
    assert queue.rows("SELECT length(error) FROM dispatches") == [(2_000,)]


def given_to_another(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    queue.claim_in_turn()


def waiting_again(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)


def settled(queue: Queue, claim: Claim) -> None:
    queue.complete(claim)


def deleted(queue: Queue, _claim: Claim) -> None:
    queue.change("DELETE FROM ingestions")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("lose", [given_to_another, waiting_again, settled, deleted])
def test_late_worker_changes_nothing(
    queue: Queue, claim: Claim, verb: Verb, lose: Callable[[Queue, Claim], None]
) -> None:
    lose(queue, claim)
    before = queue.everything()
    with pytest.raises(StaleClaim) as caught:
        verb(queue, claim)
    assert caught.value.batch_id == claim.batch_id
    assert queue.everything() == before


@pytest.mark.parametrize("verb", VERBS)
def test_without_the_token_a_late_worker_is_seen_to_settle(
    queue: Queue, claim: Claim, monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    # The negative control of the test above.
    token_of_anyone = bindparam("the_token").is_not(None)
    held_by_anyone = update(batches).where(
        batches.c.id == bindparam("the_batch"), batches.c.status == "triggered", token_of_anyone
    )
    monkeypatch.setattr(settle, "UPDATE_HELD_BATCH", held_by_anyone)
    given_to_another(queue, claim)
    verb(queue, claim)
    assert queue.batch(claim.batch_id).status != "triggered"


def test_error_while_the_records_are_stored_completes_nothing(queue: Queue, claim: Claim) -> None:
    before = queue.everything()
    unstorable = [FetchedRecord(item, RecordOutcome.FETCHED, data=object()) for item in claim.ids]
    with pytest.raises(TypeError):
        complete_batch(
            queue.database, claim, fetched=unstorable, called=claim.claimed, clock=queue.clock
        )
    assert queue.everything() == before


def test_called_twice_but_stored_once(queue: Queue, claim: Claim) -> None:
    given_to_another(queue, claim)
    with pytest.raises(StaleClaim):
        queue.complete(claim)
    (held,) = queue.rows("SELECT claim_token FROM batches")
    second = Claim(
        batch_id=claim.batch_id,
        ingestion_id="a" * 24,
        source=claim.source,
        places=claim.places,
        attempt=2,
        claim_token=held[0],
        dispatch_id=2,
        claimed=queue.clock.read(),
        interval_seconds=5.0,
        margin_seconds=0.025,
    )
    queue.complete(second)
    assert queue.rows("SELECT count(*) FROM records") == [(3,)]
