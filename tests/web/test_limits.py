"""How many requests a key may make, and how many IDs its owner's ingestions may have."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from ingest_app import create_app
from ingest_app.access.counters import Counters
from ingest_app.access.keys import create_key
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from ingest_app.web.limits import SIGN_INS_PER_MINUTE
from tests.support.clocks import FakeClock
from tests.support.signing_in import send_key

from .conftest import SETTINGS, check_problem

Headers = dict[str, str]
NewKey = Callable[..., Headers]


@pytest.fixture
def settings() -> dict[str, object]:
    return {}


@pytest.fixture
def app(tmp_path: Path, migrated_file: Path, settings: dict[str, object]) -> Iterator[Flask]:
    shutil.copyfile(migrated_file, tmp_path / "ingest.db")
    app = create_app({**SETTINGS, **settings, "instance_path": str(tmp_path)})
    yield app
    runtime_of(app).database.engine.dispose()


@pytest.fixture
def new_key(app: Flask, counters: Counters) -> NewKey:
    """The headers of a request with a new key; what it counts it counts by the test's clock."""
    runtime = runtime_of(app)
    assert counters

    def new_key(name: str = "anna", role: Role = Role.SUBMITTER, **more: Any) -> Headers:
        token = create_key(runtime.database, name, role, clock=runtime.clock, **more)
        return {"Authorization": f"Bearer {token.text}"}

    return new_key


def test_more_requests_than_the_key_may_make_are_told_when_to_come_again(
    client: FlaskClient, new_key: NewKey, clock: FakeClock
) -> None:
    anna = new_key(max_requests_per_minute=3)
    assert [client.get("/sources", headers=anna).status_code for _ in range(3)] == [200] * 3
    clock.move(20.5)
    answer = client.get("/sources", headers=anna)
    assert "3 requests a minute" in check_problem(answer, 429)["detail"]
    assert answer.headers["Retry-After"] == "40"
    clock.move(39.4)
    assert client.get("/sources", headers=anna).headers["Retry-After"] == "1"
    clock.move(0.1)
    assert client.get("/sources", headers=anna).status_code == 200


def test_answers_say_how_many_requests_are_left(client: FlaskClient, new_key: NewKey) -> None:
    anna = new_key(max_requests_per_minute=2)
    told = [client.get("/sources", headers=anna).headers for _ in range(3)]
    assert [headers["RateLimit"] for headers in told] == [
        '"key";r=1;t=60',
        '"key";r=0;t=60',
        '"key";r=0;t=60',
    ]
    assert {headers["RateLimit-Policy"] for headers in told} == {'"key";q=2;w=60'}


def test_what_is_refused_for_another_reason_counts_and_says_what_is_left(
    client: FlaskClient, new_key: NewKey
) -> None:
    anna = new_key(role=Role.READER, max_requests_per_minute=9)
    for left, path in enumerate(("/sources/default/pause", "/ingest", "/ingestions/x/cancel")):
        answer = client.post(path, headers=anna)
        check_problem(answer, 403)
        assert answer.headers["RateLimit"].startswith(f'"key";r={8 - left};')
    answer = client.get("/ingestions?limit=x", headers=anna)
    check_problem(answer, 422)
    assert "RateLimit" in answer.headers


def test_refused_request_does_nothing(
    client: FlaskClient, new_key: NewKey, row_count: Callable[[], int]
) -> None:
    anna = new_key(max_requests_per_minute=1)
    body = {"ids": [1], "priority": "LOW"}
    assert client.post("/ingest", json=body, headers=anna).status_code == 200
    before = row_count()
    check_problem(client.post("/ingest", json=body, headers=anna), 429)
    assert row_count() == before


def test_each_key_of_an_owner_has_its_own_limit(client: FlaskClient, new_key: NewKey) -> None:
    one = new_key("one", owner="team", max_requests_per_minute=1)
    other = new_key("other", owner="team", max_requests_per_minute=1)
    statuses = [client.get("/sources", headers=key).status_code for key in (one, one, other)]
    assert statuses == [200, 429, 200]


def test_public_routes_are_not_counted(client: FlaskClient, new_key: NewKey) -> None:
    anna = new_key(max_requests_per_minute=1)
    for path in ("/healthz", "/readyz", "/ui/static/pico.min.css", "/nowhere", "/healthz"):
        assert "RateLimit" not in client.get(path, headers=anna).headers, path
    assert client.get("/sources", headers=anna).status_code == 200


def test_key_without_a_limit_is_not_counted(
    client: FlaskClient, new_key: NewKey, counters: Counters
) -> None:
    answer = client.get("/sources", headers=new_key())
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers
    assert not counters.path.exists()


