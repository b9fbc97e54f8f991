"""Reloads, killed workers and killed services: nothing is lost or doubled, and the pace holds."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.ledger import Ledger, pid_of
from tests.support.service import Service, gunicorn, running, until

QUICK_LEASE = {"lease_seconds": 2}
"""Long enough for a heartbeat that is late on a slow machine; there are three in a lease."""


@pytest.mark.faults
def test_reload_in_the_middle_of_work_loses_and_doubles_nothing(tmp_path: Path) -> None:
    # Work for longer than a reload takes, so that it comes in the middle.
    settings = {"interval_seconds": 0.5, "simulated_latency_seconds": 0.8}
    with running(tmp_path, **settings) as service:
        before = service.worker_pids()
        work = {service.ingest(range(start, start + 9)): start for start in (0, 9, 18)}
        service.wait_for_dispatches(2)
        service.send_signal(signal.SIGHUP)
        ledger = service.wait_until_all_ended()
        _check_all_fetched(service, work)
        until(lambda: service.worker_pids().isdisjoint(before), "the old workers are gone")
    assert ledger.dispatched_again() == {}
    assert ledger.violations() == []
    assert ledger.workers() > before


@pytest.mark.faults
def test_reload_of_several_workers_several_times_loses_and_doubles_nothing(tmp_path: Path) -> None:
    settings = {"interval_seconds": 0.2, "simulated_latency_seconds": 0.3}
    with running(tmp_path, gunicorn("--workers", "3"), **settings) as service:
        work = {service.ingest(range(start, start + 30)): start for start in (0, 30, 60)}
        for count in (3, 10, 17):
            service.wait_for_dispatches(count)
            service.send_signal(signal.SIGHUP)
        ledger = service.wait_until_all_ended()
        for ingestion_id, start in work.items():
            assert ledger.fetched(ingestion_id) == list(range(start, start + 30))
    assert ledger.dispatched_again() == {}
    assert ledger.violations() == []


@pytest.mark.faults
def test_only_what_a_killed_worker_had_in_flight_is_called_again(tmp_path: Path) -> None:
    two_workers = gunicorn("--workers", "2", "--preload")
    # A call that is still under way when its worker is killed, and a lease that only death ends.
    settings = {"interval_seconds": 0.25, "simulated_latency_seconds": 3, "lease_seconds": 6}
    with running(tmp_path, two_workers, **settings) as service:
        work = {service.ingest(range(start, start + 9)): start for start in (0, 9)}
        killed = pid_of(service.wait_for_dispatches(2).dispatches[-1])
        os.kill(killed, signal.SIGKILL)
        ledger = service.wait_until_all_ended()
        _check_all_fetched(service, work)
    lost = [dispatch for dispatch in ledger.dispatches if dispatch.outcome == "lost"]
    assert {pid_of(dispatch) for dispatch in lost} == {killed}
    assert ledger.dispatched_again() == {dispatch.batch_id: ("lost",) for dispatch in lost}
    assert ledger.violations() == []


@pytest.mark.faults
def test_batch_whose_call_outlasts_its_lease_stays_with_its_worker(tmp_path: Path) -> None:
    two_workers = gunicorn("--workers", "2", "--preload")
    settings = {"interval_seconds": 0.2, "simulated_latency_seconds": 6, **QUICK_LEASE}
    with running(tmp_path, two_workers, **settings) as service:
        service.ingest([1, 2, 3, 4])
        ledger = service.wait_until_all_ended()
    assert [call.outcome for call in ledger.calls()] == ["completed"] * 2
    assert ledger.violations() == []


@pytest.mark.e2e
def test_pace_holds_over_a_kill_of_everything_and_a_restart(tmp_path: Path) -> None:
    settings = {"interval_seconds": 3, "simulated_latency_seconds": 3, **QUICK_LEASE}
    with running(tmp_path, **settings) as service:
        ingestion_id = service.ingest([1, 2, 3])
        service.wait_for_dispatches(1)
        service.kill()
    with running(tmp_path, **{**settings, "simulated_latency_seconds": 0}) as service:
        ledger = service.wait_until_all_ended()
    assert ledger.dispatched_again() == {1: ("lost",)}
    assert ledger.fetched(ingestion_id) == [1, 2, 3]
    assert len(ledger.gaps()) == 1
    assert ledger.violations() == []


@pytest.mark.faults
def test_all_acknowledged_work_completes_over_several_kills_of_everything(tmp_path: Path) -> None:
    four_workers = gunicorn("--workers", "4", "--preload")
    settings = {"interval_seconds": 0.5, "simulated_latency_seconds": 0.8, **QUICK_LEASE}
    work: dict[str, int] = {}
    in_flight: list[int] = []
    for start in (0, 9, 18):
        with running(tmp_path, four_workers, **settings) as service:
            work[service.ingest(range(start, start + 9))] = start
            done = len(service.ledger().dispatches)
            service.wait_for_dispatches(done + 2)
            service.kill()
            in_flight += [one.id for one in service.ledger().in_flight()]
    with running(tmp_path, four_workers, **settings) as service:
        ledger = service.wait_until_all_ended(room_seconds=90)
        _check_all_fetched(service, work)
    _check_only_these_were_lost(ledger, in_flight)
    assert ledger.violations() == []


def _check_only_these_were_lost(ledger: Ledger, in_flight: list[int]) -> None:
    lost = {dispatch.id for dispatch in ledger.dispatches if dispatch.outcome == "lost"}
    assert lost == set(in_flight)
    again = ledger.dispatched_again()
    assert {outcome for outcomes in again.values() for outcome in outcomes} == {"lost"}
    assert sum(map(len, again.values())) == len(lost)


def _check_all_fetched(service: Service, work: dict[str, int]) -> None:
    """Every ingestion of nine IDs, by its first one, is completed and has its records."""
    for ingestion_id, start in work.items():
        assert service.ledger().fetched(ingestion_id) == list(range(start, start + 9))
        assert service.status(ingestion_id)["status"] == "completed"
