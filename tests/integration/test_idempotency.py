"""A key names a submission: sent again it is answered, and nothing is stored twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from ingest_app.database import Database
from ingest_app.errors import IdempotencyKeyReused
from ingest_app.items import ItemId
from ingest_app.queue import submit
from ingest_app.queue.submit import work_arrived
from ingest_app.states import Priority
from tests.support.queues import Queue, opened

STORED = "SELECT (SELECT count(*) FROM ingestions), (SELECT count(*) FROM batches)"


def test_same_submission_with_one_key_is_stored_once(queue: Queue) -> None:
    first = queue.submit([1, "a"], key="key")
    before = queue.everything()
    queue.clock.move(3_600)
    assert queue.submit([1, "a"], key="key") == first
    assert queue.everything() == before


@pytest.mark.parametrize(
    ("ids", "priority", "source_name"),
    [
        pytest.param([1, 3], Priority.LOW, "default", id="another ID"),
        pytest.param([2, 1], Priority.LOW, "default", id="another order"),
        pytest.param([1, 2, 2], Priority.LOW, "default", id="one more"),
        pytest.param(["1", 2], Priority.LOW, "default", id="a text instead of a number"),
        pytest.param([1, 2], Priority.HIGH, "default", id="another priority"),
        pytest.param([1, 2], Priority.LOW, "other", id="another source"),
    ],
)
def test_other_submission_with_the_key_is_refused(
    queue: Queue, ids: list[ItemId], priority: Priority, source_name: str
) -> None:
    first = queue.submit([1, 2], Priority.LOW, key="key")
    with pytest.raises(IdempotencyKeyReused) as caught:
        queue.using(name=source_name).submit(ids, priority, key="key")
    assert (caught.value.key, caught.value.ingestion_id) == ("key", first)
    assert queue.rows(STORED) == [(1, 1)]


@pytest.mark.parametrize(
    ("ids", "other"),
    [
        pytest.param(["1,2"], ["1", "2"], id="a comma inside an ID"),
        pytest.param(['1","2'], ["1", "2"], id="quotes inside an ID"),
        pytest.param(["é"], ["e\u0301"], id="not normalised"),
    ],
)
def test_what_looks_alike_is_another_submission(
    queue: Queue, ids: list[ItemId], other: list[ItemId]
) -> None:
    queue.submit(ids, key="key")
    with pytest.raises(IdempotencyKeyReused):
        queue.submit(other, key="key")


def test_other_keys_are_other_ingestions(queue: Queue) -> None:
    keys = ["key", "Key", "key ", None, None]
    assert len({queue.submit([1], key=key) for key in keys}) == len(keys)


def test_key_holds_after_a_restart_with_another_batch_size(queue: Queue) -> None:
    first = queue.submit(range(9), key="key")
    with opened(queue.database.engine.url.database) as reopened:
        again = replace(queue, database=reopened).using(batch_size=2, interval_seconds=1)
        assert again.submit(range(9), key="key") == first
    assert queue.rows(STORED) == [(1, 3)]


def test_only_what_is_stored_is_announced(queue: Queue) -> None:
    seen: list[str] = []

    def look(_database: Database, *, source: str) -> None:
        seen.append(source)

    with work_arrived.connected_to(look, sender=queue.database):
        queue.submit(key="key")
        queue.submit(key="key")
    assert seen == ["default"]


def test_failed_submission_leaves_its_key_free(queue: Queue) -> None:
    queue.change(
        "CREATE TRIGGER fail BEFORE INSERT ON batches WHEN NEW.position = 2"
        " BEGIN SELECT RAISE(ABORT, 'out of order'); END"
    )
    with pytest.raises(IntegrityError):
        queue.submit(range(9), key="key")
    queue.change("DROP TRIGGER fail")
    queue.submit([1], key="key")
    assert queue.rows(STORED) == [(1, 1)]


def test_nothing_is_digested_without_a_key(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    # A million IDs take a tenth of a second.
    monkeypatch.setattr(submit, "_digest", pytest.fail)
    queue.submit()
    assert queue.rows("SELECT idempotency_key, request_digest FROM ingestions") == [(None, None)]
