"""Works that come while a transaction runs share the next one, and no more than its fate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ingest_app import group_commit, sqlite
from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy, IdempotencyKeyReused
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.queues import Queue, opened

Work = Callable[[Connection], Any]


def add_source(name: str | None) -> Work:
    def do(connection: Connection) -> str | None:
        connection.exec_driver_sql("INSERT INTO sources (name) VALUES (?)", (name,))
        return name

    return do


def refused(connection: Connection) -> None:
    add_source("refused")(connection)
    raise IdempotencyKeyReused("key", "ingestion")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def bring(database: Database, pool: ThreadPoolExecutor, works: list[Work]) -> list[Future[Any]]:
    """The outcomes of works that are all brought while another one runs."""
    all_are_there = threading.Event()
    runs = threading.Event()

    def first(_connection: Connection) -> None:
        runs.set()
        assert all_are_there.wait(TIMEOUT_SECONDS)

    leader = pool.submit(database.write_together, first)
    assert runs.wait(TIMEOUT_SECONDS)
    brought = [pool.submit(database.write_together, work) for work in works]
    while len(database._group._waiting) < len(works):
        assert not any(future.done() for future in brought)
    all_are_there.set()
    leader.result(TIMEOUT_SECONDS)
    return brought


def names(queue: Queue) -> list[str]:
    return sorted(name for (name,) in queue.rows("SELECT name FROM sources"))


def test_works_that_come_meanwhile_share_one_commit(
    queue: Queue, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Mock(wraps=queue.database.write)
    monkeypatch.setattr(queue.database._group, "_write", write)
    brought = bring(queue.database, pool, [add_source(name) for name in "abc"])
    assert [future.result(TIMEOUT_SECONDS) for future in brought] == ["a", "b", "c"]
    assert write.call_count == 2  # the one they waited for, and theirs
    assert names(queue) == ["a", "b", "c"]


def test_result_is_on_disk_when_it_is_returned(queue: Queue, database_path: Path) -> None:
    queue.database.write_together(add_source("a"))
    with opened(database_path) as another, another.read() as connection:
        assert connection.exec_driver_sql("SELECT name FROM sources").scalars().all() == ["a"]


def test_work_that_raises_undoes_only_itself(queue: Queue, pool: ThreadPoolExecutor) -> None:
    works = [add_source("a"), refused, add_source("b")]
    before, failed, after = bring(queue.database, pool, works)
    assert (before.result(TIMEOUT_SECONDS), after.result(TIMEOUT_SECONDS)) == ("a", "b")
    with pytest.raises(IdempotencyKeyReused):
        failed.result(TIMEOUT_SECONDS)
    assert names(queue) == ["a", "b"]


def test_without_savepoints_such_a_work_is_seen_to_leave_something(
    queue: Queue, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(group_commit, "run_plainly", lambda *_: None)
    (failed,) = bring(queue.database, pool, [refused])
    with pytest.raises(IdempotencyKeyReused):
        failed.result(TIMEOUT_SECONDS)
    assert names(queue) == ["refused"]


def test_fault_of_the_database_fails_all_and_keeps_nothing(
    queue: Queue, pool: ThreadPoolExecutor
) -> None:
    brought = bring(queue.database, pool, [add_source("a"), add_source(None), add_source("b")])
    for future in brought:
        with pytest.raises(IntegrityError):
            future.result(TIMEOUT_SECONDS)
    assert names(queue) == []


def test_works_that_waited_in_vain_are_not_done_later(
    queue: Queue, database_path: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with opened(database_path) as another, another.write():
        refusals = [pool.submit(queue.database.write_together, add_source(name)) for name in "ab"]
        for future in refusals:
            with pytest.raises(DatabaseBusy):
                future.result(TIMEOUT_SECONDS)
    queue.database.write_together(add_source("c"))
    assert names(queue) == ["c"]


def test_next_work_is_done_after_a_fault(queue: Queue) -> None:
    with pytest.raises(IntegrityError):
        queue.database.write_together(add_source(None))
    queue.database.write_together(add_source("a"))
    assert names(queue) == ["a"]
