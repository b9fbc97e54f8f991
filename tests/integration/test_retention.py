"""The job of a worker that deletes what is too old, and the file that shrinks after it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingest_app import retention
from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy
from ingest_app.maintenance.compacting import compact
from ingest_app.maintenance.shrinking import SPARE_PAGES, can_shrink, shrink
from ingest_app.maintenance.sole import alone_at
from ingest_app.queue.pruning import ROOM
from ingest_app.retention import Retention, sweep
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import Settings
from tests.support.clocks import DAY
from tests.support.queues import Queue, opened


class Jobs:
    """A scheduler that runs a job when it is told to."""

    def __init__(self) -> None:
        self.run: Callable[[], None]
        self.seconds = 0.0

    def add_job(self, job: Callable[[], None], *, seconds: float, **_: Any) -> None:
        self.run, self.seconds = job, seconds

    def run_at(self, _job_id: str, delay_seconds: float) -> None:
        assert 0 < delay_seconds <= self.seconds


def free_pages(database: Database) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def leave_free_pages(database: Database, count: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE filler (x)")
        many = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        connection.exec_driver_sql(f"INSERT INTO filler {many} SELECT zeroblob(4000) FROM n")
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE filler")
    assert free_pages(database) >= count


@pytest.fixture
def job(queue: Queue) -> Iterator[tuple[Jobs, Retention]]:
    jobs = Jobs()
    settings = Settings("sqlite:///", retention_days=1)
    runtime = Runtime(settings, queue.database, queue.clock)
    retained = Retention(runtime, 1, jobs)  # type: ignore[arg-type]
    yield jobs, retained
    retained.stop()


def old(queue: Queue) -> None:
    queue.submit()
    queue.complete(queue.claim_in_turn())
    queue.clock.move(2 * DAY)


def ingestion_count(queue: Queue) -> int:
    return int(queue.rows("SELECT count(*) FROM ingestions")[0][0])


def test_job_deletes_and_says_so(
    queue: Queue, job: tuple[Jobs, Retention], caplog: pytest.LogCaptureFixture
) -> None:
    jobs, _ = job
    caplog.set_level(logging.INFO)
    assert jobs.seconds == 3_600
    old(queue)
    jobs.run()
    assert ingestion_count(queue) == 0
    assert "ingestions_pruned ingestions=1 batches=1" in caplog.text
    caplog.clear()
    jobs.run()
    assert caplog.text == ""


def test_job_of_a_stopping_process_ends_after_a_transaction(
    queue: Queue, job: tuple[Jobs, Retention]
) -> None:
    jobs, retained = job
    batch_size = ROOM * 2 // 3  # no two of them go in one transaction
    large = queue.using(batch_size=batch_size)
    large.submit(range(3 * batch_size))
    for _ in range(3):
        large.complete(large.claim_in_turn())
    queue.clock.move(2 * DAY)
    retained.stop()
    jobs.run()
    assert queue.rows("SELECT count(*), sum(pruned_at IS NULL) FROM ingestions") == [(1, 0)]
    assert queue.rows("SELECT count(*) FROM batches") == [(2,)]


def test_fault_of_the_database_is_told_and_the_next_run_goes_on(
    queue: Queue,
    job: tuple[Jobs, Retention],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs, _ = job
    old(queue)
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise DatabaseBusy("busy")

        patch.setattr(retention, "prune", fail)
        jobs.run()
    assert "retention_failed reason=busy" in caplog.text
    jobs.run()
    assert ingestion_count(queue) == 0


def test_while_one_process_prunes_another_does_not(queue: Queue, database_path: Path) -> None:
    old(queue)
    with alone_at(database_path.parent) as is_alone:
        assert is_alone
        assert sweep(queue.database, 1, clock=queue.clock, wait=lambda _: False) is None
    assert ingestion_count(queue) == 1
    assert sweep(queue.database, 1, clock=queue.clock, wait=lambda _: False) is not None
    assert ingestion_count(queue) == 0


def test_scheduler_runs_it_in_a_thread_that_stops(queue: Queue) -> None:
    old(queue)
    scheduler = SteadyScheduler(queue.clock, thread_count=2)
    runtime = Runtime(Settings("sqlite:///"), queue.database, queue.clock)
    retained = Retention(runtime, 1, scheduler)
    scheduler.run_at("retention", 0)
    scheduler.start()
    done = threading.Event()
    scheduler.add_listener(lambda _: done.set(), 2**12)  # EVENT_JOB_EXECUTED
    assert done.wait(30)
    retained.stop()
    scheduler.shutdown()
    assert ingestion_count(queue) == 0


def test_file_shrinks_in_steps_and_keeps_some_room(queue: Queue, database_path: Path) -> None:
    database = queue.database
    assert can_shrink(database)
    leave_free_pages(database, SPARE_PAGES + 500)
    before = database_path.stat().st_size
    shrunk = shrink(database, clock=queue.clock, wait=lambda _: False)
    assert shrunk.page_count >= 500
    assert SPARE_PAGES - 60 <= free_pages(database) < SPARE_PAGES + 60
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
    assert database_path.stat().st_size <= before - 450 * 4096
    assert shrink(database, clock=queue.clock, wait=lambda _: False).page_count == 0


def test_shrinking_stops_when_it_is_told_to(queue: Queue) -> None:
    leave_free_pages(queue.database, SPARE_PAGES + 500)
    assert shrink(queue.database, clock=queue.clock, wait=lambda _: True).page_count == 50


def test_file_that_was_made_before_it_could_shrink_can_after_it_was_compacted(
    queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "older.db"
    with (
        closing(sqlite3.connect(path)) as older,
        closing(sqlite3.connect(tmp_path / "ingest.db")) as ours,
    ):
        older.execute("PRAGMA auto_vacuum = NONE")
        older.executescript("\n".join(ours.iterdump()))
    with opened(path) as database:
        assert not can_shrink(database)
        leave_free_pages(database, SPARE_PAGES + 500)
        swept = sweep(database, 1, clock=queue.clock, wait=lambda _: False)
        assert (swept.can_shrink, swept.shrunk.page_count) == (False, 0)
    before, after = compact(path)
    assert after < before - SPARE_PAGES * 4096
    with opened(path) as database:
        assert can_shrink(database)
        assert free_pages(database) == 0
