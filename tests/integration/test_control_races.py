"""People decide while workers claim: whatever comes first, nothing is in two states at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import true

from ingest_app.errors import IdempotencyKeyReused
from ingest_app.queue import control, submit
from ingest_app.queue.control import pause_source
from tests.support import control_racing
from tests.support.checks import dispatched_twice
from tests.support.control_racing import (
    SOURCE,
    cancel_amid_claims,
    pause_amid_claims,
    resume_and_claim,
    retry_amid_claims,
    submit_with_key,
)
from tests.support.queues import Queue
from tests.support.racing import Crew, in_threads

THREADS = 6
BATCHES = 60
Race = Callable[..., Sequence[Any]]

CANCELLED_THOUGH_DISPATCHED = (
    "SELECT b.id FROM batches b JOIN dispatches d ON d.batch_id = b.id WHERE b.status = 'cancelled'"
)


@pytest.fixture(params=["threads", "processes"])
def race(request: pytest.FixtureRequest, queue: Queue, crew: Crew) -> Race:
    """Run a function on the database's file in many workers that start together."""
    path = queue.database.engine.url.database
    if request.param == "threads":
        return lambda work, *arguments: in_threads(THREADS, lambda: work(path, *arguments))
    return lambda work, *arguments: crew.run(work, path, *arguments)


@pytest.fixture
def threads(queue: Queue) -> Race:
    path = queue.database.engine.url.database
    return lambda work, *arguments: in_threads(THREADS, lambda: work(path, *arguments))


@pytest.fixture
def queue(queue: Queue) -> Queue:
    return Queue(queue.database, SOURCE, queue.clock)


def failed(queue: Queue) -> str:
    """An ingestion all of whose batches have failed."""
    ingestion_id = queue.submit(range(BATCHES))
    queue.change("UPDATE batches SET status = 'failed'")
    return ingestion_id


def test_batch_is_claimed_or_cancelled(queue: Queue, race: Race) -> None:
    ingestion_id = queue.submit(range(BATCHES))
    claimed_afterwards = race(cancel_amid_claims, ingestion_id)
    assert set(claimed_afterwards) == {0}
    assert queue.rows(CANCELLED_THOUGH_DISPATCHED) == []
    counts = dict(queue.rows("SELECT status, count(*) FROM batches GROUP BY status"))
    assert counts.keys() <= {"triggered", "cancelled"}
    assert counts["triggered"] == len(queue.ledger()) > 0


def test_without_the_look_at_its_state_a_claimed_batch_is_seen_to_be_cancelled(
    queue: Queue, threads: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(control, "WAITING", true())
    threads(cancel_amid_claims, queue.submit(range(BATCHES)))
    assert queue.rows(CANCELLED_THOUGH_DISPATCHED) != []


def test_retried_batch_goes_once(queue: Queue, race: Race) -> None:
    race(retry_amid_claims, failed(queue))
    assert dispatched_twice(queue.ledger()) == []
    assert queue.rows("SELECT DISTINCT status FROM batches") == [("completed",)]
    assert queue.rows("SELECT count(*) FROM records") == [(BATCHES,)]


def test_without_the_look_at_its_state_a_retried_batch_is_seen_to_go_twice(
    queue: Queue, threads: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above: what was claimed is sent back as well.
    ingestion_id = failed(queue)
    monkeypatch.setattr(control, "_FAILED", true())
    with pytest.raises(Exception, match="no longer held"):
        threads(retry_amid_claims, ingestion_id)
    assert dispatched_twice(queue.ledger()) != []


def test_nothing_is_claimed_once_a_pause_has_returned(queue: Queue, race: Race) -> None:
    queue.submit(range(BATCHES))
    last_when_paused = race(pause_amid_claims)
    assert set(last_when_paused) == {len(queue.ledger())}
    assert len(queue.ledger()) < BATCHES


def test_without_the_pause_claims_are_seen_to_go_on(
    queue: Queue, threads: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    queue.submit(range(BATCHES))
    monkeypatch.setattr(control_racing, "pause_source", lambda *_, **__: None)
    last_when_paused = threads(pause_amid_claims)
    assert min(last_when_paused) < len(queue.ledger())


def test_resumed_work_goes_once(queue: Queue, race: Race) -> None:
    queue.submit(range(BATCHES))
    pause_source(queue.database, SOURCE.name, clock=queue.clock)
    race(resume_and_claim)
    assert dispatched_twice(queue.ledger()) == []
    assert len(queue.ledger()) == BATCHES


def test_one_key_is_one_ingestion(queue: Queue, race: Race) -> None:
    found = race(submit_with_key, "key", list(range(BATCHES)))
    assert len(set(found)) == 1
    assert queue.rows("SELECT id FROM ingestions") == [(found[0],)]
    assert queue.rows("SELECT count(*) FROM batches") == [(BATCHES,)]


def test_without_the_look_up_one_key_is_seen_to_be_many_ingestions(
    queue: Queue, threads: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above; the index would hold the key alone.
    queue.change("DROP INDEX ix_ingestions_by_anonymous_idempotency_key")
    monkeypatch.setattr(submit, "_stored_before", lambda *_: None)
    assert len(set(threads(submit_with_key, "key", [1, 2]))) == THREADS


def test_of_different_submissions_with_one_key_one_is_stored(queue: Queue) -> None:
    numbers = list(range(THREADS))

    def submit_own() -> str | None:
        try:
            return queue.submit([numbers.pop()], key="key")
        except IdempotencyKeyReused:
            return None

    (stored,) = [found for found in in_threads(THREADS, submit_own) if found]
    assert queue.rows("SELECT id FROM ingestions") == [(stored,)]
