"""An application on a migrated SQLite file of its own, with small limits; nothing dispatches."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from ingest_app import create_app
from ingest_app.access.counters import Counters
from ingest_app.metrics.request_times import request_times_of
from ingest_app.runtime import runtime_of
from ingest_app.web.limits import use_counters
from tests.support.clocks import FakeClock

MAX_IDS = 20
MAX_BODY_BYTES = 8192
SETTINGS: dict[str, object] = {
    "dispatch": False,
    "max_ids": MAX_IDS,
    "max_body_bytes": MAX_BODY_BYTES,
    "batch_size": 3,
    "sources": {"catalog": {"batch_size": 2}},
}


@pytest.fixture
def app(tmp_path: Path, migrated_file: Path) -> Iterator[Flask]:
    shutil.copyfile(migrated_file, tmp_path / "ingest.db")  # quicker than to migrate each
    app = create_app({**SETTINGS, "instance_path": str(tmp_path)})
    yield app
    request_times_of(app).flush()
    runtime_of(app).database.engine.dispose()


@pytest.fixture
def counters(app: Flask, tmp_path: Path, clock: FakeClock) -> Iterator[Counters]:
    """What the application counts with, by the test's clock."""
    counters = Counters(tmp_path / "ingest.db", clock)
    use_counters(app, counters)
    yield counters
    counters.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., str]:
    """Submit IDs and return the ingestion's id."""

    def submit(ids: list[Any], **more: Any) -> str:
        answer = client.post("/ingest", json={"ids": ids, "priority": "HIGH", **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json["ingestion_id"])

    return submit


@pytest.fixture
def row_count(app: Flask) -> Callable[[], int]:
    """How many ingestions and batches are stored."""

    def count() -> int:
        query = "SELECT (SELECT count(*) FROM ingestions) + (SELECT count(*) FROM batches)"
        with runtime_of(app).database.read() as connection:
            return int(connection.execute(text(query)).scalar_one())

    return count


def check_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """Check that an answer is a whole problem of this status, and return its members."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["instance"] == answer.request.path
    assert problem["title"]
    assert problem["detail"]
    return problem
