"""B5: what claiming and settling a batch costs while ever more others wait."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ingest_app import sqlite
from ingest_app.clock import SystemClock
from ingest_app.database import Database
from ingest_app.migrating import migrate
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.settle import complete_batch
from ingest_app.settings import SourceSettings
from tests.benchmarks.report import OURS_DURABLE, Aim, Peer, Row
from tests.benchmarks.rounds import (
    Figures,
    Found,
    Plan,
    column,
    interleaved,
    percentile,
    ratios,
    spread,
)
from tests.support.queues import fetched, opened

WAITING_COUNTS = (1_000, 1_000_000, 10_000_000)
ENDED_COUNT = 10_000_000
QUICK_WAITING_COUNTS = (1_000, 10_000, 100_000)
CLAIM_COUNT = 150
"""In a round, for each file; all rounds together leave some of the thousand."""

MOST_ROUNDS = 5
WARM_UP_COUNT = 10

SOURCE = SourceSettings(interval_seconds=0)

_BATCHES_EACH = 100_000  # of one ingestion
_UNSAFE = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000",
           "foreign_keys = OFF", "ignore_check_constraints = ON")  # fmt: skip
_ADD_INGESTIONS = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT :ingestions)
INSERT INTO ingestions (id, source, priority, priority_rank, created_at, id_count, batch_count)
SELECT printf('%s-%018d', :status, n), 'default', 'MEDIUM', 1, :at,
    3 * :batches_each, :batches_each FROM numbers
"""
_ADD_BATCHES = """
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT :batches)
INSERT INTO batches (ingestion_id, position, source, ids, status, priority_rank, created_at,
    triggered_at, completed_at, attempt_count)
SELECT printf('%s-%018d', :status, n / :batches_each), n % :batches_each + 1, 'default',
    '[' || (3 * n) || ',' || (3 * n + 1) || ',' || (3 * n + 2) || ']', :status, 1, :at,
    :ended_at, :ended_at, :ended_at IS NOT NULL FROM numbers
"""


def claims(plan: Plan) -> Sequence[Row]:
    """B5: claim and complete with two commits, in three files of different size."""
    counts = QUICK_WAITING_COUNTS if plan.is_quick else WAITING_COUNTS
    ended_count = plan.size(ENDED_COUNT, quick=100_000)
    with _files(plan, counts, ended_count) as databases:
        sides: Mapping[str, Callable[[], Figures]] = {
            str(count): partial(_claim_and_settle, database, plan.size(CLAIM_COUNT, quick=20))
            for count, database in databases.items()
        }
        found = interleaved(plan.fewer_rounds(MOST_ROUNDS), sides)
    smallest, *others = counts
    how = f"{ended_count:,} ended batches beside; interval_seconds 0, batches of 3; in one thread"
    return [row for count in others for row in _rows(how, found, count, smallest)]


def _rows(how: str, found: Found, count: int, smallest: int) -> Iterator[Row]:
    few = Peer(f"{smallest:,} waiting", "all", OURS_DURABLE)
    for name, aim in (("median", Aim("ratio", at_most=1.3)), ("p99", None)):
        mine, theirs = column(found[str(count)], name), column(found[str(smallest)], name)
        yield Row(
            "B5",
            f"claim and settle, {count:,} waiting, {name} (ratio: times as long)",
            "ms",
            how,
            ours=spread(mine),
            peer=few,
            theirs=spread(theirs),
            ratio=ratios(mine, theirs),
            aim=aim,
        )


@contextmanager
def _files(plan: Plan, counts: Sequence[int], ended_count: int) -> Iterator[dict[int, Database]]:
    """A database for each count of waiting batches."""
    with plan.fresh_folder() as folder, ExitStack() as stack:
        ended = folder / "ended.db"
        with opened(ended) as database:
            migrate(database)
        _fill(ended, "completed", ended_count)
        paths = {count: folder / f"{count}.db" for count in counts}
        for count, path in paths.items():
            shutil.copyfile(ended, path)
            _fill(path, "yet_to_start", count)
        ended.unlink()
        for path in paths.values():
            _reach_disk(path)
        yield {count: stack.enter_context(opened(path)) for count, path in paths.items()}


def _fill(path: Path, status: str, count: int) -> None:
    """Add batches as the service stores them, but without its care for a crash."""
    ended = status == "completed"
    values = {
        "status": status,
        "batches": count,
        "batches_each": min(count, _BATCHES_EACH),
        "ingestions": -(-count // _BATCHES_EACH),
        "at": "2026-01-01 00:00:00.000000" if ended else "2026-01-02 00:00:00.000000",
        "ended_at": "2026-01-01 00:00:01.000000" if ended else None,
    }
    driver: Any = sqlite.engine_options()["module"]
    with closing(driver.connect(path, isolation_level=None)) as connection:
        for pragma in _UNSAFE:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        connection.execute(_ADD_INGESTIONS, values)
        connection.execute(_ADD_BATCHES, values)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _reach_disk(path: Path) -> None:
    # Or what is still to be written would be, while commits are measured.
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _claim_and_settle(database: Database, count: int) -> Figures:
    for _ in range(WARM_UP_COUNT):
        _seconds_of_one(database)
    times = [1000 * _seconds_of_one(database) for _ in range(count)]
    return {"median": percentile(times, 50), "p99": percentile(times, 99)}


def _seconds_of_one(database: Database) -> float:
    clock = SystemClock()
    started = time.perf_counter()
    claim = claim_next_batch(database, SOURCE, worker="benchmark", clock=clock)
    assert isinstance(claim, Claim)
    complete_batch(database, claim, fetched=fetched(claim), called=claim.claimed, clock=clock)
    return time.perf_counter() - started
