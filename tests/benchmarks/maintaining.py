"""B12: pruning a million IDs and a backup, both beside a paced source, and a restore."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ingest_app.migrating import migrate
from tests.benchmarks.report import Aim, Row
from tests.benchmarks.rounds import Plan, Spread
from tests.benchmarks.servers import read_rows
from tests.support.queues import opened
from tests.support.service import Service, environment, gunicorn, ingest, instance_path, running

INTERVAL_SECONDS = 0.1
BATCH_SIZE = 3
HOW = (
    f"batches of {BATCH_SIZE}, each dispatched once, records of about 100 bytes; two workers"
    f" dispatch every {INTERVAL_SECONDS:g} s meanwhile; a database that was written before, its"
    " pages in the system's cache"
)

OLD = "'2026-01-01 00:00:00.000000'"
_CALLS = """
SELECT dispatched_boot_seconds FROM dispatches
WHERE source = 'default' AND dispatched_boot_seconds BETWEEN ? AND ? ORDER BY 1
"""
_FILL = (
    f"""
    INSERT INTO ingestions (id, source, priority, priority_rank, created_at, id_count, batch_count,
      ended_at) VALUES ('old', 'other', 'LOW', 2, {OLD}, {BATCH_SIZE} * :count, :count, {OLD})
    """,
    f"""
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
    INSERT INTO batches (ingestion_id, position, source, ids, status, priority_rank, created_at,
      triggered_at, completed_at, attempt_count)
    SELECT 'old', i, 'other', json_array(3 * i - 2, 3 * i - 1, 3 * i), 'completed', 2, {OLD}, {OLD},
      {OLD}, 1 FROM n
    """,
    f"""
    INSERT INTO dispatches (source, batch_id, attempt, worker, dispatched_at, finished_at, outcome,
      interval_seconds, margin_seconds, newest_batch_id)
    SELECT source, id, 1, 'host:1234/56789@4026531836', {OLD}, {OLD}, 'completed', 0, 0, id
    FROM batches WHERE ingestion_id = 'old'
    """,
    f"""
    INSERT INTO records (batch_id, position, item_id, outcome, data, fetched_at)
    SELECT batches.id, key + 1, value, 'fetched',
      json_object('id', value, 'name', 'Item ' || value, 'tags', json_array('one', 'two')), {OLD}
    FROM batches, json_each(ids) WHERE ingestion_id = 'old'
    """,
)


def maintenance(plan: Plan) -> Sequence[Row]:
    """B12: how long it takes, and what the pace notices of it."""
    batch_count = plan.size(333_334, quick=2_000)
    with plan.fresh_folder() as folder:
        instance_path(folder).mkdir()
        _fill(instance_path(folder) / "ingest.db", batch_count)
        file = folder / "backup.db"
        settings = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0}
        with running(folder, gunicorn("--workers", "2"), **settings) as service:
            # Enough for as long as it takes.
            service.ingest(range(plan.size(60_000, quick=600)))
            service.wait_for_dispatches(1)
            alone = _Run(service, lambda: _idle(plan))
            backup = _Run(service, lambda: _told(folder, "backup", str(file), "--no-verify"))
            prune = _Run(service, lambda: _told(folder, "prune", "--days", "1"))
        restored = _told(folder, "restore", str(file), "--yes")
    what = f"{BATCH_SIZE * batch_count:,} IDs"
    megabytes = backup.told["bytes"] / 1e6
    return [
        _gaps("nothing else", alone),
        _row(f"backup of {what}, {megabytes:,.0f} MB", "s", backup.told["seconds"]),
        _gaps("backup", backup),
        _row(f"prune {what}", "s", prune.told["seconds"]),
        _row("prune, longest transaction", "ms", 1000 * prune.told["longest_lock_seconds"]),
        _gaps("prune", prune),
        _row(f"restore of {what}, verified", "s", restored["seconds"]),
    ]


class _Run:
    """A command beside a service: what it told, and the gaps meanwhile."""

    def __init__(self, service: Service, run: Callable[[], Mapping[str, Any]]) -> None:
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.told = run()
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        calls = [row[0] for row in read_rows(service.database, _CALLS, [began, ended])]
        self.gaps_ms = [round(1000 * (later - earlier), 3) for earlier, later in pairwise(calls)]


def _fill(database: Path, batch_count: int) -> None:
    with opened(database) as made:
        migrate(made)
        with made.write() as connection:
            for statement in _FILL:
                connection.exec_driver_sql(statement, {"count": batch_count})


def _told(folder: Path, *arguments: str) -> Mapping[str, Any]:
    command, env = ingest(*arguments, "--json"), environment(folder, {})
    ended = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    told: Mapping[str, Any] = json.loads(ended.stdout)
    return told


def _idle(plan: Plan) -> Mapping[str, Any]:
    time.sleep(plan.size(10, quick=1))
    return {}


def _row(name: str, unit: str, figure: float) -> Row:
    return Row("B12", name, unit, HOW, Spread(figure, figure, figure))


def _gaps(name: str, run: _Run) -> Row:
    every_ms = 1000 * INTERVAL_SECONDS
    gap = Spread(statistics.mean(run.gaps_ms), min(run.gaps_ms), max(run.gaps_ms))
    name = f"every {INTERVAL_SECONDS:g} s beside {name}: mean of {len(run.gaps_ms)} gaps (range)"
    return Row("B12", name, "ms", HOW, gap, aim=Aim("ours", at_most=103, none_below=every_ms))
