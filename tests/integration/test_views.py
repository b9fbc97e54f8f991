"""The views people read say what the code does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from ingest_app.queue.claim import Claim
from ingest_app.queue.reading import read_status
from ingest_app.states import Priority
from tests.support.queues import Queue


@pytest.fixture(params=range(3))
def mixed(request: pytest.FixtureRequest, queue: Queue) -> Queue:
    """Batches of all priorities and several times, some retried, some completed."""
    chance = random.Random(request.param)
    queue = queue.using(interval_seconds=0, max_in_flight=64, batch_size=2)
    for _ in range(12):
        queue.submit(range(chance.randint(1, 7)), chance.choice(list(Priority)))
        queue.clock.move(chance.choice([0.0, 0.0, 0.001, 2.0]))
    ends: list[Callable[[Queue, Claim], None]] = [Queue.complete, Queue.retry, Queue.release]
    for _ in range(8):
        chance.choice(ends)(queue, queue.claim())
    queue.clock.move(2)  # all retries are due
    return queue


def test_queue_lists_batches_in_the_order_in_which_they_go(mixed: Queue) -> None:
    listed = [batch_id for (batch_id,) in mixed.rows("SELECT batch_id FROM queue")]
    public_id = "SELECT ingestion_id || '-' || position FROM batches WHERE id = :id"
    claimed = [mixed.rows(public_id, id=mixed.claim().batch_id)[0][0] for _ in listed]
    assert listed == claimed
    assert mixed.rows("SELECT * FROM queue") == []


def test_queue_keeps_sources_apart(queue: Queue) -> None:
    other = queue.using(name="another")
    queue.submit([1], Priority.HIGH)
    other.submit([2], Priority.LOW)
    listed = queue.rows("SELECT source, priority, ids FROM queue")
    assert listed == [("another", "LOW", "[2]"), ("default", "HIGH", "[1]")]


def test_queue_says_what_people_ask(queue: Queue) -> None:
    ingestion_id = queue.submit([1, "b"], Priority.HIGH)
    assert queue.rows("SELECT batch_id, priority, not_before, ids FROM queue") == [
        (f"{ingestion_id}-1", "HIGH", None, '[1,"b"]')
    ]


def test_ingestion_status_agrees_with_what_the_service_answers(mixed: Queue) -> None:
    for ingestion_id, status, batch_count in mixed.rows(
        "SELECT id, status, batch_count FROM ingestion_status"
    ):
        answer = read_status(mixed.database, ingestion_id)
        assert (answer.status, answer.batch_count) == (status, batch_count)
        assert len(json.loads(f"[{','.join(answer.parts)}]")) == batch_count


def test_ingestion_status_has_every_ingestion(mixed: Queue) -> None:
    counted = mixed.rows("SELECT id, batch_count FROM ingestion_status ORDER BY id")
    assert counted == mixed.rows("SELECT id, batch_count FROM ingestions ORDER BY id")


def test_ingestion_status_counts_every_state(mixed: Queue) -> None:
    counted = mixed.rows(
        "SELECT id, yet_to_start_count, triggered_count, completed_count, failed_count,"
        " cancelled_count FROM ingestion_status ORDER BY id"
    )
    one_by_one = mixed.rows(
        "SELECT ingestion_id, sum(status = 'yet_to_start'), sum(status = 'triggered'),"
        " sum(status = 'completed'), sum(status = 'failed'), sum(status = 'cancelled')"
        " FROM batches GROUP BY ingestion_id ORDER BY ingestion_id"
    )
    assert counted == one_by_one


def test_ingestion_status_has_the_first_start_and_the_last_end(queue: Queue) -> None:
    queue.submit(range(6))
    first = queue.claim()
    queue.clock.move(1)
    queue.complete(first)
    second = queue.claim_in_turn()
    queue.clock.move(1)
    queue.complete(second)
    times = "SELECT min(triggered_at), max(completed_at) FROM batches"
    columns = "SELECT first_triggered_at, last_completed_at FROM ingestion_status"
    assert queue.rows(columns) == queue.rows(times)
