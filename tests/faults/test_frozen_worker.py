"""A worker that stands still for longer than its lease, and wakes up (SIGSTOP, SIGCONT)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.freezing import freeze, thaw
from tests.support.killing import findings_on, violations, wait_until_all_ended
from tests.support.ledger import pid_of
from tests.support.service import Service, gunicorn, running, until

LEASE_SECONDS = 2
SETTINGS = {
    "interval_seconds": 0.2,
    # A call that is still under way when its worker is frozen.
    "simulated_latency_seconds": 4,
    "lease_seconds": LEASE_SECONDS,
}
TWO_WORKERS = gunicorn("--workers", "2", "--preload")


@pytest.mark.faults
@pytest.mark.parametrize("other_is_done", [False, True], ids=["during-other-call", "after-it"])
def test_worker_that_wakes_after_its_lease_cannot_settle(
    tmp_path: Path, other_is_done: bool
) -> None:
    with running(tmp_path, TWO_WORKERS, **SETTINGS) as service:
        ingestion_id = service.ingest([1, 2, 3])
        frozen = pid_of(service.wait_for_dispatches(1).dispatches[0])
        freeze(service, frozen)
        service.wait_for_dispatches(2)
        if other_is_done:
            wait_until_all_ended(service)
        thaw(frozen)
        service.wait_for_log("claim_lost")
        later = service.ingest(range(4, 12))
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
        assert frozen in service.worker_pids()
    first, second, *others = ledger.calls()
    assert [first.outcome, second.outcome] == ["lost", "completed"]
    assert pid_of(second) != frozen
    assert {one.outcome for one in others} == {"completed"}
    assert ledger.fetched(ingestion_id) == [1, 2, 3]
    assert ledger.fetched(later) == list(range(4, 12))
    assert findings == ()
    assert violations(ledger) == []


@pytest.mark.faults
def test_workers_that_all_stood_still_keep_their_batches(tmp_path: Path) -> None:
    with running(tmp_path, TWO_WORKERS, **SETTINGS) as service:
        ingestion_id = service.ingest(range(9))
        service.wait_for_dispatches(3)
        _stand_still(service, 1.5 * LEASE_SECONDS)
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
    assert ledger.fetched(ingestion_id) == list(range(9))
    assert {one.outcome for one in ledger.calls()} == {"completed"}
    assert findings == ()
    assert violations(ledger) == []


def _stand_still(service: Service, seconds: float) -> None:
    workers = sorted(service.wait_for_workers(2))
    for worker in workers:
        freeze(service, worker)
    woken_at = time.monotonic() + seconds
    until(lambda: time.monotonic() > woken_at, "every lease has run out")
    for worker in workers:
        thaw(worker)
