"""The wall clock is set while the service runs and while it does not: neither burst nor stall."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.calls import Call, read_calls, recording, unrecorded
from tests.support.checks import too_close
from tests.support.clocks import DAY, HOUR
from tests.support.ledger import Ledger
from tests.support.promises import verified
from tests.support.service import Service, gunicorn, running, until
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.faults

INTERVAL_SECONDS = 0.4
SETTINGS = {
    "interval_seconds": INTERVAL_SECONDS,
    # A call is always under way when the clock is set.
    "simulated_latency_seconds": 0.6,
    "lease_seconds": 2,
}
STEPS = [int(-HOUR), int(HOUR), int(-DAY), int(DAY)]
ROUTE_SECONDS = 0.1
"""From the reading of the clock to the upstream, on a machine that is busy; without the boot clock
a gap is shorter by 0.18, and by the ledger the gaps are exact.
"""

PAUSE_SECONDS = 5.0
"""What a busy machine may add to a gap; a stall that the clock makes is as long as its step."""

SLOW = {"simulated_latency_seconds": 30}
"""A call that is still under way when the service is killed."""


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def test_library_moves_the_wall_clock_and_no_other(wall_clock: WallClock) -> None:
    clocks = [time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME]
    program = f"import time; print(*[time.clock_gettime(clock) for clock in {clocks}], time.time())"
    before = [time.clock_gettime(clock) for clock in clocks]
    wall_clock.set(int(-DAY))
    read = subprocess.run(
        wall_clock.over([sys.executable, "-c", program]), check=True, capture_output=True, text=True
    )
    wall, monotonic, boot, wall_again = map(float, read.stdout.split())
    assert wall - before[0] == pytest.approx(-DAY, abs=30)
    assert wall_again - before[0] == pytest.approx(-DAY, abs=30)
    assert 0 < monotonic - before[1] < 30
    assert 0 < boot - before[2] < 30


def test_clock_set_while_the_service_runs_neither_bursts_nor_stalls(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    calls = tmp_path / "calls"
    command = wall_clock.over(recording(gunicorn("--workers", "2"), calls))
    with running(tmp_path, command, **SETTINGS) as service:
        service.ingest(range(3 * 4 * (len(STEPS) + 1)))
        for number, step_seconds in enumerate(STEPS, start=1):
            service.wait_for_dispatches(4 * number)
            wall_clock.set(step_seconds)
        ledger = service.wait_until_all_ended()
        verified(service.database)
    _check_nothing_was_taken_away(read_calls(calls), ledger)
    assert too_close(_arrivals(calls), INTERVAL_SECONDS - ROUTE_SECONDS) == []
    assert _longest_gap(calls) < 2 * INTERVAL_SECONDS + PAUSE_SECONDS


def test_clock_set_between_two_runs_neither_bursts_nor_stalls(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    calls = tmp_path / "calls"
    command = wall_clock.over(recording(gunicorn("--workers", "1"), calls))
    # Long enough that the service is up again before the slot opens.
    interval_seconds = 4.0
    settings = {**SETTINGS, "interval_seconds": interval_seconds}
    for step_seconds in (0, int(-HOUR), int(DAY)):
        wall_clock.set(step_seconds)
        with running(tmp_path, command, **settings) as service:
            started_at = time.clock_gettime(time.CLOCK_BOOTTIME)
            done = len(service.ledger().dispatches)
            service.ingest(range(3 * done, 3 * done + 3))
            last = service.wait_for_dispatches(done + 1).dispatches[-1]
            assert last.boot_seconds - started_at < 2 * interval_seconds
            service.wait_until_all_ended()
            _stop(service)
    verified(service.database)
    assert too_close(_arrivals(calls), interval_seconds - ROUTE_SECONDS) == []
    _check_nothing_was_taken_away(read_calls(calls), service.ledger())


def test_clock_set_back_between_a_kill_and_a_restart_brings_the_work_back(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    calls = tmp_path / "calls"
    command = wall_clock.over(recording(gunicorn("--workers", "1"), calls))
    wall_clock.set(int(DAY))
    with running(tmp_path, command, **{**SETTINGS, **SLOW}) as service:
        service.ingest(range(9))
        service.wait_for_dispatches(2)
        service.kill()
    wall_clock.set(0)
    with running(tmp_path, command, **SETTINGS) as service:
        ledger = service.wait_until_all_ended()
        verified(service.database)
    assert too_close(_arrivals(calls), INTERVAL_SECONDS - ROUTE_SECONDS) == []
    assert {batch.status for batch in ledger.batches} == {"completed"}
    again = ledger.dispatched_again().values()
    assert {outcome for outcomes in again for outcome in outcomes} == {"lost"}


def test_without_the_boot_clock_a_clock_set_forward_makes_a_burst(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    command = [*gunicorn("--workers", "1")[:-1], "tests.support.no_boot_clock_app:app"]
    settings = {**SETTINGS, "interval_seconds": 60}
    with running(tmp_path, wall_clock.over(command), **settings) as service:
        service.ingest(range(6))
        # A call that had not begun yet would be late by a day, and move its slot.
        until(lambda: service.ledger().in_state("completed"), "the first call has ended")
        wall_clock.set(int(DAY))
        service.wait_for_dispatches(2)


def _stop(service: Service) -> None:
    service.process.terminate()
    assert service.wait_for_exit() == 0


def _arrivals(path: Path) -> list[float]:
    return [call.boot_seconds for call in read_calls(path)]


def _longest_gap(path: Path) -> float:
    return max(later - earlier for earlier, later in pairwise(_arrivals(path)))


def _check_nothing_was_taken_away(calls: list[Call], ledger: Ledger) -> None:
    """Every batch was called once: no lease was thought to be over, and no retry made."""
    assert {batch.status for batch in ledger.batches} == {"completed"}
    assert len(calls) == len(ledger.batches)
    assert unrecorded(calls, ledger) == []
