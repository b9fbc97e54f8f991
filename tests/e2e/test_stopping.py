"""Signals that stop: nothing new is claimed, what is under way ends or is handed back."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ledger import Ledger
from tests.support.raw_requests import connected, read_answer, read_to_end
from tests.support.service import Service, gunicorn, running, until

SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 0.6}
WAITING = range(60)
"""IDs of more batches than could be dispatched while the service stops."""

DELIVERY_SECONDS = 1.5
"""How long it may take until a signal has reached the workers, on a busy machine."""


@pytest.mark.parametrize(
    ("number", "to_group"),
    [
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.faults, id="SIGTERM"),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.faults, id="SIGINT"),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.faults, id="SIGTERM-as-systemd"),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.faults, id="SIGINT-as-a-terminal"),
    ],
)
def test_batches_in_flight_finish_and_nothing_is_left_triggered(
    tmp_path: Path, number: signal.Signals, to_group: bool
) -> None:
    with running(tmp_path, **SETTINGS) as service:
        service.ingest(WAITING)
        _wait_until_in_flight(service, 2)
        stopped_at = _boot_seconds()
        (service.send_signal_to_group if to_group else service.send_signal)(number)
        assert service.wait_for_exit() == 0
        ledger = service.ledger()
        assert "Traceback" not in service.log
    assert {call.outcome for call in ledger.calls()} == {"completed"}
    _check_stopped(ledger, stopped_at)


@pytest.mark.e2e
def test_submission_under_way_is_acknowledged_while_nothing_is_claimed_any_more(
    tmp_path: Path,
) -> None:
    with running(tmp_path, **SETTINGS) as service:
        service.ingest(WAITING)
        _wait_until_in_flight(service, 1)
        with _half_sent_submission(service) as rest:
            stopped_at = _boot_seconds()
            service.send_signal(signal.SIGTERM)
            until(lambda: not service.ledger().in_flight(), "all batches in flight have finished")
            _see_time_for_more_claims(service, stopped_at)
            ingestion_id = rest()
        assert service.wait_for_exit() == 0
        ledger = service.ledger()
    _check_stopped(ledger, stopped_at)
    assert {call.outcome for call in ledger.calls()} == {"completed"}
    assert ingestion_id in {batch.ingestion_id for batch in ledger.in_state("yet_to_start")}


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_batch_of_a_slow_source_is_handed_back_within_the_graceful_time(
    tmp_path: Path, number: signal.Signals
) -> None:
    impatient = gunicorn("--workers", "2", "--preload", "--graceful-timeout", "4")
    settings = {"interval_seconds": 0.2, "simulated_latency_seconds": 30, "lease_seconds": 3600}
    with running(tmp_path, impatient, **settings) as service:
        service.ingest(WAITING)
        in_flight = _wait_until_in_flight(service, 3).in_flight()
        stopped_at = _boot_seconds()
        service.send_signal(number)
        assert service.wait_for_exit() == 0
        ledger = service.ledger()
        assert "Traceback" not in service.log
    assert {call.outcome for call in ledger.calls()} == {"released"}
    assert {one.id for one in in_flight} <= {one.id for one in ledger.dispatches}
    _check_stopped(ledger, stopped_at)


@pytest.mark.faults
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_of_an_impatient_person_leaves_nothing_triggered(
    tmp_path: Path, first: signal.Signals
) -> None:
    settings = {"interval_seconds": 0.2, "simulated_latency_seconds": 30, "lease_seconds": 3600}
    with running(tmp_path, **settings) as service:
        service.ingest(WAITING)
        _wait_until_in_flight(service, 2)
        stopped_at = _boot_seconds()
        service.send_signal_to_group(first)
        _insist(service)
        ledger = service.ledger()
    assert {call.outcome for call in ledger.calls()} == {"released"}
    _check_stopped(ledger, stopped_at)


@pytest.mark.faults
def test_released_batches_go_first_after_a_restart_and_the_gaps_hold(tmp_path: Path) -> None:
    impatient = gunicorn("--workers", "1", "--graceful-timeout", "3")
    slow = {"interval_seconds": 0.5, "simulated_latency_seconds": 30, "lease_seconds": 3600}
    with running(tmp_path, impatient, **slow) as service:
        service.ingest(range(9))
        _wait_until_in_flight(service, 2)
        service.send_signal(signal.SIGTERM)
        service.wait_for_exit()
        released = [one.batch_id for one in service.ledger().calls()]
    with running(tmp_path, **{**slow, "simulated_latency_seconds": 0}) as service:
        ledger = service.wait_until_all_ended()
    assert ledger.dispatched_again() == dict.fromkeys(released, ("released",))
    assert ledger.violations() == []


def _insist(service: Service) -> None:
    """Press Ctrl-C every other second, as a person would until it helps."""
    # Once may be too soon: on a busy machine the first signal has only just arrived.
    while not service.has_exited(within_seconds=2):
        service.send_signal_to_group(signal.SIGINT)


def _check_stopped(ledger: Ledger, stopped_at: float) -> None:
    late = [one for one in ledger.calls() if one.boot_seconds > stopped_at + DELIVERY_SECONDS]
    assert late == []
    assert ledger.in_state("triggered") == []
    assert ledger.in_state("yet_to_start"), "nothing was left to claim, so nothing was shown"
    assert ledger.violations() == []


def _wait_until_in_flight(service: Service, count: int) -> Ledger:
    def look() -> Ledger | None:
        ledger = service.ledger()
        return ledger if len(ledger.in_flight()) >= count else None

    return until(look, f"{count} batches in flight")


def _see_time_for_more_claims(service: Service, stopped_at: float) -> None:
    """Wait until slots have opened in which a worker that still claims would have claimed."""
    enough = stopped_at + DELIVERY_SECONDS + SETTINGS["simulated_latency_seconds"] + 0.5
    until(lambda: _boot_seconds() > enough, "several slots later")
    assert service.process.poll() is None


@contextmanager
def _half_sent_submission(service: Service) -> Iterator[Callable[[], str]]:
    """Yields what sends the second half and returns the ingestion's id."""
    body = b'{"ids": [1000], "priority": "LOW"}'
    head = (
        "POST /ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connected(service, head.encode() + body[:10]) as connection:

        def send_rest() -> str:
            connection.sendall(body[10:])
            answer = read_answer(read_to_end(connection))
            assert answer.status == 200, answer
            return str(json.loads(answer.body)["ingestion_id"])

        yield send_rest


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