@pytest.mark.parametrize("settings", [{"max_requests_per_minute": 1}])
def test_setting_is_for_keys_that_have_no_limit_of_their_own(
    client: FlaskClient, new_key: NewKey
) -> None:
    plain, own = new_key("plain"), new_key("own", max_requests_per_minute=2)
    assert [client.get("/sources", headers=plain).status_code for _ in range(2)] == [200, 429]
    assert [client.get("/sources", headers=own).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("settings", [{"max_requests_per_minute": 1, "max_waiting_ids": 1}])
def test_open_service_has_no_limits(client: FlaskClient) -> None:
    for _ in range(3):
        body = {"ids": [1, 2], "priority": "LOW"}
        assert client.post("/ingest", json=body).status_code == 200


@pytest.fixture
def session_count(app: Flask) -> Callable[[], int]:
    def count() -> int:
        with runtime_of(app).database.read() as connection:
            return int(
                connection.execute(text("SELECT count(*) FROM browser_sessions")).scalar_one()
            )

    return count


def test_signing_in_counts_as_a_request_of_the_key(
    client: FlaskClient, new_key: NewKey, session_count: Callable[[], int]
) -> None:
    anna = new_key(max_requests_per_minute=2)
    key = anna["Authorization"].removeprefix("Bearer ")
    assert send_key(client, key).headers["RateLimit"].startswith('"key";r=1;')
    assert client.get("/sources", headers=anna).status_code == 200
    answer = send_key(client, key, wanted="/ui/submit")
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert "2 requests a minute" in answer.text
    assert 'value="/ui/submit"' in answer.text
    assert answer.headers["Retry-After"]
    assert session_count() == 1


def test_sign_ins_are_limited_for_keys_without_a_limit_too(
    app: Flask, new_key: NewKey, clock: FakeClock, session_count: Callable[[], int]
) -> None:
    one, other = (new_key(name)["Authorization"].removeprefix("Bearer ") for name in ("a", "b"))

    def sign_in(key: str) -> TestResponse:
        return send_key(app.test_client(), key)

    for _ in range(SIGN_INS_PER_MINUTE):
        assert sign_in(one).status_code == 303
    refused = sign_in(one)
    assert (refused.status_code, refused.mimetype) == (429, "text/html")
    assert f"{SIGN_INS_PER_MINUTE} sign-ins a minute" in refused.text
    assert session_count() == SIGN_INS_PER_MINUTE
    assert sign_in(other).status_code == 303
    clock.move(float(refused.headers["Retry-After"]))
    assert sign_in(one).status_code == 303


def test_requests_are_let_through_while_nothing_can_be_counted(
    client: FlaskClient, new_key: NewKey, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    anna = new_key(max_requests_per_minute=1)
    assert client.get("/sources", headers=anna).status_code == 200
    counters.close()
    with closing(sqlite3.connect(counters.path, isolation_level=None)) as other:
        other.execute("UPDATE buckets SET spent = '[]'")
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            answer = client.get("/sources", headers=anna)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
    assert caplog.text.count("limits_unavailable") == 1


def submit(client: FlaskClient, headers: Headers, count: int, **more: Any) -> Any:
    named = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    body = {"ids": list(range(count)), "priority": "LOW"}
    return client.post("/ingest", json=body, headers={**headers, **named})


def test_more_ids_than_may_be_under_way_are_refused_with_the_facts(
    client: FlaskClient, new_key: NewKey, row_count: Callable[[], int]
) -> None:
    anna = new_key(max_waiting_ids=10)
    assert submit(client, anna, 7).status_code == 200
    before = row_count()
    answer = submit(client, anna, 4)
    detail = check_problem(answer, 429)["detail"]
    assert detail.startswith(
        "At most 10 IDs of your ingestions that have not ended are allowed; there are 7,"
    )
    assert "has 4." in detail
    assert answer.headers["Retry-After"] == "60"
    assert row_count() == before
    assert submit(client, anna, 3).status_code == 200


def test_more_ids_than_may_ever_be_under_way_are_wrong(
    client: FlaskClient, new_key: NewKey
) -> None:
    problem = check_problem(submit(client, new_key(max_waiting_ids=10), 11), 422)
    assert list(problem["errors"]) == ["ids"]
    assert "11" in problem["detail"]


def test_repeated_submission_is_answered_whatever_is_under_way(
    app: Flask, client: FlaskClient, new_key: NewKey
) -> None:
    anna = new_key(max_waiting_ids=10)
    first = submit(client, anna, 10, key="a")
    check_problem(submit(client, anna, 1, key="b"), 429)
    assert submit(client, anna, 10, key="a").json == first.json
    with runtime_of(app).database.write() as connection:
        connection.execute(text("UPDATE api_keys SET max_waiting_ids = 5"))
    assert submit(client, anna, 10, key="a").json == first.json  # larger than the limit by now


def test_keys_of_an_owner_share_what_is_under_way(client: FlaskClient, new_key: NewKey) -> None:
    one, other = (new_key(name, owner="team", max_waiting_ids=10) for name in ("one", "other"))
    stranger = new_key("stranger", max_waiting_ids=10)
    assert submit(client, one, 8).status_code == 200
    check_problem(submit(client, other, 3), 429)
    assert submit(client, stranger, 10).status_code == 200


def test_what_has_ended_makes_room(client: FlaskClient, new_key: NewKey) -> None:
    anna = new_key(max_waiting_ids=10)
    stored = submit(client, anna, 10).json["ingestion_id"]
    check_problem(submit(client, anna, 1), 429)
    assert client.post(f"/ingestions/{stored}/cancel", headers=anna).status_code == 200
    assert submit(client, anna, 10).status_code == 200


@pytest.mark.parametrize("settings", [{"max_waiting_ids": 5}])
def test_setting_is_for_owners_whose_key_has_no_limit(client: FlaskClient, new_key: NewKey) -> None:
    check_problem(submit(client, new_key("plain"), 6), 422)
    assert submit(client, new_key("own", max_waiting_ids=6), 6).status_code == 200
