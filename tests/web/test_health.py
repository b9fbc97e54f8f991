from __future__ import annotations

from contextlib import closing

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app import sqlite
from ingest_app.database import Database
from ingest_app.runtime import runtime_of

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
