"""What people would use instead of the queue, each doing the same number of empty jobs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from litequeue import LiteQueue

from ingest_app.clock import SystemClock
from ingest_app.migrating import migrate
from ingest_app.queue.packing import PACK_SIZE
from ingest_app.queue.submit import submit_ingestion
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.benchmarks import huey_jobs
from tests.benchmarks.report import Peer
from tests.benchmarks.rounds import Plan
from tests.support.queues import opened
from tests.support.service import kill_group

HUEY = Peer(
    "Huey, fsync on",
    "what waits",
    "what waits (synchronous=FULL, one commit a job); a job under way at a crash is lost",
)
LITEQUEUE = Peer(
    "litequeue",
    "nothing for certain at a power failure",
    "against a killed process, two commits a job; not against a power failure (synchronous=NORMAL)",
)
PLAIN = Peer(
    "plain sqlite3",
    "claim and end",
    "claim and end (synchronous=FULL, two commits a job); no slot, ledger, records or leases",
)

POLL_SECONDS = 0.01
MOST_SECONDS = 20.0
PATIENCE_SECONDS = 120.0

_CLAIM = """
UPDATE batches SET status = 'triggered', triggered_at = datetime('now'), claim_token = 'plain',
    lease_expires_at = datetime('now', '+30 seconds')
WHERE id = (
    SELECT id FROM batches
    WHERE source = 'default' AND status = 'yet_to_start' AND not_before IS NULL
    ORDER BY priority_rank, created_at, id LIMIT 1
) RETURNING id
"""
_END = """
UPDATE batches SET status = 'completed', completed_at = datetime('now'), claim_token = NULL,
    lease_expires_at = NULL
WHERE id = ? AND claim_token = 'plain'
"""


def huey_rate(plan: Plan, count: int) -> float:
    """Jobs a second of Huey's consumer, as it comes: one worker thread."""
    with plan.fresh_folder() as folder:
        path = folder / "huey.db"
        huey_jobs.enqueue(path, count)
        with closing(sqlite3.connect(path)) as connection, huey_consumer(path):
            left = connection.execute
            return drain_rate(lambda: left("SELECT count(*) FROM task").fetchone()[0], count)


@contextmanager
def huey_consumer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Huey's consumer on this file; its log goes beside it."""
    command = [
        str(Path(sys.executable).with_name("huey_consumer")),
        "tests.benchmarks.huey_jobs.huey",
    ]
    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, huey_jobs.FILE: str(path)},
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill_group(process)


def litequeue_rate(plan: Plan, count: int) -> float:
    """Jobs a second of litequeue in a loop."""
    with plan.fresh_folder() as folder:
        queue = LiteQueue(folder / "litequeue.db")
        for number in range(count):
            queue.put(str(number))
        started = time.perf_counter()
        while message := queue.pop():
            queue.done(message.message_id)
        rate = count / (time.perf_counter() - started)
        queue.close()
    return rate


def plain_rate(plan: Plan, count: int) -> float:
    """Jobs a second of a loop in plain SQL on our table of batches: what SQLite leaves at best."""
    with plan.fresh_folder() as folder:
        path = folder / "ingest.db"
        _submit(path, count)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            started = time.perf_counter()
            while claimed := connection.execute(_CLAIM).fetchone():
                connection.execute(_END, claimed)
            return count / (time.perf_counter() - started)


def _submit(path: Path, count: int) -> None:
    with opened(path) as database:
        migrate(database)
        # No more at once than have rows of their own from the start.
        for first in range(0, count, PACK_SIZE):
            submit_ingestion(
                database,
                ids=list(range(first, min(first + PACK_SIZE, count))),
                priority=Priority.MEDIUM,
                source=SourceSettings(batch_size=1),
                clock=SystemClock(),
            )


def drain_rate(left: Callable[[], int], count: int) -> float:
    """Jobs a second from the last moment at which all were left to the first at which none is.

    Of the slow, what they do in `MOST_SECONDS`.
    """
    assert left() > count / 2, "what is to be measured is over, or was not seen"
    started = all_left_at = time.perf_counter()
    while remaining := left():
        if remaining == count:
            all_left_at = time.perf_counter()
        if time.perf_counter() - all_left_at > MOST_SECONDS:
            break
        assert time.perf_counter() - started < PATIENCE_SECONDS, "nothing is done"
        time.sleep(POLL_SECONDS)
    return (count - remaining) / (time.perf_counter() - all_left_at)
