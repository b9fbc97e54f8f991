"""Workers come and go by signals in the middle of work: nothing is lost or done twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.killing import (
    Clients,
    called_again,
    findings_on,
    not_completed,
    running_workers,
    violations,
    wait_until_all_ended,
)
from tests.support.service import Service, gunicorn, running, until

SETTINGS = {"interval_seconds": 0.1, "simulated_latency_seconds": 0.3}
MORE, LESS, ANEW = signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP


@pytest.mark.faults
def test_more_and_fewer_workers_and_reloads_lose_and_double_nothing(
    tmp_path: Path, seed: int
) -> None:
    with (
        running(tmp_path, gunicorn("--workers", "2", "--preload"), **SETTINGS) as service,
        Clients(seed) as clients,
    ):
        first = set(running_workers(service))
        clients.aim_at(service)
        for number, worker_count in ((MORE, 3), (LESS, 2), (ANEW, 2), (MORE, 3), (LESS, 2)):
            done = len(service.ledger().dispatches)
            service.wait_for_dispatches(done + 5)
            service.send_signal(number)
            _wait_for_workers(service, worker_count)
        until(lambda: first.isdisjoint(running_workers(service)), "the first workers have gone")
        clients.stop()
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
    assert len(ledger.workers()) > 2
    assert len(clients.acknowledged) > 20
    assert not_completed(ledger, clients.acknowledged) == []
    assert called_again(ledger) == []
    assert findings == ()
    assert violations(ledger) == []


def _wait_for_workers(service: Service, count: int) -> None:
    until(lambda: len(running_workers(service)) == count, f"{count} workers")
