from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from ingest_app.errors import DatabaseUnavailable, SnapshotExpired
from ingest_app.queue import packing, reading, status_parts
from ingest_app.runtime import runtime_of
from tests.support.service import until

from .conftest import check_problem

Submit = Callable[..., str]


def test_status_lists_the_batches_in_order(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit([1, 2, 3, 4, "five"])
    answer = client.get(f"/status/{ingestion_id}")
    assert answer.content_type == "application/json"
    assert answer.json == {
        "ingestion_id": ingestion_id,
        "status": "yet_to_start",
        "batches": [
            {"batch_id": f"{ingestion_id}-1", "ids": [1, 2, 3], "status": "yet_to_start"},
            {"batch_id": f"{ingestion_id}-2", "ids": [4, "five"], "status": "yet_to_start"},
        ],
    }


@pytest.mark.parametrize(
    "ingestion_id",
    [
        pytest.param("a" * 24, id="well formed, but there is none"),
        pytest.param("1", id="not of our form"),
        pytest.param("A" * 24, id="upper case"),
        pytest.param("x%00y", id="NUL"),
        pytest.param("%ff%fe", id="not UTF-8"),
        pytest.param("%F0%9F%98%80", id="outside of ASCII"),
        pytest.param("'; DROP TABLE batches; --", id="SQL"),
        pytest.param("x" * 5000, id="long"),
    ],
)
def test_unknown_ingestion_is_not_found(client: FlaskClient, ingestion_id: str) -> None:
    answer = client.get(f"/status/{ingestion_id}")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert "no ingestion" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        pytest.param("", [1, 2, 3, 4, 5], id="all without a limit"),
        pytest.param("limit=2", [1, 2], id="the first page"),
        pytest.param("limit=2&after=2", [3, 4], id="the second"),
        pytest.param("limit=2&after=4", [5], id="the rest"),
        pytest.param("after=3", [4, 5], id="after without a limit"),
        pytest.param("limit=10000", [1, 2, 3, 4, 5], id="the largest limit"),
        pytest.param("after=5", [], id="after the last"),
        pytest.param(f"after={2**63 - 1}", [], id="the largest position SQLite can compare"),
        pytest.param("pretty=1", [1, 2, 3, 4, 5], id="unknown parameters are ignored"),
    ],
)
def test_pages(client: FlaskClient, submit: Submit, query: str, positions: list[int]) -> None:
    ingestion_id = submit(list(range(13)))
    found = client.get(f"/status/{ingestion_id}?{query}").json
    expected = [f"{ingestion_id}-{position}" for position in positions]
    assert [batch["batch_id"] for batch in found["batches"]] == expected


def test_next_links_lead_through_all_batches_once(client: FlaskClient, submit: Submit) -> None:
    ingestion_id = submit(list(range(13)))
    address: str | None = f"/status/{ingestion_id}?limit=2"
    ids: list[int] = []
    while address:
        answer = client.get(address)
        ids += [one for batch in answer.json["batches"] for one in batch["ids"]]
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        address = link[1] if link else None
    assert ids == list(range(13))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="everything"),
        pytest.param("limit=5", id="exactly all"),
        pytest.param("limit=2&after=3", id="exactly the rest"),
        pytest.param("limit=2&after=5", id="nothing"),
    ],
)
def test_the_last_page_has_no_link(client: FlaskClient, submit: Submit, query: str) -> None:
    ingestion_id = submit(list(range(13)))
    assert "Link" not in client.get(f"/status/{ingestion_id}?{query}").headers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("limit=0", "limit", id="a page of nothing"),
        pytest.param("limit=10001", "limit", id="more than a page"),
        pytest.param("limit=-1", "limit", id="SQLite takes a negative limit for none"),
        pytest.param("limit=1.0", "limit", id="not digits"),
        pytest.param("limit=1_0", "limit", id="digits to Python only"),
        pytest.param("limit=%D9%A1", "limit", id="an Arabic digit"),
        pytest.param("limit=", "limit", id="empty"),
        pytest.param("limit=" + "9" * 5000, "limit", id="more digits than int() takes"),
        pytest.param("after=-1", "after", id="before the first"),
        pytest.param(f"after={2**63}", "after", id="more than SQLite can compare"),
        pytest.param("after=x", "after", id="not a number"),
    ],
)
def test_a_bad_page_is_refused(client: FlaskClient, submit: Submit, query: str, field: str) -> None:
    problem = check_problem(client.get(f"/status/{submit([1])}?{query}"), 422)
    assert list(problem["errors"]) == [field]


