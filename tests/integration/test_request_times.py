"""Durations of requests reach the table that all processes share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest

from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy
from ingest_app.metrics import request_times
from ingest_app.metrics.request_times import RequestTimes
from ingest_app.metrics.request_totals import Kind, read_request_totals
from tests.support.queues import Queue
from tests.support.service import until

KIND = Kind("/ingest", "POST", "2xx")
ROWS = "SELECT took_up_to, request_count FROM request_totals ORDER BY CAST(took_up_to AS REAL)"
WRITES = "SELECT sum(request_count) FROM request_totals"


@pytest.fixture
def times(database: Database) -> Iterator[RequestTimes]:
    times = RequestTimes(database)
    yield times
    times.flush()


def test_sums_of_all_processes_add_up(queue: Queue, times: RequestTimes) -> None:
    other = RequestTimes(queue.database)
    for seconds in (0.0004, 0.001, 0.3):
        times.add(KIND, seconds)
        other.add(KIND, seconds)
    times.flush()
    other.flush()
    assert queue.rows(ROWS) == [("0.001", 4), ("0.5", 2)]
    with queue.database.read() as connection:
        found = read_request_totals(connection)[KIND]
    assert sum(found.counts) == 6
    assert found.seconds == pytest.approx(0.6028)


def test_kinds_are_kept_apart(queue: Queue, times: RequestTimes) -> None:
    times.add(KIND, 0.1)
    times.add(KIND._replace(status="5xx"), 20.0)
    times.flush()
    assert sorted(queue.rows(ROWS)) == [("+Inf", 1), ("0.1", 1)]


def test_they_are_written_after_some_seconds_by_themselves(
    queue: Queue, times: RequestTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_times, "FLUSH_SECONDS", 0.01)
    times.add(KIND, 0.1)
    until(lambda: queue.rows(WRITES) == [(1,)], "written")
    times.add(KIND, 0.1)
    until(lambda: queue.rows(WRITES) == [(2,)], "written again")


def test_nothing_is_written_when_nothing_was_asked(
    times: RequestTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database) -> None:
        raise AssertionError("the write lock was taken")

    times.add(KIND, 0.1)
    times.flush()
    monkeypatch.setattr(Database, "write", refuse)
    times.flush()


def test_they_are_kept_when_the_database_cannot_take_them(
    queue: Queue, times: RequestTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: Database) -> NoReturn:
        raise DatabaseBusy("busy")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", busy)
        times.add(KIND, 0.1)
        times.flush()
        times.add(KIND, 0.1)
    times.flush()
    assert queue.rows(WRITES) == [(2,)]


def test_child_does_not_write_what_its_parent_has_gathered(
    queue: Queue, times: RequestTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    times.add(KIND, 0.1)
    times._timer.cancel()
    times._timer.join()
    with monkeypatch.context() as child:
        child.setattr("ingest_app.metrics.request_times.os.getpid", lambda: -1)
        times.add(KIND, 0.1)
        times.flush()
    assert queue.rows(WRITES) == [(1,)]
