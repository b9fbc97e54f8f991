from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app.queue import listing
from ingest_app.runtime import runtime_of

from .conftest import check_problem

Submit = Callable[..., str]
UNKNOWN = [
    pytest.param("a" * 24, id="well formed, but there is none"),
    pytest.param("1", id="not of our form"),
    pytest.param("x%00y", id="NUL"),
    pytest.param("%ff%fe", id="not UTF-8"),
    pytest.param("'; DROP TABLE batches; --", id="SQL"),
]


def change(app: Flask, sql: str) -> None:
    with runtime_of(app).database.write() as connection:
        connection.execute(text(sql))


def is_time(value: object) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(value)))


def listed(client: FlaskClient, query: str = "") -> list[str]:
    return [
        entry["ingestion_id"] for entry in client.get(f"/ingestions?{query}").json["ingestions"]
    ]


def test_entry_tells_everything_but_the_batches(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1, 2, 3, 4])
    entry = client.get(f"/ingestions/{ingestion_id}").json
    assert is_time(entry.pop("created_at"))
    assert entry == {
        "ingestion_id": ingestion_id,
        "status": "yet_to_start",
        "priority": "HIGH",
        "source": "default",
        "id_count": 4,
        "batch_count": 2,
        "counts": {"yet_to_start": 2, "triggered": 0, "completed": 0, "failed": 0, "cancelled": 0},
        "first_triggered_at": None,
        "last_completed_at": None,
        "cancelled_at": None,
    }
    assert client.get("/ingestions").json == {
        "ingestions": [client.get(f"/ingestions/{ingestion_id}").json]
    }


def test_times_are_utc_to_the_microsecond(app: Flask, client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1])
    change(app, "UPDATE ingestions SET created_at = '2026-11-24 05:15:47.000000'")
    entry = client.get(f"/ingestions/{ingestion_id}").json
    assert entry["created_at"] == "2026-11-24T05:15:47.000000Z"
    assert datetime.fromisoformat(entry["created_at"]).tzinfo == UTC


@pytest.mark.parametrize("ingestion_id", UNKNOWN)
@pytest.mark.parametrize(
    ("method", "after"),
    [
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/records"),
        ("GET", "/batches"),
    ],
)
def test_unknown_ingestion_is_not_found(
    client: FlaskClient, ingestion_id: str, method: str, after: str
) -> None:
    answer = client.open(f"/ingestions/{ingestion_id}{after}", method=method)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert "no ingestion" in answer.json["detail"]


def test_next_links_lead_through_all_ingestions_newest_first(
    client: FlaskClient, submit: Submit
) -> None:
    ids = [submit([number], priority="LOW") for number in range(5)]
    submit([5])
    address: str | None = "/ingestions?limit=2&priority=LOW"
    found: list[list[str]] = []
    while address:
        answer = client.get(address)
        found.append([entry["ingestion_id"] for entry in answer.json["ingestions"]])
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        address = link[1] if link else None
    assert found == [ids[:2:-1], ids[2:0:-1], ids[:1]]


def test_link_keeps_what_was_asked_for(client: FlaskClient, submit: Submit) -> None:
    for _ in range(2):
        submit([1])
    query = "status=yet_to_start&priority=HIGH&source=default&limit=1"
    link = client.get(f"/ingestions?{query}").headers["Link"]
    assert link.startswith(f"</ingestions?{query}&after=")


def test_short_page_has_a_link_to_go_on(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 1)
    for _ in range(2):
        submit([1])
    answer = client.get("/ingestions?status=failed")
    assert answer.json == {"ingestions": []}
    assert "Link" in answer.headers


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("status=cancelled", [2], id="by state"),
        pytest.param("status=yet_to_start", [1, 0], id="by another state"),
        pytest.param("priority=LOW", [1], id="by priority"),
        pytest.param("source=catalog", [2], id="by source"),
        pytest.param("source=nowhere", [], id="by a source that there is not"),
        pytest.param("source=catalog&priority=LOW", [], id="by both"),
        pytest.param("pretty=1", [2, 1, 0], id="unknown parameters are ignored"),
    ],
)
def test_filters(client: FlaskClient, submit: Submit, query: str, found: list[int]) -> None:
    ids = [submit([1]), submit([1], priority="LOW"), submit([1], source="catalog")]
    client.post(f"/ingestions/{ids[2]}/cancel")
    assert listed(client, query) == [ids[index] for index in found]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("limit=0", "limit", id="a page of nothing"),
        pytest.param("limit=201", "limit", id="more than a page"),
        pytest.param("limit=x", "limit", id="no number"),
        pytest.param("status=done", "status", id="no state"),
        pytest.param("status=", "status", id="empty is not any"),
        pytest.param("priority=high", "priority", id="lower case"),
        pytest.param("after=x", "after", id="no cursor of ours"),
        pytest.param("after=", "after", id="an empty one"),
        pytest.param("after=1-" + "A" * 24, "after", id="one that was changed"),
        pytest.param("after=" + "9" * 17 + "-" + "a" * 24, "after", id="beyond the calendar"),
        pytest.param("after=%D9%A1-" + "a" * 24, "after", id="an Arabic digit"),
    ],
)
def test_a_bad_query_is_refused(client: FlaskClient, query: str, field: str) -> None:
    problem = check_problem(client.get(f"/ingestions?{query}"), 422)
    assert list(problem["errors"]) == [field]