def test_an_unchanged_status_is_not_sent_again(client: FlaskClient, submit: Submit) -> None:
    address = f"/status/{submit([1])}"
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert first.headers["Cache-Control"] == "no-cache"
    assert not first.headers["ETag"].startswith("W/")
    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_changed_status_is_sent_again(app: Flask, client: FlaskClient, submit: Submit) -> None:
    address = f"/status/{submit([1])}"
    tag = client.get(address).headers["ETag"]
    with runtime_of(app).database.write() as connection:
        connection.execute(text("UPDATE batches SET status = 'cancelled'"))
    again = client.get(address, headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.json["batches"][0]["status"] == "cancelled"


def test_pages_have_tags_of_their_own(client: FlaskClient, submit: Submit) -> None:
    address = f"/status/{submit(list(range(13)))}"
    assert client.get(f"{address}?limit=1").headers["ETag"] != client.get(address).headers["ETag"]


def test_head_answers_as_get_without_the_body(client: FlaskClient, submit: Submit) -> None:
    address = f"/status/{submit([1])}"
    get, head = client.get(address), client.head(address)
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.fixture
def large(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an ingestion that is sent part by part: some batches packed, some not."""
    monkeypatch.setattr(reading, "PART_SIZE", 2)
    monkeypatch.setattr(status_parts, "PART_SIZE", 2)
    monkeypatch.setattr(packing, "PACK_SIZE", 2)
    return f"/status/{submit(list(range(20)))}"


def snapshot_count(app: Flask) -> int:
    return int(runtime_of(app).database.engine.pool.checkedout())  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", ["", "?after=2", "?after=3"])
def test_a_large_status_is_the_same_text_in_parts(
    client: FlaskClient, large: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts = client.get(large + query)
    monkeypatch.setattr(reading, "PART_SIZE", 100)
    at_once = client.get(large + query)
    assert in_parts.data == at_once.data
    assert len(in_parts.json["batches"]) == 7 - int(query.rpartition("=")[2] or 0)
    assert "Content-Length" not in in_parts.headers
    assert at_once.headers["Content-Length"] == str(len(at_once.data))
    assert in_parts.content_type == at_once.content_type


def test_a_large_status_that_is_unchanged_is_not_sent_again(
    app: Flask, client: FlaskClient, large: str
) -> None:
    first = client.get(large)
    assert first.data
    again = client.get(large, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert snapshot_count(app) == 0
    with runtime_of(app).database.write() as connection:
        connection.execute(
            text("UPDATE packed_batches SET status = 'cancelled' WHERE first_position = 3")
        )
    changed = client.get(large, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert [batch["status"] for batch in changed.json["batches"]].count("cancelled") == 2


def test_head_of_a_large_status_lets_go_of_its_snapshot(
    app: Flask, client: FlaskClient, large: str
) -> None:
    head = client.head(large)
    assert (head.status_code, head.data) == (200, b"")
    assert "Content-Length" not in head.headers
    assert snapshot_count(app) == 0
    get = client.get(large)
    assert get.data
    assert head.headers["ETag"] == get.headers["ETag"]


def test_a_client_that_hangs_up_lets_go_of_the_snapshot(
    app: Flask, client: FlaskClient, large: str
) -> None:
    answer = client.get(large, buffered=False)
    next(answer.iter_encoded())
    assert snapshot_count(app) == 1
    answer.close()
    assert snapshot_count(app) == 0


def test_a_client_that_is_too_slow_is_cut_off(
    app: Flask, client: FlaskClient, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 0.05)
    answer = client.get(large, buffered=False)
    parts = answer.iter_encoded()
    got = next(parts)
    until(lambda: snapshot_count(app) == 0, "the snapshot is let go")
    with pytest.raises(SnapshotExpired):
        got += b"".join(parts)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(got)
    answer.close()


def test_a_fault_before_the_first_part_is_a_problem(
    app: Flask, client: FlaskClient, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise DatabaseUnavailable("secret")

    monkeypatch.setattr(status_parts, "_readers", fail)
    check_problem(client.get(large), 503)
    assert snapshot_count(app) == 0


def test_pages_of_a_large_status_lead_through_all_batches(client: FlaskClient, large: str) -> None:
    address: str | None = f"{large}?limit=3"
    ids: list[int] = []
    while address:
        answer = client.get(address)
        assert "Content-Length" in answer.headers
        ids += [one for batch in answer.json["batches"] for one in batch["ids"]]
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        address = link[1] if link else None
    assert ids == list(range(20))
