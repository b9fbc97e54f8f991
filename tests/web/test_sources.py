from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ingest_app import create_app
from ingest_app.runtime import runtime_of

from .conftest import check_problem

Submit = Callable[..., str]


def state(client: FlaskClient, name: str) -> dict[str, object]:
    found = client.get("/sources").json["sources"]
    return next(source for source in found if source["name"] == name)


def test_all_configured_sources_are_listed(client: FlaskClient, submit: Submit) -> None:
    submit([1, 2, 3], source="catalog")
    assert [source["name"] for source in client.get("/sources").json["sources"]] == [
        "catalog",
        "default",
    ]
    assert state(client, "catalog") == {
        "name": "catalog",
        "kind": "simulated",
        "configured": True,
        "interval_seconds": 5.0,
        "batch_size": 2,
        "next_slot_at": None,
        "waiting": {"HIGH": 2, "MEDIUM": 0, "LOW": 0},
        "waiting_is_estimated": False,
        "in_flight_count": 0,
        "paused_at": None,
        "deferred_until": None,
        "backoff_until": None,
        "failure_count": 0,
        "last_error": None,
        "waits_for": None,
    }


def test_pause_answers_with_the_source_as_it_is_then(client: FlaskClient) -> None:
    answer = client.post("/sources/default/pause")
    assert answer.status_code == 200
    assert answer.json == state(client, "default")
    assert answer.json["waits_for"].startswith("Paused since ")
    again = client.post("/sources/default/pause")
    assert again.json["paused_at"] == answer.json["paused_at"]


def test_resume_answers_with_the_source_as_it_is_then(client: FlaskClient) -> None:
    client.post("/sources/default/pause")
    for _ in range(2):
        answer = client.post("/sources/default/resume")
        assert answer.status_code == 200
        assert answer.json == state(client, "default")
        assert answer.json["paused_at"] is None


@pytest.fixture
def client_without_catalog(submit: Submit, tmp_path: Path) -> Iterator[FlaskClient]:
    """A restart on the same database after the section was taken away."""
    submit([1], source="catalog")
    restarted = create_app({"dispatch": False, "instance_path": str(tmp_path)})
    yield restarted.test_client()
    runtime_of(restarted).database.engine.dispose()


def test_source_that_only_the_database_knows_can_be_seen_and_paused(
    client_without_catalog: FlaskClient,
) -> None:
    client = client_without_catalog
    found = state(client, "catalog")
    assert (found["configured"], found["kind"]) == (False, None)
    assert client.post("/sources/catalog/pause").json["paused_at"] is not None
    assert client.post("/sources/catalog/resume").json["paused_at"] is None


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("name", ["nowhere", "DEFAULT", "x" * 5000, "'; DROP TABLE sources; --"])
def test_unknown_source_in_the_path_is_not_found(client: FlaskClient, verb: str, name: str) -> None:
    before = client.get("/sources").json
    answer = client.post(f"/sources/{name}/{verb}")
    assert answer.status_code == 404
    assert "catalog, default" in answer.json["detail"]
    assert client.get("/sources").json == before


def test_control_takes_no_get(client: FlaskClient) -> None:
    check_problem(client.get("/sources/default/pause"), 405)


def test_addresses_headers_and_options_are_not_shown(tmp_path: Path) -> None:
    settings = {
        "dispatch": False,
        "instance_path": str(tmp_path),
        "simulated_latency_seconds": 0.25,
    }
    app = create_app(settings)
    answer = app.test_client().get("/sources")
    runtime_of(app).database.engine.dispose()
    assert answer.status_code == 200
    assert "latency" not in answer.text
