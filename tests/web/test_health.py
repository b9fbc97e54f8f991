from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app import sqlite
from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy
from ingest_app.runtime import runtime_of
from ingest_app.web import health, readiness
from tests.support.clocks import FakeClock
from tests.support.fetching import TIMEOUT_SECONDS

from .conftest import check_problem


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock only as long as a test can afford; to be used before `app`."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)


def test_healthz_does_not_touch_the_database(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(Database, "read", refuse)
    monkeypatch.setattr(Database, "write", refuse)
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok"}


def test_readyz_answers_ok_when_work_can_be_stored(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok"}


def commit_count(
    app: Flask, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, moves: list[float]
) -> int:
    """How often /readyz has committed after it was asked once, and again after each move."""
    replace(runtime_of(app), clock=clock).attach(app)
    commits: list[None] = []
    monkeypatch.setattr(health, "check_writable", lambda _: commits.append(None))
    client = app.test_client()
    for seconds in (0, *moves):
        clock.move(seconds)
        assert client.get("/readyz").status_code == 200
    return len(commits)


@pytest.mark.parametrize(
    ("moves", "count"),
    [
        pytest.param([0] * 20, 1, id="at once"),
        pytest.param([0.5, 0.499], 1, id="within a second"),
        pytest.param([1], 2, id="a second later"),
        pytest.param([0.3] * 10, 3, id="once a second at most"),
        pytest.param([-5], 2, id="the clock was set back"),
    ],
)
def test_readyz_commits_once_a_second_at_most(
    app: Flask, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, moves: list[float], count: int
) -> None:
    assert commit_count(app, clock, monkeypatch, moves=moves) == count


def test_readyz_that_remembers_nothing_would_commit_each_time(
    app: Flask, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the table above."""
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0)
    assert commit_count(app, clock, monkeypatch, moves=[0] * 20) == 21


@pytest.mark.usefixtures("_impatient")
def test_what_readyz_found_wrong_is_looked_at_anew_each_time(
    app: Flask, client: FlaskClient, clock: FakeClock
) -> None:
    replace(runtime_of(app), clock=clock).attach(app)
    assert client.get("/readyz").status_code == 200
    clock.move(1)
    with closing(runtime_of(app).database.engine.raw_connection()) as other:
        other.cursor().execute("BEGIN IMMEDIATE")
        assert [client.get("/readyz").status_code for _ in range(2)] == [503] * 2
    assert client.get("/readyz").status_code == 200


class _SeenTurn:
    """A lock that tells when somebody comes to wait for it."""

    def __init__(self) -> None:
        self.arrivals = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.arrivals.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("failure", [None, DatabaseBusy("locked")])
def test_those_who_wait_for_a_check_share_what_it_finds(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, failure: DatabaseBusy | None
) -> None:
    turn, go_on = _SeenTurn(), threading.Event()
    checks: list[None] = []

    def check() -> None:
        checks.append(None)
        assert go_on.wait(TIMEOUT_SECONDS)
        clock.move(60)  # the result is too old for who asks later
        if failure is not None:
            raise failure

    shared = readiness.Readiness(check)
    monkeypatch.setattr(shared, "_turn", turn)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(shared.confirm, clock) for _ in range(4)]
        for _ in asked:
            assert turn.arrivals.acquire(timeout=TIMEOUT_SECONDS)
        go_on.set()
        assert [one.exception(TIMEOUT_SECONDS) for one in asked] == [failure] * 4
    assert len(checks) == 1


@pytest.mark.usefixtures("_impatient")
def test_readyz_fails_while_another_keeps_the_write_lock(app: Flask, client: FlaskClient) -> None:
    # By the application's own driver: two copies of SQLite in one process do not see each other.
    with closing(runtime_of(app).database.engine.raw_connection()) as other:
        other.cursor().execute("BEGIN IMMEDIATE")
        problem = check_problem(client.get("/readyz"), 503)
    assert "busy" in problem["detail"]
    assert client.get("/readyz").status_code == 200


def test_readyz_fails_when_the_schema_is_another_one(app: Flask, client: FlaskClient) -> None:
    with runtime_of(app).database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    answer = client.get("/readyz")
    assert "schema" in check_problem(answer, 503)["detail"]
    assert answer.headers["Retry-After"] == "30"
