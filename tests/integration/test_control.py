"""Cancel, retry, pause and resume: what they change, what they leave, and that twice is as once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import ingestions
from ingest_app.queue.claim import Claim
from ingest_app.queue.control import (
    cancel_ingestion,
    pause_source,
    resume_source,
    retry_ingestion,
)
from ingest_app.queue.refusing import Wait
from ingest_app.queue.submit import work_arrived
from ingest_app.states import BatchStatus, RecordOutcome
from ingest_app.verifying import verify
from tests.support.queues import Queue, fetched
from tests.support.states import put, put_record

HOUR = 3_600.0


@pytest.fixture
def queue(queue: Queue) -> Queue:
    return queue.using(interval_seconds=0, max_in_flight=64)


def cancel(queue: Queue, ingestion_id: str) -> None:
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)


def retry(queue: Queue, ingestion_id: str) -> None:
    retry_ingestion(queue.database, ingestion_id)


def cancelled_at(queue: Queue, ingestion_id: str) -> object:
    with queue.database.read() as connection:
        query = select(ingestions.c.cancelled_at).where(ingestions.c.id == ingestion_id)
        return connection.execute(query).scalar_one()


def one_batch(queue: Queue, state: BatchStatus) -> str:
    """An ingestion whose only batch is in this state."""
    ingestion_id = queue.submit([1, 2, 3])
    put(queue, ingestion_id, 1, state)
    return ingestion_id


def states(queue: Queue, ingestion_id: str) -> list[str]:
    query = "SELECT status FROM batches WHERE ingestion_id = :id ORDER BY position"
    return [state for (state,) in queue.rows(query, id=ingestion_id)]


@pytest.mark.parametrize(
    ("before", "after", "is_marked"),
    [
        pytest.param("yet_to_start", "cancelled", True, id="what waits is cancelled"),
        pytest.param("triggered", "triggered", True, id="what is in flight may not wait again"),
        pytest.param("completed", "completed", False, id="what was fetched is kept"),
        pytest.param("failed", "failed", False, id="what failed has ended already"),
        pytest.param("cancelled", "cancelled", False, id="so has what was cancelled by hand"),
    ],
)
def test_cancel_ends_what_waits_and_marks_what_has_not_ended(
    queue: Queue, before: str, after: str, is_marked: bool
) -> None:
    ingestion_id = one_batch(queue, BatchStatus(before))
    cancel(queue, ingestion_id)
    assert states(queue, ingestion_id) == [after]
    expected = queue.clock.read().at if is_marked else None
    assert cancelled_at(queue, ingestion_id) == expected


def test_cancelled_batch_has_ended_and_is_not_due_any_more(queue: Queue) -> None:
    ingestion_id = queue.submit([1])
    queue.retry(queue.claim(), delay_seconds=60)
    queue.clock.move(10)
    cancel(queue, ingestion_id)
    batch = queue.batch(1)
    assert (batch.status, batch.not_before) == ("cancelled", None)
    assert batch.completed_at == queue.clock.read().at
    assert batch.last_error == "Boom: it broke"
    queue.clock.move(HOUR)
    assert queue.refused().reason is Wait.EMPTY


def test_cancel_leaves_other_ingestions_alone(queue: Queue) -> None:
    other, ingestion_id = queue.submit([1]), queue.submit([2])
    cancel(queue, ingestion_id)
    assert states(queue, other) == ["yet_to_start"]


def test_what_is_in_flight_when_it_is_cancelled_is_kept_when_it_succeeds(queue: Queue) -> None:
    ingestion_id = queue.submit([1, 2, 3, 4])
    claim = queue.claim()
    cancel(queue, ingestion_id)
    queue.complete(claim)
    assert states(queue, ingestion_id) == ["completed", "cancelled"]


@pytest.mark.parametrize("end", [Queue.retry, Queue.defer, Queue.release, Queue.lose])
def test_what_is_in_flight_when_it_is_cancelled_does_not_wait_again(
    queue: Queue, end: Callable[[Queue, Claim], None]
) -> None:
    ingestion_id = queue.submit([1])
    claim = queue.claim()
    cancel(queue, ingestion_id)
    end(queue, claim)
    assert states(queue, ingestion_id) == ["cancelled"]


def test_cancelling_twice_is_as_cancelling_once(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    queue.claim()
    cancel(queue, ingestion_id)
    before = queue.everything()
    queue.clock.move(HOUR)
    cancel(queue, ingestion_id)
    assert queue.everything() == before


@pytest.mark.parametrize("state", BatchStatus)
@pytest.mark.parametrize("all_ids", [False, True])
def test_retry_sends_back_what_failed_and_nothing_else(
    queue: Queue, state: BatchStatus, all_ids: bool
) -> None:
    ingestion_id = one_batch(queue, state)
    before = queue.everything()
    retry_ingestion(queue.database, ingestion_id, all_ids=all_ids)
    if state is BatchStatus.FAILED:
        assert states(queue, ingestion_id) == ["yet_to_start"]
    else:
        assert queue.everything() == before


def test_retried_batch_waits_at_its_old_place_with_all_its_attempts(queue: Queue) -> None:
    queue = queue.using(batch_size=1)
    ingestion_id = queue.submit([1, 2])
    created_at = queue.batch(1).created_at
    queue.fail(queue.claim())
    retry(queue, ingestion_id)
    batch = queue.batch(1)
    assert (batch.status, batch.attempt_count, batch.created_at) == ("yet_to_start", 0, created_at)
    assert (batch.not_before, batch.last_error, batch.completed_at) == (None, None, None)
    again = queue.claim()
    assert (again.batch_id, again.attempt) == (1, 1)


@pytest.mark.parametrize(
    ("all_ids", "kept"),
    [
        pytest.param(False, [(1, "fetched"), (2, "missing")], id="only what failed is asked again"),
        pytest.param(True, [], id="everything is asked again"),
    ],
)
def test_retry_forgets_the_records_it_asks_for_again(
    queue: Queue, all_ids: bool, kept: list[tuple[int, str]]
) -> None:
    ingestion_id = one_batch(queue, BatchStatus.FAILED)
    for position, outcome in enumerate(("fetched", "missing", "error"), start=1):
        put_record(queue, ingestion_id, position, outcome=RecordOutcome(outcome))
    retry_ingestion(queue.database, ingestion_id, all_ids=all_ids)
    assert queue.rows("SELECT position, outcome FROM records ORDER BY position") == kept


@pytest.mark.parametrize(
    ("all_ids", "asked"),
    [
        pytest.param(False, (2, 3), id="what was fetched is not asked for again"),
        pytest.param(True, (1, 2, 3), id="everything is"),
    ],
)
def test_next_claim_asks_for_what_was_forgotten(
    queue: Queue, all_ids: bool, asked: tuple[int, ...]
) -> None:
    ingestion_id = queue.submit([1, 2, 3])
    claim = queue.claim()
    queue.fail(claim, fetched=fetched(claim)[:1])
    retry_ingestion(queue.database, ingestion_id, all_ids=all_ids)
    again = queue.claim()
    assert again.ids == asked
    queue.complete(again)
    assert states(queue, ingestion_id) == ["completed"]
    assert queue.rows("SELECT position, outcome FROM records") == [
        (position, "fetched") for position in (1, 2, 3)
    ]


def test_control_breaks_no_promise(queue: Queue) -> None:
    queue = queue.using(interval_seconds=5)
    ingestion_id = queue.submit(range(15))
    first = queue.claim_in_turn()
    queue.fail(first, fetched=fetched(first)[:1])
    second = queue.claim_in_turn()
    cancel(queue, ingestion_id)
    queue.retry(second, fetched=fetched(second)[:1])
    retry(queue, ingestion_id)
    pause_source(queue.database, "default", clock=queue.clock)
    queue.clock.move(HOUR)
    resume_source(queue.database, "default")
    assert verify(queue.database).findings == ()
    queue.complete(queue.claim_in_turn())
    assert verify(queue.database).findings == ()


def test_retry_keeps_the_records_of_batches_that_did_not_fail(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    queue.complete(queue.claim())
    put(queue, ingestion_id, 2, BatchStatus.FAILED)
    other = one_batch(queue, BatchStatus.FAILED)
    put_record(queue, other, 1, outcome=RecordOutcome.ERROR)
    before = queue.rows("SELECT * FROM records")
    retry_ingestion(queue.database, ingestion_id, all_ids=True)
    assert queue.rows("SELECT * FROM records") == before
    assert states(queue, other) == ["failed"]


def test_retry_takes_back_that_it_was_cancelled(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    queue.fail(queue.claim())
    cancel(queue, ingestion_id)
    retry(queue, ingestion_id)
    assert states(queue, ingestion_id) == ["yet_to_start", "cancelled"]
    assert cancelled_at(queue, ingestion_id) is None


def test_retry_of_what_has_not_failed_leaves_it_cancelled(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    cancel(queue, ingestion_id)
    before = queue.everything()
    retry(queue, ingestion_id)
    assert queue.everything() == before


def test_retrying_twice_is_as_retrying_once(queue: Queue) -> None:
    ingestion_id = one_batch(queue, BatchStatus.FAILED)
    retry(queue, ingestion_id)
    before = queue.everything()
    retry(queue, ingestion_id)
    assert queue.everything() == before


def test_pausing_twice_keeps_the_first_time(queue: Queue) -> None:
    queue.submit()
    pause_source(queue.database, "default", clock=queue.clock)
    since = queue.clock.read().at
    queue.clock.move(HOUR)
    pause_source(queue.database, "default", clock=queue.clock)
    assert queue.refused().reason is Wait.PAUSED
    assert queue.rows("SELECT name, paused_at FROM sources") == [
        ("default", f"{since:%Y-%m-%d %H:%M:%S.%f}")
    ]


def test_pausing_keeps_the_slot(queue: Queue) -> None:
    queue = queue.using(interval_seconds=5)
    queue.submit(range(6))
    queue.claim()
    slot = queue.slot()
    pause_source(queue.database, "default", clock=queue.clock)
    resume_source(queue.database, "default")
    assert queue.slot() == slot
    assert queue.refused().reason is Wait.SLOT


def test_resumed_source_goes_on(queue: Queue) -> None:
    queue.submit()
    pause_source(queue.database, "default", clock=queue.clock)
    for _ in range(2):
        resume_source(queue.database, "default")
    assert queue.claim().batch_id == 1


@pytest.mark.parametrize(
    "delay_seconds",
    [
        pytest.param(366 * 86_400.0, id="what the upstream asked for"),
        pytest.param(None, id="what followed from a failure"),
    ],
)
def test_resume_ends_whatever_a_source_waits_for(queue: Queue, delay_seconds: float | None) -> None:
    queue.submit()
    queue.defer(queue.claim(), delay_seconds)
    resume_source(queue.database, "default")
    assert queue.claim().batch_id == 1


def test_resuming_a_source_that_was_never_used_changes_nothing(queue: Queue) -> None:
    resume_source(queue.database, "default")
    assert queue.rows("SELECT * FROM sources") == []


def test_one_source_is_paused_and_no_other(queue: Queue) -> None:
    queue.submit()
    pause_source(queue.database, "other", clock=queue.clock)
    assert queue.claim().batch_id == 1


def test_retried_work_is_announced_after_the_commit(queue: Queue) -> None:
    ingestion_id = one_batch(queue, BatchStatus.FAILED)
    seen = announced(queue, lambda: retry(queue, ingestion_id))
    assert seen == [("default", "yet_to_start", None)]


def test_resumed_source_is_announced_after_the_commit(queue: Queue) -> None:
    queue.submit()
    pause_source(queue.database, "default", clock=queue.clock)
    seen = announced(queue, lambda: resume_source(queue.database, "default"))
    assert seen == [("default", "yet_to_start", None)]


def test_nothing_is_announced_when_nothing_goes_back(queue: Queue) -> None:
    ingestion_id = one_batch(queue, BatchStatus.COMPLETED)
    assert announced(queue, lambda: retry(queue, ingestion_id)) == []


def announced(queue: Queue, act: Callable[[], None]) -> list[tuple[str, str, object]]:
    """What was announced meanwhile, and what another reader saw at that moment."""
    seen: list[tuple[str, str, object]] = []

    def look(_database: Database, *, source: str) -> None:
        row = queue.rows("SELECT status, (SELECT max(paused_at) FROM sources) FROM batches")[0]
        seen.append((source, *row))

    with work_arrived.connected_to(look, sender=queue.database):
        act()
    return seen


@pytest.mark.parametrize("act", [cancel, retry])
@pytest.mark.parametrize("ingestion_id", ["unknown", "", "' OR 1=1 --", "a\x00b"])
def test_unknown_ingestion_is_an_error_and_changes_nothing(
    queue: Queue, act: Callable[[Queue, str], None], ingestion_id: str
) -> None:
    one_batch(queue, BatchStatus.FAILED)
    queue.submit()
    before = queue.everything()
    with pytest.raises(UnknownIngestion):
        act(queue, ingestion_id)
    assert queue.everything() == before
