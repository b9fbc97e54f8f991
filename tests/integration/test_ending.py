"""An ingestion has ended when the last of its batches has, and that is recorded with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from ingest_app.dispatcher import Dispatcher
from ingest_app.errors import DatabaseBusy, TooManyWaiting
from ingest_app.forgotten_ends import ForgottenEnds
from ingest_app.prepared import fetch_all
from ingest_app.queue import ending
from ingest_app.queue.claim import Claim
from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.ending import LOOKED_AT_ONCE, note_forgotten_ends
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import Settings
from tests.integration.test_query_plans import plans
from tests.support.queues import Queue

CANCEL_BY_HAND = "UPDATE batches SET status = 'cancelled' WHERE status = 'yet_to_start'"


class Jobs:
    """A scheduler that runs its one job when it is told to."""

    def add_job(self, job: Callable[[], None], **_: Any) -> None:
        self.run = job


@pytest.fixture
def jobs(queue: Queue) -> Jobs:
    jobs = Jobs()
    runtime = Runtime(Settings("sqlite:///"), queue.database, queue.clock)
    ForgottenEnds(runtime, jobs)  # type: ignore[arg-type]
    return jobs


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


def cancelled_and_back(queue: Queue, claim: Claim) -> None:
    queue.release(claim)
    ((ingestion_id,),) = queue.rows("SELECT id FROM ingestions")
    cancel_ingestion(queue.database, str(ingestion_id), clock=queue.clock)


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


AGAIN_BY_HAND = "UPDATE batches SET status = 'yet_to_start', completed_at = NULL"


@pytest.mark.parametrize(
    "end",
    [*ENDS.values(), cancelled_and_back],
    ids=[*ENDS.keys(), "cancelled"],
)
def test_batch_that_a_person_put_back_ends_it_anew_and_that_is_told(
    queue: Queue, end: Callable[[Queue, Claim], None]
) -> None:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    ingestion_id = queue.submit(range(6))
    queue.complete(queue.claim())
    queue.complete(queue.claim())
    first = as_stored(queue)
    queue.clock.move(3_600)
    queue.change(AGAIN_BY_HAND)
    queue.complete(queue.claim())
    assert ended_at(queue) == [first]
    queue.clock.move(10)
    end(queue, queue.claim())
    last = as_stored(queue)
    assert ended_at(queue) == [last]
    assert [row[1:3] for row in deliveries(queue)] == [(ingestion_id, first), (ingestion_id, last)]


def test_forgotten_end_that_another_has_just_noted_is_not_noted_again(
    queue: Queue, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    ingestion_id = queue.submit()
    queue.change(CANCEL_BY_HAND)
    read = fetch_all

    def read_and_be_outrun(connection: Any, *given: Any) -> Any:
        found = read(connection, *given)
        with queue.database.write() as other:
            ending.note_end(other, ingestion_id, queue.clock.read().at)
        queue.clock.move(1)
        return found

    monkeypatch.setattr(ending, "fetch_all", read_and_be_outrun)
    jobs.run()
    assert len(deliveries(queue)) == 1


def test_without_the_note_it_is_seen_not_to_end(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "change", lambda *_: 0)
    queue.submit()
    queue.complete(queue.claim())
    assert ended_at(queue) == [None]


def test_end_that_a_person_made_is_noted_told_and_counted_no_more(queue: Queue, jobs: Jobs) -> None:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    queue.submit(range(3), submitted_by="anna", max_waiting_ids=3)
    queue.change(CANCEL_BY_HAND)
    queue.clock.move(60)
    with pytest.raises(TooManyWaiting):
        queue.submit(submitted_by="anna", max_waiting_ids=3)
    jobs.run()
    assert ended_at(queue) == [as_stored(queue)]
    assert len(deliveries(queue)) == 1
    queue.submit(submitted_by="anna", max_waiting_ids=3)


def test_what_is_under_way_is_not_taken_for_a_forgotten_end(queue: Queue, jobs: Jobs) -> None:
    queue.submit(range(3_001))
    queue.submit(range(6))
    queue.submit()
    queue.retry(queue.claim(), delay_seconds=60)
    queue.claim()
    queue.change("UPDATE batches SET created_at = '2026-01-01 00:00:00.000000' WHERE position = 2")
    jobs.run()
    assert ended_at(queue) == [None, None, None]


def test_round_goes_on_where_it_was_and_then_begins_anew(
    queue: Queue, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    old = queue.submit()
    queue.change(CANCEL_BY_HAND)
    queue.clock.move(1)
    queue.submit()
    queue.complete(queue.claim())
    queue.change(
        "WITH RECURSIVE n(i) AS"
        f" (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {LOOKED_AT_ONCE})"
        " INSERT INTO ingestions (id, source, priority, priority_rank, created_at, id_count,"
        " batch_count, ended_at) SELECT 'many-' || i, source, priority, priority_rank, created_at,"
        " 1, 1, ended_at FROM ingestions, n WHERE ended_at IS NOT NULL"
    )
    forgotten = "SELECT id FROM ingestions WHERE ended_at IS NULL"
    jobs.run()
    assert queue.rows(forgotten) == [(old,)]
    jobs.run()
    assert queue.rows(forgotten) == []
    assert "forgotten_ends_noted ingestions=1" in caplog.text
    queue.change("UPDATE ingestions SET ended_at = NULL WHERE id = :it", it=old)
    for _ in range(3):
        jobs.run()
    assert queue.rows(forgotten) == []


def test_fault_of_the_database_only_postpones_the_round(
    queue: Queue,
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue.submit()
    queue.change(CANCEL_BY_HAND)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise DatabaseBusy("busy")

        patch.setattr(ending, "_note", fail)
        jobs.run()
    assert "ends_postponed reason=busy" in caplog.text
    assert ended_at(queue) == [None]
    jobs.run()
    assert ended_at(queue) == [as_stored(queue)]


def test_every_worker_has_the_job(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    add_job = SteadyScheduler.add_job

    def watch(self: Any, *given: Any, **more: Any) -> Any:
        added.append(more["id"])
        return add_job(self, *given, **more)

    monkeypatch.setattr(SteadyScheduler, "add_job", watch)
    settings = Settings("sqlite:///", sources={})
    dispatcher = Dispatcher(Runtime(settings, queue.database, queue.clock))
    dispatcher.start()
    dispatcher.stop(0)
    assert "ends" in added


def test_step_of_a_round_looks_at_its_part_alone(queue: Queue) -> None:
    queue.submit(range(6))
    with plans(queue.database) as found:
        assert [*note_forgotten_ends(queue.database, clock=queue.clock)] == [0]
    steps = [plan for plan in found if "ix_ingestions_by_age" in plan]
    assert len(steps) == 2
    assert [plan for plan in steps if "SCAN" in plan or "TEMP B-TREE" in plan] == []
