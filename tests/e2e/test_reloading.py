"""SIGHUP: settings are read again, nobody notices, and what is wrong leaves all as it was."""

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
    wait_until_all_ended,
)
from tests.support.service import Service, gunicorn, instance_path, running, until

from .conftest import write_sources

WRONG = "interval_seconds = = 5\n"
TWO_WORKERS = gunicorn("--workers", "2")


@pytest.mark.e2e
def test_reload_with_wrong_settings_is_refused_and_one_with_right_ones_takes_them_up(
    tmp_path: Path,
) -> None:
    write_sources(tmp_path, "interval_seconds = 4\n")
    with running(tmp_path, gunicorn("--workers", "1"), simulated_latency_seconds=0) as service:
        before = service.worker_pids()
        _rewrite(tmp_path, WRONG)
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("reload_refused")
        assert "ingest.toml" in service.log
        _rewrite(tmp_path, 'database_url = "sqlite:///other/ingest.db"\n')
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("is another database")
        assert not (instance_path(tmp_path) / "other").exists()
        assert service.worker_pids() == before
        assert _interval_seconds(service) == 4
        _rewrite(tmp_path, "interval_seconds = 3\n")
        _reload(service)
        assert _interval_seconds(service) == 3


@pytest.mark.faults
def test_without_our_hook_wrong_settings_at_a_reload_end_the_service(tmp_path: Path) -> None:
    # The negative control of the test above.
    hooks = tmp_path / "hooks.py"
    hooks.write_text("from ingest_app.serving import post_worker_init, worker_exit\n")
    write_sources(tmp_path, "")
    unchecked = gunicorn("-c", str(hooks), "--no-control-socket", "--workers", "1")
    with running(tmp_path, unchecked) as service:
        _rewrite(tmp_path, WRONG)
        service.send_signal(signal.SIGHUP)
        assert service.wait_for_exit() != 0


@pytest.mark.faults
def test_preloaded_service_says_that_its_settings_stay(tmp_path: Path) -> None:
    write_sources(tmp_path, "interval_seconds = 4\n")
    with running(tmp_path, gunicorn("--workers", "1", "--preload")) as service:
        _rewrite(tmp_path, "interval_seconds = 3\n")
        _reload(service)
        assert _interval_seconds(service) == 4
        service.wait_for_log("settings_not_reloaded")


@pytest.mark.faults
def test_reloads_under_load_refuse_no_request_and_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    settings = {"interval_seconds": 0.1, "simulated_latency_seconds": 0.2}
    with running(tmp_path, TWO_WORKERS, **settings) as service, Clients("reload") as clients:
        service.wait_for_workers(2)  # it is ready as soon as one of them is
        clients.aim_at(service)
        for _ in range(2):
            _reload(service)
            service.wait_for_dispatches(len(service.ledger().dispatches) + 5)
        clients.stop()
        ledger = wait_until_all_ended(service)
        findings = findings_on(service.database)
    assert clients.unanswered == []
    assert clients.answers == {200: len(clients.acknowledged)}
    assert len(clients.acknowledged) > 10
    assert not_completed(ledger, clients.acknowledged) == []
    assert called_again(ledger) == []
    assert findings == ()


def _rewrite(folder: Path, toml: str) -> None:
    (instance_path(folder) / "ingest.toml").write_text(toml)


def _reload(service: Service) -> None:
    """Return when all workers are others than before, and as many."""
    before = set(running_workers(service))
    service.send_signal(signal.SIGHUP)

    def are_new() -> bool:
        now = running_workers(service)
        return before.isdisjoint(now) and len(now) == len(before)

    until(are_new, "other workers, as many")


def _interval_seconds(service: Service) -> float:
    (source,) = service.get("/sources").json()["sources"]
    return float(source["interval_seconds"])
