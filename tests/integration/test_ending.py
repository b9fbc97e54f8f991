"""An ingestion has ended when the last of its batches has, and that is recorded with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from ingest_app.queue import ending
from ingest_app.queue.claim import Claim
from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.endpoints import keep_endpoint
from tests.support.queues import Queue


@pytest.fixture
def queue(queue: Queue) -> Queue:
    return queue.using(interval_seconds=0, max_in_flight=64)


def ended_at(queue: Queue) -> list[object]:
    return [at for (at,) in queue.rows("SELECT ended_at FROM ingestions ORDER BY created_at, id")]


def as_stored(queue: Queue) -> str:
    at: datetime = queue.clock.read().at
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def deliveries(queue: Queue) -> list[tuple[object, ...]]:
    return queue.rows(
        "SELECT endpoint, ingestion_id, ended_at, next_attempt_at FROM webhook_deliveries"
    )


ENDS: dict[str, Callable[[Queue, Claim], None]] = {
    "completed": lambda queue, claim: queue.complete(claim),
    "failed": lambda queue, claim: queue.fail(claim),
    "lost once too often": lambda queue, claim: queue.using(max_attempts=1).lose(claim),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_ends_with_its_last_batch(queue: Queue, end: Callable[[Queue, Claim], None]) -> None:
    queue.submit(range(6))
    first, last = queue.claim(), queue.claim()
    queue.complete(last)
    assert ended_at(queue) == [None]
    queue.clock.move(10)
    end(queue, first)
    assert ended_at(queue) == [as_stored(queue)]


@pytest.mark.parametrize(
    "hand_back",
    [
        lambda queue, claim: queue.retry(claim),
        lambda queue, claim: queue.defer(claim),
        lambda queue, claim: queue.release(claim),
        lambda queue, claim: queue.lose(claim),
    ],
    ids=["retry", "defer", "release", "recover"],
)
def test_batch_that_goes_back_ends_nothing_unless_it_is_cancelled(
    queue: Queue, hand_back: Callable[[Queue, Claim], None]
) -> None:
    ingestion_id = queue.submit()
    hand_back(queue, queue.claim())
    assert ended_at(queue) == [None]
    queue.clock.move(3_600)
    claim = queue.claim()
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    assert ended_at(queue) == [None]
    hand_back(queue, claim)
    assert ended_at(queue) == [as_stored(queue)]


@pytest.mark.parametrize("id_count", [6, 3_001])
def test_cancelling_what_waits_ends_it(queue: Queue, id_count: int) -> None:
    ingestion_id = queue.submit(range(id_count))
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    assert ended_at(queue) == [as_stored(queue)]


def test_what_is_still_packed_keeps_it_under_way(queue: Queue) -> None:
    queue.submit(range(1_503))
    for _ in range(500):
        queue.complete(queue.claim())
    assert queue.rows("SELECT DISTINCT status FROM batches") == [("completed",)]
    assert ended_at(queue) == [None]
    queue.complete(queue.claim())
    assert ended_at(queue) == [as_stored(queue)]


def test_retry_puts_it_under_way_again(queue: Queue) -> None:
    ingestion_id = queue.submit()
    queue.fail(queue.claim())
    retry_ingestion(queue.database, ingestion_id)
    assert ended_at(queue) == [None]
    queue.clock.move(60)
    queue.complete(queue.claim())
    assert ended_at(queue) == [as_stored(queue)]


def test_batch_that_a_person_gave_another_priority_keeps_it_under_way(queue: Queue) -> None:
    queue.submit(range(6))
    queue.change("UPDATE batches SET priority_rank = 2 WHERE position = 2")
    queue.complete(queue.claim())
    assert ended_at(queue) == [None]
    queue.complete(queue.claim())
    assert ended_at(queue) == [as_stored(queue)]


def test_another_of_the_same_moment_is_another(queue: Queue) -> None:
    queue.submit()
    queue.submit()
    queue.complete(queue.claim())
    assert sorted(ended_at(queue), key=str) == [as_stored(queue), None]


def test_every_endpoint_is_to_be_told_once(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    queue.complete(queue.claim())
    assert deliveries(queue) == []
    queue.complete(queue.claim())
    at = as_stored(queue)
    assert deliveries(queue) == [("default", ingestion_id, at, at)]
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    assert len(deliveries(queue)) == 1


def test_without_an_endpoint_there_is_nobody_to_tell(queue: Queue) -> None:
    queue.submit()
    queue.complete(queue.claim())
    assert deliveries(queue) == []


def test_without_the_note_it_is_seen_not_to_end(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "change", lambda *_: 0)
    queue.submit()
    queue.complete(queue.claim())
    assert ended_at(queue) == [None]
