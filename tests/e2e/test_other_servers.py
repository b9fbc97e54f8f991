"""Without our gunicorn configuration, and with Flask's own server."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

import pytest

from tests.support.service import flask, gunicorn, running, until

QUICK = {"interval_seconds": 0.2, "simulated_latency_seconds": 0}
# The socket would be under the user's home.
PLAIN = gunicorn("-c", os.devnull, "--no-control-socket")


@pytest.mark.e2e
def test_gunicorn_without_our_configuration_dispatches_from_the_first_request_on(
    tmp_path: Path,
) -> None:
    with running(tmp_path, PLAIN, **QUICK) as service:
        service.ingest([1, 2, 3, 4])
        ledger = service.wait_until_all_ended()
        assert ledger.workers() == service.worker_pids()
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
        assert "Traceback" not in service.log
        assert "SIGKILL" not in service.log
    assert len(ledger.calls()) == 2
    assert ledger.violations() == []


@pytest.mark.e2e
def test_gunicorn_without_our_configuration_ends_in_the_middle_of_a_backlog(
    tmp_path: Path,
) -> None:
    # At so short a pace the loop never leaves the waiting to the scheduler, whose threads Python
    # waits for before it lets go of anything.
    with running(tmp_path, PLAIN, **{**QUICK, "interval_seconds": 0.05}) as service:
        service.ingest(range(3_000))
        service.wait_for_dispatches(3)
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
        assert "SIGKILL" not in service.log
        assert service.ledger().in_flight() == []


@pytest.mark.faults
def test_flask_run_dispatches(tmp_path: Path) -> None:
    with running(tmp_path, flask("run", "--port", "0"), **QUICK) as service:
        service.ingest([1, 2, 3, 4])
        ledger = service.wait_until_all_ended()
        assert ledger.workers() == {service.process.pid}
        service.send_signal(signal.SIGINT)
        service.wait_for_exit()
        assert "Traceback" not in service.log
    assert ledger.violations() == []


@pytest.mark.faults
def test_flask_debug_dispatches_in_one_process_before_and_after_a_reload(tmp_path: Path) -> None:
    watched = tmp_path / "watched.py"
    watched.touch()
    command = flask("run", "--port", "0", "--debug", "--extra-files", str(watched))
    with running(tmp_path, command, **QUICK) as service:
        service.ingest(range(9))
        before = service.wait_until_all_ended().workers()
        assert before == service.worker_pids()
        later = count(int(watched.stat().st_mtime) + 1)

        def change_until_reloaded() -> set[int]:
            # The reloader takes the first time it sees for the old one.
            os.utime(watched, (0, next(later)))
            return service.worker_pids() - before

        until(change_until_reloaded, "a process after the reload")
        service.wait_until_ready()
        after = service.worker_pids()
        service.ingest(range(9))
        ledger = service.wait_until_all_ended()
    assert ledger.workers() == before | after
    assert len(ledger.workers()) == 2
    assert ledger.violations() == []
