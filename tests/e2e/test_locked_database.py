"""Another process keeps the write lock for longer than the service waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.service import gunicorn, running

pytestmark = pytest.mark.faults

SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 0, "lease_seconds": 60}


def test_submission_is_refused_with_a_time_to_try_again_and_all_goes_on_afterwards(
    tmp_path: Path,
) -> None:
    with running(tmp_path, gunicorn("--workers", "2", "--preload"), **SETTINGS) as service:
        first = service.ingest([1, 2, 3])
        service.wait_until_all_ended()
        with _write_lock(service.database):
            refused = service.post("/ingest", {"ids": [4, 5, 6], "priority": "HIGH"})
            unready = service.get("/readyz")
            assert service.get(f"/status/{first}").json()["status"] == "completed"
            assert service.get("/healthz").status_code == 200
        second = service.ingest([7, 8, 9])
        ledger = service.wait_until_all_ended()
        service.wait_until_ready()
        assert "Traceback" not in service.log
    for answer in (refused, unready):
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert "sqlite" not in answer.text.lower()
        assert "locked" not in answer.text.lower()
    assert {batch.ingestion_id for batch in ledger.batches} == {first, second}
    assert ledger.violations() == []


def test_work_in_flight_is_settled_once_when_the_lock_is_free_again(tmp_path: Path) -> None:
    settings = {**SETTINGS, "simulated_latency_seconds": 1}
    with running(tmp_path, **settings) as service:
        service.ingest(range(9))
        service.wait_for_dispatches(1)
        with _write_lock(service.database):
            refused = service.post("/ingest", {"ids": [1], "priority": "HIGH"})
        assert refused.status_code == 503
        ledger = service.wait_until_all_ended()
    assert ledger.dispatched_again() == {}
    assert [batch.status for batch in ledger.batches] == ["completed"] * 3
    assert ledger.violations() == []


@contextmanager
def _write_lock(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
