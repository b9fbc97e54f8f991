"""What the whole service writes to its log, and what it leaves in the metrics when it stops."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service, flask, gunicorn, running

pytestmark = pytest.mark.e2e

REQUEST_COUNT = 40


def lines(service: Service) -> list[dict[str, Any]]:
    """The log, each of whose lines must be an object."""
    return [json.loads(line) for line in service.log.splitlines()]


def test_gunicorn_writes_json_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    json_log = {"log_format": "json", "log_requests": "1", "simulated_latency_seconds": 0}
    json_log["port"] = "tcp://10.0.0.1:80"  # as Kubernetes sets it; told before a worker is there
    with running(tmp_path, gunicorn("--workers", "2"), **json_log) as service:
        service.wait_for_log("dispatcher_started", 2)  # it is ready as soon as one of them is
        service.ingest([1])
        service.wait_until_all_ended()
        service.get("/status/x", headers={"X-Request-ID": "mine"})
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
        found = lines(service)
    events = [line.get("event") for line in found]
    assert events.count("dispatcher_started") == 2
    assert events.count("dispatcher_stopped") == 2
    assert {"batch_claimed", "batch_settled", "setting_ignored"} <= set(events)
    assert any("Starting gunicorn" in line.get("message", "") for line in found)
    assert any("Shutting down" in line.get("message", "") for line in found)
    (asked,) = [line for line in found if line.get("request_id") == "mine"]
    assert asked["event"] == "request_answered"
    assert asked["facts"]["status"] == 404
    assert len({line["worker"] for line in found}) == 3


def test_gunicorn_writes_json_also_without_our_configuration(tmp_path: Path) -> None:
    command = gunicorn("-c", "/dev/null", "--worker-class", "gthread")
    with running(tmp_path, command, log_format="json") as service:
        service.ingest([1])
        service.wait_for_log('"batch_claimed"')
        ours = [line for line in service.log.splitlines() if "batch_claimed" in line]
    assert json.loads(ours[0])["event"] == "batch_claimed"


def test_flask_run_writes_json(tmp_path: Path) -> None:
    with running(tmp_path, flask("run", "--port", "0"), log_format="json") as service:
        service.ingest([1])
        service.wait_for_log('"batch_claimed"')
        told = [line for line in service.log.splitlines() if line.startswith("{")]
    events = {json.loads(line).get("event") for line in told}
    assert {"dispatcher_started", "batch_claimed"} <= events


def test_requests_of_all_workers_are_counted_when_they_stop(tmp_path: Path) -> None:
    with running(tmp_path, gunicorn("--workers", "2"), dispatch="false") as service:
        for _ in range(REQUEST_COUNT):
            service.get("/healthz")
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
    query = "SELECT sum(request_count) FROM request_totals WHERE route = '/healthz'"
    with closing(sqlite3.connect(service.database)) as connection:
        assert connection.execute(query).fetchone() == (REQUEST_COUNT,)
