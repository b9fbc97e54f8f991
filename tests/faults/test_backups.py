"""Backups, restores and pruning beside a busy service, killed half way, and on a full disk."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from ingest_app.maintenance.backing_up import back_up
from tests.support.killing import Clients, report_on
from tests.support.promises import verified
from tests.support.service import (
    environment,
    gunicorn,
    ingest,
    instance_path,
    kill_group,
    run_to_end,
    running,
    until,
)
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.faults

INTERVAL_SECONDS = 0.1
SETTINGS = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0}
TWO_WORKERS = gunicorn("--workers", "2", "--preload")
KILL_COUNT = 2
OLD = "2026-01-01 00:00:00.000000"

# What ended long ago, as if the service had done it.
MANY = f"""
BEGIN;
INSERT INTO ingestions (id, source, priority, priority_rank, created_at, id_count, batch_count,
  ended_at) VALUES ('old', 'other', 'LOW', 2, '{OLD}', 3000, 1000, '{OLD}');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO batches (ingestion_id, position, source, ids, status, priority_rank, created_at,
  triggered_at, completed_at, attempt_count)
SELECT 'old', i, 'other', '[1,2,3]', 'completed', 2, '{OLD}', '{OLD}', '{OLD}', 1 FROM n;
INSERT INTO dispatches (source, batch_id, attempt, worker, dispatched_at, finished_at, outcome,
  interval_seconds, margin_seconds, newest_batch_id)
SELECT source, id, 1, 'host:1', '{OLD}', '{OLD}', 'completed', 0, 0, id FROM batches
WHERE ingestion_id = 'old';
INSERT INTO records (batch_id, position, item_id, outcome, data, fetched_at)
SELECT batches.id, key + 1, value, 'fetched', '{{}}', '{OLD}' FROM batches, json_each(ids)
WHERE ingestion_id = 'old';
COMMIT;
"""


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_to_end(ingest(*map(str, arguments)), folder)


def done(folder: Path, *arguments: object) -> None:
    """Run a command that must succeed."""
    ended = run(folder, *arguments)
    assert ended.returncode == 0, ended.stderr


def stored(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM ingestions")}


def add_old(database: Path) -> None:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.executescript(MANY)


def test_backup_under_load_has_all_that_was_acknowledged_and_restores_with_the_pace(
    tmp_path: Path, seed: int
) -> None:
    file = tmp_path / "backup.db"
    with Clients(seed) as clients, running(tmp_path, TWO_WORKERS, **SETTINGS) as service:
        clients.aim_at(service)
        add_old(service.database)
        service.wait_for_dispatches(10)
        before = set(clients.acknowledged)
        done(tmp_path, "backup", file)
        assert before
        assert before <= stored(file)
        refused = run(tmp_path, "restore", file, "--yes")
        assert (refused.returncode, "in use" in refused.stderr) == (2, True)
        done(tmp_path, "prune", "--days", "1")
        assert "old" not in stored(service.database)
        verified(service.database)
        clients.stop()
    last_call = _last_call(service.database)
    done(tmp_path, "restore", file, "--yes")
    with running(tmp_path, TWO_WORKERS, **SETTINGS) as service:
        assert before <= stored(service.database)
        ledger = service.wait_until_all_ended()
        verified(service.database)
    assert ledger.violations() == []
    first_call = min(at for at in _calls(service.database) if at > last_call)
    assert first_call - last_call >= INTERVAL_SECONDS


def test_idle_service_of_which_nobody_asked_anything_is_noticed(tmp_path: Path) -> None:
    with running(tmp_path, **SETTINGS) as service:
        refused = run(tmp_path, "db", "compact")
        assert (refused.returncode, "in use" in refused.stderr) == (2, True)
        service.wait_until_ready()
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
    done(tmp_path, "db", "compact")


def test_workers_prune_by_themselves_at_the_pace(tmp_path: Path) -> None:
    settings = {**SETTINGS, "retention_days": 0.001}  # the job comes first after 4 s
    with running(tmp_path, TWO_WORKERS, **settings) as service:
        add_old(service.database)
        ingestion_id = service.ingest(range(60))
        service.wait_for_log("ingestions_pruned")
        until(lambda: "old" not in stored(service.database), "it is deleted")
        service.wait_until_all_ended()
        assert service.status(ingestion_id)["status"] == "completed"
        verified(service.database)


@pytest.mark.parametrize("victim", ["backup", "prune", "restore"])
def test_killed_at_any_moment_it_leaves_all_or_nothing(
    tmp_path: Path, migrated_file: Path, seed: int, victim: str
) -> None:
    file, target = tmp_path / "backup.db", tmp_path / "victim.db"
    _make(tmp_path, migrated_file)
    back_up(instance_path(tmp_path) / "ingest.db", file)
    command = {
        "backup": ["backup", str(target)],
        "prune": ["prune", "--days", "1"],
        "restore": ["restore", str(file), "--yes"],
    }[victim]
    rng, database = random.Random(seed), instance_path(tmp_path) / "ingest.db"
    for _ in range(KILL_COUNT):
        _kill_after(tmp_path, command, rng.uniform(0.7, 1.6))  # it imports for as long as 0.7 s
        assert report_on(database).findings == ()
        if target.exists():
            assert report_on(target).findings == ()
            target.unlink()
    done(tmp_path, *command)
    assert report_on(target if victim == "backup" else database).findings == ()
    assert (stored(database) == {"old"}) is (victim != "prune")
    assert list(tmp_path.rglob("*.partial*")) == []


@pytest.mark.parametrize("victim", ["backup", "restore"])
def test_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, migrated_file: Path, victim: str
) -> None:
    with small_disk(instance_path(tmp_path)) as disk:
        _make(tmp_path, migrated_file)
        file, database = tmp_path / "backup.db", instance_path(tmp_path) / "ingest.db"
        back_up(database, file)
        before = {path.name for path in disk.folder.iterdir()}
        disk.fill()
        target = disk.folder / "copy.db" if victim == "backup" else file
        refused = run(tmp_path, victim, target, *(["--yes"] if victim == "restore" else []))
        assert refused.returncode == 2
        assert "full" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        disk.empty()
        assert {path.name for path in disk.folder.iterdir()} <= before
        assert report_on(database).findings == ()
        assert stored(database) == {"old"}


def _make(folder: Path, migrated_file: Path) -> None:
    """A database with a thousand batches that ended long ago, on which nothing runs."""
    instance_path(folder).mkdir(exist_ok=True)
    add_old(Path(shutil.copyfile(migrated_file, instance_path(folder) / "ingest.db")))


def _kill_after(folder: Path, command: list[str], seconds: float) -> None:
    process = subprocess.Popen(
        ingest(*command),
        env=environment(folder, {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)  # which moment it is, is chance
    kill_group(process)


def _calls(database: Path) -> list[float]:
    query = (
        "SELECT dispatched_boot_seconds FROM dispatches"
        " WHERE source = 'default' AND dispatched_boot_seconds IS NOT NULL"
    )
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute(query)]


def _last_call(database: Path) -> float:
    return max(_calls(database))
