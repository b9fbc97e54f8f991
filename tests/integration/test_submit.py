"""What was acknowledged is there, all of it, as it was given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.items import ItemId
from ingest_app.queue.submit import submit_ingestion, work_arrived
from ingest_app.states import Priority
from tests.support.clocks import FakeClock
from tests.support.queues import Queue, keeps_what_an_error_interrupts

FAIL_IN_THE_MIDDLE = """
CREATE TRIGGER fail_in_the_middle BEFORE INSERT ON batches WHEN NEW.position = 2
BEGIN SELECT RAISE(ABORT, 'out of order'); END
"""
STORED = "SELECT (SELECT count(*) FROM ingestions), (SELECT count(*) FROM batches)"


def test_ids_are_cut_into_batches_in_their_order(queue: Queue) -> None:
    ingestion_id = queue.submit([1, 2, 3, 4, 5])
    query = "SELECT position, ids FROM batches WHERE ingestion_id = :id ORDER BY id"
    assert queue.rows(query, id=ingestion_id) == [(1, "[1,2,3]"), (2, "[4,5]")]


@pytest.mark.parametrize(
    ("id_count", "batch_count"),
    [
        pytest.param(1, 1, id="a single one"),
        pytest.param(2, 1, id="less than a batch"),
        pytest.param(3, 1, id="a whole batch"),
        pytest.param(4, 2, id="one over"),
        pytest.param(6, 2, id="two whole batches: no empty third one"),
    ],
)
def test_last_batch_holds_the_rest(queue: Queue, id_count: int, batch_count: int) -> None:
    queue.submit(range(id_count))
    counts = "SELECT id_count, batch_count, (SELECT count(*) FROM batches) FROM ingestions"
    assert queue.rows(counts) == [(id_count, batch_count, batch_count)]


def test_batches_wait_with_what_the_queue_orders_by(queue: Queue) -> None:
    queue.submit([1, 2, 3, 4], Priority.LOW)
    columns = "source, priority_rank, created_at"
    (ingestion,) = queue.rows(f"SELECT {columns} FROM ingestions")
    assert queue.rows(f"SELECT {columns} FROM batches") == [ingestion] * 2
    assert queue.batch(1).created_at == queue.clock.read().at
    assert queue.rows("SELECT DISTINCT status, attempt_count FROM batches") == [("yet_to_start", 0)]


@pytest.mark.parametrize(
    ("ids", "stored"),
    [
        pytest.param([5, 1, 5, 5], "[5,1,5,5]", id="order and duplicates"),
        pytest.param([1, "1"], '[1,"1"]', id="a number is not its text"),
        pytest.param([2**63 - 1, -(2**63)], f"[{2**63 - 1},{-(2**63)}]", id="64-bit limits"),
        pytest.param([2**53 + 1], f"[{2**53 + 1}]", id="more than a float holds"),
        pytest.param([0, -1], "[0,-1]", id="zero and below"),
        pytest.param(["é", "日本", "🚲"], '["é","日本","🚲"]', id="unicode, not escaped"),
        pytest.param(['a"b', "c\\d"], r'["a\"b","c\\d"]', id="quotes and backslashes"),
        pytest.param(["'; DROP TABLE batches; --"], '["\'; DROP TABLE batches; --"]', id="quote"),
        pytest.param(["a\nb\tc"], r'["a\nb\tc"]', id="control characters"),
        pytest.param(["[1,2]", "{}"], '["[1,2]","{}"]', id="text that looks like JSON"),
        pytest.param(["null", "true", "1e3"], '["null","true","1e3"]', id="words of JSON"),
        pytest.param(["\u2028", "e\u0301"], '["\u2028","e\u0301"]', id="not normalised"),
    ],
)
def test_ids_are_stored_as_they_were_given(
    queue: Queue, ids: Sequence[ItemId], stored: str
) -> None:
    whole = queue.using(batch_size=10)
    whole.submit(ids)
    assert queue.rows("SELECT ids FROM batches") == [(stored,)]
    assert whole.claim().ids == tuple(ids)


def test_a_hundred_thousand_ids_are_all_there_in_their_order(queue: Queue) -> None:
    ids = list(range(100_000, 0, -1))
    ingestion_id = queue.submit(ids)
    stored = queue.rows("SELECT batch_id, ids FROM queue")
    assert len(stored) == 33_334
    assert [item for (_, batch) in stored for item in json.loads(batch)] == ids
    assert [batch_id for (batch_id, _) in stored] == [
        f"{ingestion_id}-{position}" for position in range(1, 33_335)
    ]


def test_queue_order_of_one_ingestion_is_the_order_of_positions(queue: Queue) -> None:
    queue.submit(range(1_500))
    assert queue.rows("SELECT position FROM batches ORDER BY id") == [
        (position,) for position in range(1, 501)
    ]


def test_ids_of_ingestions_cannot_be_guessed_and_need_no_quoting(queue: Queue) -> None:
    found = {queue.submit() for _ in range(20)}
    assert len(found) == 20
    for ingestion_id in found:
        assert ingestion_id.isascii()
        assert ingestion_id.isalnum()
        assert len(ingestion_id) == 24


def test_failure_in_the_middle_stores_nothing(queue: Queue) -> None:
    queue.change(FAIL_IN_THE_MIDDLE)
    with pytest.raises(IntegrityError):
        queue.submit(range(9))
    assert queue.rows(STORED) == [(0, 0)]


def test_without_the_transaction_a_failure_in_the_middle_is_seen(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    queue.change(FAIL_IN_THE_MIDDLE)
    write = partial(keeps_what_an_error_interrupts, queue.database)
    monkeypatch.setattr(queue.database._group, "_write", write)
    with pytest.raises(IntegrityError):
        queue.submit(range(9))
    assert queue.rows(STORED) != [(0, 0)]


def test_other_readers_see_all_batches_at_the_signal(queue: Queue) -> None:
    seen: list[object] = []

    def look(_database: Database, *, source: str) -> None:
        seen.append((source, queue.rows(STORED)))

    with work_arrived.connected_to(look, sender=queue.database):
        queue.submit(range(9))
    assert seen == [("default", [(1, 3)])]


def test_failed_submission_sends_no_signal(queue: Queue) -> None:
    seen: list[object] = []

    def look(_database: Database, *, source: str) -> None:
        seen.append(source)

    queue.change(FAIL_IN_THE_MIDDLE)
    with (
        work_arrived.connected_to(look, sender=queue.database),
        pytest.raises(IntegrityError),
    ):
        queue.submit(range(9))
    assert seen == []


def test_times_are_taken_when_the_write_lock_is_held(queue: Queue) -> None:
    # Or two submissions could be stored in one order and numbered in the other.
    database, clock = queue.database, queue.clock

    class Asking(FakeClock):
        def read(self) -> Moment:
            assert not database._writing.acquire(blocking=False)
            return clock.read()

    submit_ingestion(
        database,
        ids=[1],
        priority=Priority.LOW,
        source=queue.source,
        clock=Asking(),
    )
