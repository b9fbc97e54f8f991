"""Another process keeps the write lock: requests are told when to come back, and no worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from ingest_app.queue.watching import LOOKS_A_LEASE
from tests.support.calls import read_calls, recording, unrecorded
from tests.support.freezing import thaw
from tests.support.ledger import Ledger, pid_of
from tests.support.lock_holder import write_lock_held
from tests.support.promises import verified
from tests.support.service import Service, gunicorn, running, until
from tests.support.switching_off import without

pytestmark = pytest.mark.faults

SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 1, "lease_seconds": 60}
TWO_WORKERS = gunicorn("--workers", "2")
LEASE_SECONDS = 12.0
"""Half of it is what a worker that was held up has to come back, a sixth from look to look."""

HELD_SECONDS = 20.0
CLIENT_COUNT = 4
LONGEST_ANSWER_SECONDS = 15.0
"""The wait for a turn in the process, then for the file's lock, and room."""


def test_write_lock_held_for_long_delays_and_refuses_but_loses_nothing(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    command = recording(gunicorn("--workers", "2", "--preload"), calls)
    with running(tmp_path, command, **SETTINGS) as service:
        first = service.ingest(range(30))
        workers = service.wait_for_workers(2)
        until(lambda: read_calls(calls), "a call")
        with write_lock_held(service.database, HELD_SECONDS) as holder:
            before = service.ledger()
            answers = _submit_while(service, holder)
            # The lock is free by now.
            called = read_calls(calls)
            assert unrecorded(called, service.ledger()) == []
            assert len(called) <= len(before.dispatches) + 2
        assert service.worker_pids() == workers
        last = service.ingest([1_000_000])
        ledger = service.wait_until_all_ended()
        assert "Traceback" not in service.log
        assert "WORKER TIMEOUT" not in service.log
        verified(service.database)
    acknowledged = {answer.json()["ingestion_id"] for answer in answers if answer.ok}
    _check_refusals([answer for answer in answers if not answer.ok])
    assert {batch.ingestion_id for batch in ledger.batches} == {first, last} | acknowledged
    assert {batch.status for batch in ledger.batches} == {"completed"}
    assert len(read_calls(calls)) == len(ledger.batches)
    assert ledger.violations() == []


def test_worker_that_is_second_to_the_free_lock_keeps_its_batch(tmp_path: Path) -> None:
    ledger = _second_to_the_lock(tmp_path, TWO_WORKERS)
    assert ledger.dispatched_again() == {}
    assert ledger.violations() == []


def test_without_the_watch_whoever_is_first_takes_the_batch_of_the_other(tmp_path: Path) -> None:
    ledger = _second_to_the_lock(tmp_path, without("watch", TWO_WORKERS))
    assert ledger.dispatched_again() == {1: ("lost",)}


def _second_to_the_lock(folder: Path, command: Sequence[str]) -> Ledger:
    """What became of a batch whose lease nobody could renew, while another worker looks first."""
    with running(folder, command, **{**SETTINGS, "lease_seconds": LEASE_SECONDS}) as service:
        service.wait_for_log("dispatcher_started", 2)
        service.ingest([1, 2, 3])
        holder = pid_of(service.wait_for_dispatches(1).dispatches[0])
        with write_lock_held(service.database, LEASE_SECONDS + 1) as stranger:
            os.kill(holder, signal.SIGSTOP)
            stranger.wait()
        looked_at = time.monotonic() + 1.25 * LEASE_SECONDS / LOOKS_A_LEASE
        until(lambda: time.monotonic() > looked_at, "the other worker has looked at the lease")
        thaw(holder)
        ledger = service.wait_until_all_ended()
        verified(service.database)
    return ledger


def _submit_while(service: Service, holder: subprocess.Popen[str]) -> list[requests.Response]:
    """The answers to clients that submit, one after the other each, until the lock is free."""

    def submit(client: int) -> list[requests.Response]:
        return list(_submissions(service, holder, 1_000 * client))

    with ThreadPoolExecutor(CLIENT_COUNT) as clients:
        answers = [
            answer for each in clients.map(submit, range(1, CLIENT_COUNT + 1)) for answer in each
        ]
    assert len(answers) >= CLIENT_COUNT
    return answers


def _submissions(
    service: Service, holder: subprocess.Popen[str], first: int
) -> Iterator[requests.Response]:
    for item in range(first, first + 1_000):
        if holder.poll() is not None:
            return
        started = time.monotonic()
        yield service.post("/ingest", {"ids": [item], "priority": "HIGH"})
        assert time.monotonic() - started < LONGEST_ANSWER_SECONDS
        assert service.get("/healthz").ok
        assert service.get("/openapi.json").ok


def _check_refusals(refused: list[requests.Response]) -> None:
    assert refused
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert "locked" not in answer.text.lower()
