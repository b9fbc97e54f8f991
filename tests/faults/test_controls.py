"""Negative controls: without a mechanism the checkers of the other fault tests find fault."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ingest_app.clock import Moment, SystemClock
from tests.support.freezing import freeze, thaw
from tests.support.killing import (
    called_again_without_reason,
    findings_on,
    kill_worker,
    not_completed,
    unended_count,
    violations,
    wait_until_all_ended,
)
from tests.support.ledger import pid_of
from tests.support.service import gunicorn, running, until
from tests.support.switching_off import without

LEASE_SECONDS = 1
SETTINGS = {
    "interval_seconds": 0.5,
    # A call that is still under way when something happens to its worker.
    "simulated_latency_seconds": 5,
    "lease_seconds": LEASE_SECONDS,
}
TWO_WORKERS = gunicorn("--workers", "2", "--preload")


class ClockOfTomorrow:
    """The machine's clocks, a day later."""

    def read(self) -> Moment:
        return SystemClock().read().later(86_400)


@pytest.mark.faults
def test_calls_are_too_close_when_the_claim_does_not_record_the_slot(tmp_path: Path) -> None:
    settings = {**SETTINGS, "simulated_latency_seconds": 0}
    with running(tmp_path, without("slot", TWO_WORKERS), **settings) as service:
        service.ingest(range(9))
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
    assert {finding.promise for finding in findings} == {"P2"}
    assert [one for one in violations(ledger) if "is short" in one]


@pytest.mark.faults
def test_late_worker_settles_a_batch_of_another_when_the_token_is_not_checked(
    tmp_path: Path,
) -> None:
    with running(tmp_path, without("token", TWO_WORKERS), **SETTINGS) as service:
        service.ingest([1, 2, 3])
        frozen = pid_of(service.wait_for_dispatches(1).dispatches[0])
        # Frozen before its call it would ask for its slot again, and find the batch gone.
        begun_at = time.monotonic() + 1
        until(lambda: time.monotonic() > begun_at, "its call has begun")
        freeze(service, frozen)
        service.wait_for_dispatches(2)
        thaw(frozen)
        findings = until(lambda: findings_on(service.database), "verify finds something")
        ledger = service.ledger()
    assert {finding.promise for finding in findings} <= {"P6", "P7", "P9"}
    assert violations(ledger) != []


@pytest.mark.faults
def test_batch_of_a_dead_worker_is_stuck_without_recovery(tmp_path: Path) -> None:
    with running(tmp_path, without("recovery", TWO_WORKERS), **SETTINGS) as service:
        ingestion_id = service.ingest([1, 2, 3])
        kill_worker(service, pid_of(service.wait_for_dispatches(1).dispatches[0]))
        over_at = time.monotonic() + 3 * LEASE_SECONDS
        until(lambda: time.monotonic() > over_at, "the lease has long run out")
        assert unended_count(service.database) == 1
        assert not_completed(service.ledger(), {ingestion_id: [1, 2, 3]}) == [ingestion_id]
        findings = findings_on(service.database, ClockOfTomorrow())
    assert [finding.promise for finding in findings] == ["P6"]
    assert "nothing takes it back" in findings[0].what


@pytest.mark.faults
def test_long_call_is_repeated_for_no_reason_without_the_heartbeat(tmp_path: Path) -> None:
    settings = {**SETTINGS, "simulated_latency_seconds": 3 * LEASE_SECONDS}
    with running(tmp_path, without("heartbeat", TWO_WORKERS), **settings) as service:
        service.ingest([1, 2, 3])
        ledger = service.wait_for_dispatches(2)
    assert [one.id for one in called_again_without_reason(ledger, kills=[])] == [1]