def test_farthest_cursor_is_taken(client: FlaskClient, submit: Submit) -> None:
    submit([1])
    assert len(listed(client, "after=" + "9" * 16 + "-" + "a" * 24)) == 1
    assert listed(client, "after=0-" + "a" * 24) == []


def test_cancel_answers_with_the_entry_as_it_is_then(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1, 2, 3, 4])
    answer = client.post(f"/ingestions/{ingestion_id}/cancel")
    assert answer.status_code == 200
    assert answer.json == client.get(f"/ingestions/{ingestion_id}").json
    assert answer.json["status"] == "cancelled"
    assert answer.json["counts"]["cancelled"] == 2
    assert answer.json["last_completed_at"] == answer.json["cancelled_at"]
    assert client.post(f"/ingestions/{ingestion_id}/cancel").json == answer.json


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        pytest.param({}, 1, id="no body at all"),
        pytest.param({"data": ""}, 1, id="an empty body"),
        pytest.param({"data": "", "content_type": "application/x-www-form-urlencoded"}, 1, id="-d"),
        pytest.param({"data": "", "content_type": "application/json"}, 1, id="empty, said JSON"),
        pytest.param({"json": {}}, 1, id="an empty object"),
        pytest.param({"json": {"ids": "failed"}}, 1, id="only the failed IDs"),
        pytest.param({"json": {"ids": "all"}}, 0, id="all IDs"),
    ],
)
def test_retry_asks_again_for_what_was_wished(
    app: Flask, client: FlaskClient, submit: Submit, sent: dict[str, object], left: int
) -> None:
    ingestion_id = submit([1, 2])
    change(app, "UPDATE batches SET status = 'failed', completed_at = created_at")
    for position, outcome in ((1, "fetched"), (2, "error")):
        change(
            app,
            f"INSERT INTO records (batch_id, position, item_id, outcome, fetched_at)"
            f" VALUES (1, {position}, '{position}', '{outcome}', '2026-03-01 12:00:00.000000')",
        )
    answer = client.post(f"/ingestions/{ingestion_id}/retry", **sent)
    assert answer.status_code == 200, answer.text
    assert answer.json["status"] == "yet_to_start"
    records = client.get(f"/ingestions/{ingestion_id}/records").json["records"]
    assert len(records) == left


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"json": {"ids": "some"}}, 422, id="another wish"),
        pytest.param({"json": {"ids": [1]}}, 422, id="a list of IDs"),
        pytest.param({"json": {"id": "all"}}, 422, id="a misspelt field would be ignored"),
        pytest.param({"json": []}, 422, id="no object"),
        pytest.param({"data": "{", "content_type": "application/json"}, 400, id="not JSON"),
        pytest.param({"data": '{"ids": "all"}'}, 415, id="no content type"),
        pytest.param({"data": "ids=all", "content_type": "text/plain"}, 415, id="a form"),
        pytest.param({"data": " " * 8193, "content_type": "application/json"}, 413, id="large"),
    ],
)
def test_retry_refuses_another_body_and_changes_nothing(
    app: Flask, client: FlaskClient, submit: Submit, sent: dict[str, object], status: int
) -> None:
    ingestion_id = submit([1])
    change(app, "UPDATE batches SET status = 'failed'")
    check_problem(client.post(f"/ingestions/{ingestion_id}/retry", **sent), status)
    assert client.get(f"/ingestions/{ingestion_id}").json["status"] == "failed"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_control_takes_no_get(client: FlaskClient, submit: Submit, verb: str) -> None:
    # A link that a browser follows ahead of its user must not cancel anything.
    answer = client.get(f"/ingestions/{submit([1])}/{verb}")
    check_problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


ROUTES = [
    ("GET", "/status/{}"),
    ("GET", "/status/{}?limit=1"),
    ("GET", "/ingestions/{}"),
    ("GET", "/ingestions/{}/batches"),
    ("GET", "/ingestions/{}/records"),
    ("GET", "/ingestions/{}/forecast"),
    ("POST", "/ingestions/{}/cancel"),
    ("POST", "/ingestions/{}/retry"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_what_is_being_deleted_is_unknown(
    app: Flask, client: FlaskClient, submit: Submit, method: str, route: str
) -> None:
    address = route.format(submit([1, 2, 3, 4]))
    assert client.open(address, method=method).status_code == 200
    change(app, "UPDATE ingestions SET pruned_at = created_at")
    check_problem(client.open(address, method=method), 404)
    assert listed(client) == []
    assert listed(client, "forecast=true") == []


def test_every_route_to_one_ingestion_is_tried(app: Flask) -> None:
    """A new one has to be on the list above."""
    found = {rule.rule for rule in app.url_map.iter_rules() if "<ingestion_id>" in rule.rule}
    tried = {route.partition("?")[0].replace("{}", "<ingestion_id>") for _, route in ROUTES}
    assert {rule for rule in found if not rule.startswith("/ui/")} == tried
