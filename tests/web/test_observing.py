"""What a request leaves behind: an id on answer and events, and a line if that is wanted."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app import create_app
from ingest_app.database import Database
from ingest_app.errors import DatabaseUnavailable
from ingest_app.events import REQUEST_ID
from ingest_app.metrics.request_times import request_times_of
from ingest_app.runtime import runtime_of

from .conftest import SETTINGS, check_problem

MADE = re.compile(r"[0-9a-f]{16}")


def _unusable(_: Database) -> NoReturn:
    raise DatabaseUnavailable("/secret/place is gone")


def _crash(**_: object) -> NoReturn:
    raise ZeroDivisionError


@pytest.fixture
def telling(app: Flask, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an application that logs its requests."""
    runtime_of(app).database.engine.dispose()
    app = create_app({**SETTINGS, "instance_path": str(tmp_path), "log_requests": True})
    yield app.test_client()
    request_times_of(app).flush()
    runtime_of(app).database.engine.dispose()


@pytest.mark.parametrize("given", ["a", "Z" * 128, "0af7651916cd43dd.8448_eb-1"])
def test_sane_id_of_the_request_is_taken_over(client: FlaskClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", 'a"b', "a;b", "ä", "<b>"])
def test_other_ids_are_replaced(client: FlaskClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert MADE.fullmatch(answer.headers["X-Request-ID"])


def test_every_request_has_an_id_of_its_own(client: FlaskClient) -> None:
    ids = {client.get(path).headers["X-Request-ID"] for path in ("/", "/docs", "/x", "/healthz")}
    assert len(ids) == 4


def test_events_of_a_request_have_its_id(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Database, "read", _unusable)
    answer = client.get("/status/x")
    (said,) = [line for line in caplog.messages if line.startswith("database_failed")]
    assert said.endswith(f"request_id={answer.headers['X-Request-ID']}")
    assert REQUEST_ID.get() is None


def test_fault_of_the_service_names_the_id_in_its_problem(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "read", _unusable)
    answer = client.get("/status/x")
    problem = check_problem(answer, 503)
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text


def test_error_of_the_client_names_no_id(client: FlaskClient) -> None:
    assert "request_id" not in check_problem(client.get("/status/x"), 404)


@pytest.mark.usefixtures("app")
def test_request_that_crashes_has_an_id_too(app: Flask, client: FlaskClient) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.view_functions["health.healthz"] = _crash
    answer = client.get("/healthz", headers={"X-Request-ID": "mine"})
    assert check_problem(answer, 500)["request_id"] == "mine"
    assert answer.headers["X-Request-ID"] == "mine"


def test_requests_are_logged_when_that_is_wanted(
    telling: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    headers = {"X-Request-ID": "mine", "Cookie": "a=secret", "User-Agent": "spy"}
    telling.get("/ingestions/hidden/batches?after=77", headers=headers)
    (record,) = [each for each in caplog.records if "request_answered" in each.getMessage()]
    facts = record.__dict__["facts"]
    assert facts.pop("duration_ms") > 0
    assert facts == {"method": "GET", "route": "/ingestions/<ingestion_id>/batches", "status": 404}
    assert record.getMessage().endswith("request_id=mine")
    for word in ("hidden", "after", "secret", "spy"):
        assert word not in caplog.text


def test_requests_are_not_logged_by_default(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/healthz")
    assert caplog.messages == []


def test_path_of_a_request_that_crashes_stays_in_its_line(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.view_functions["status.status"] = _crash
    client.get("/status/x%0Aforged_event%20level=info")
    (said,) = [line for line in caplog.messages if "forged_event" in line]
    assert "\n" not in said
