"""The open and the closed service: what is answered to whom, and that no key is shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app import create_app
from ingest_app.access.keys import create_key
from ingest_app.access.tokens import make_token
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from ingest_app.web import activity
from tests.support.clocks import FakeClock
from tests.support.queues import Queue

from .conftest import SETTINGS, check_problem


def key_for(app: Flask, role: Role, name: str = "anna", owner: str | None = None) -> dict[str, str]:
    """The headers of a request with a new key."""
    runtime = runtime_of(app)
    token = create_key(runtime.database, name, role, clock=runtime.clock, owner=owner)
    return {"Authorization": f"Bearer {token.text}"}


@pytest.fixture
def made() -> Iterator[list[Flask]]:
    apps: list[Flask] = []
    yield apps
    for app in apps:
        runtime_of(app).database.engine.dispose()


def make(made: list[Flask], tmp_path: Path, **settings: object) -> Flask:
    made.append(create_app({**SETTINGS, "instance_path": str(tmp_path), **settings}))
    return made[-1]


FROM_AFAR = {"REMOTE_ADDR": "192.0.2.7"}


def test_open_service_answers_its_own_machine(client: FlaskClient) -> None:
    assert client.get("/sources").status_code == 200
    problem = check_problem(client.get("/sources", environ_base=FROM_AFAR), 403)
    assert "INGEST_ALLOW_ANONYMOUS" in problem["detail"]
    assert client.get("/healthz", environ_base=FROM_AFAR).status_code == 200


def test_open_service_answers_everybody_when_told(made: list[Flask], tmp_path: Path) -> None:
    client = make(made, tmp_path, allow_anonymous=True).test_client()
    assert client.get("/sources", environ_base=FROM_AFAR).status_code == 200
    assert client.get("/sources", headers={"Host": "ingest.example"}).status_code == 200


def test_closed_service_answers_from_anywhere_who_has_a_key(
    app: Flask, client: FlaskClient
) -> None:
    headers = key_for(app, Role.READER)
    for more in ({}, FROM_AFAR):
        assert client.get("/sources", headers=headers, environ_base=more).status_code == 200
        assert client.get("/sources", environ_base=more).status_code == 401


def test_closed_service_stays_so_for_those_who_may_be_anonymous(
    made: list[Flask], tmp_path: Path
) -> None:
    app = make(made, tmp_path, allow_anonymous=True)
    key_for(app, Role.READER)
    assert app.test_client().get("/sources").status_code == 401


@pytest.mark.parametrize(
    ("value", "challenge"),
    [
        (None, 'Bearer realm="ingest"'),
        ("Bearer", 'Bearer realm="ingest", error="invalid_token"'),
        ("Bearer ", 'Bearer realm="ingest", error="invalid_token"'),
        ("Bearer nonsense", 'Bearer realm="ingest", error="invalid_token"'),
        ("Basic YTpi", 'Bearer realm="ingest", error="invalid_token"'),
        ("Basic !", 'Bearer realm="ingest", error="invalid_token"'),
        ("Digest username=x", 'Bearer realm="ingest", error="invalid_token"'),
        ("", 'Bearer realm="ingest", error="invalid_token"'),
        pytest.param(
            f"Bearer {make_token().text}",
            'Bearer realm="ingest", error="invalid_token"',
            id="unknown",  # the token differs in each process that collects the tests
        ),
    ],
)
def test_what_is_no_valid_key_is_told_so(
    app: Flask, client: FlaskClient, value: str | None, challenge: str
) -> None:
    key_for(app, Role.READER)
    answer = client.get("/sources", headers={} if value is None else {"Authorization": value})
    check_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param("{}", "not of the form Bearer", id="the key alone"),
        pytest.param("Basic {}", "not of the form Bearer", id="another scheme"),
        pytest.param("Bearer {}x", "not known here", id="another key"),
    ],
)
def test_key_that_was_not_sent_as_one_is_not_called_unknown(
    app: Flask, client: FlaskClient, form: str, told: str
) -> None:
    key = key_for(app, Role.READER)["Authorization"].removeprefix("Bearer ")
    answer = client.get("/sources", headers={"Authorization": form.format(key)})
    assert told in check_problem(answer, 401)["detail"]


def test_key_may_come_in_any_case_of_its_scheme(app: Flask, client: FlaskClient) -> None:
    bearer = key_for(app, Role.READER)["Authorization"]
    answer = client.get("/sources", headers={"Authorization": bearer.replace("Bearer", "bearer")})
    assert answer.status_code == 200


def test_role_that_is_too_low_is_named(app: Flask, client: FlaskClient) -> None:
    answer = client.post("/sources/default/pause", headers=key_for(app, Role.SUBMITTER))
    assert "role operator; yours has submitter" in check_problem(answer, 403)["detail"]
    assert (
        client.get("/sources", headers=key_for(app, Role.READER, "b")).json["sources"][0][
            "paused_at"
        ]
        is None
    )


def test_list_has_the_owners_alone(app: Flask, client: FlaskClient) -> None:
    anna, bert = key_for(app, Role.SUBMITTER), key_for(app, Role.SUBMITTER, "bert")
    reader = key_for(app, Role.READER, "screen", owner="anna")
    operator = key_for(app, Role.OPERATOR, "zoe")
    body = {"ids": [1], "priority": "LOW"}
    stored = [
        client.post("/ingest", json=body, headers=headers).json["ingestion_id"]
        for headers in (anna, bert, anna)
    ]

    def listed(headers: dict[str, str], query: str = "") -> list[str]:
        entries = client.get(f"/ingestions{query}", headers=headers).json["ingestions"]
        return [entry["ingestion_id"] for entry in entries]

    assert listed(anna) == listed(reader) == listed(anna, "?forecast=true") == [*stored[::2]][::-1]
    assert listed(bert) == [stored[1]]
    assert listed(operator) == stored[::-1]
    assert listed(anna, "?limit=1") == [stored[2]]
    link = client.get("/ingestions?limit=1", headers=anna).headers["Link"]
    after = link.partition("after=")[2].partition(">")[0]
    assert listed(anna, f"?after={after}") == [stored[0]]


def test_idempotency_key_of_another_owner_is_another(app: Flask, client: FlaskClient) -> None:
    def submit(headers: dict[str, str], number: int) -> object:
        body = {"ids": [number], "priority": "LOW"}
        answer = client.post("/ingest", json=body, headers={**headers, "Idempotency-Key": "k"})
        return answer.json.get("ingestion_id", answer.status_code)

    anna, bert = key_for(app, Role.SUBMITTER), key_for(app, Role.SUBMITTER, "bert")
    assert submit(anna, 1) == submit(anna, 1) != submit(bert, 2)
    assert submit(bert, 1) == 422


def test_key_is_in_no_log_and_no_answer(
    app: Flask,
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = key_for(app, Role.OPERATOR)
    secret = headers["Authorization"].split("_", 2)[2]  # it may have this character in it
    wrong = {"Authorization": f"Bearer ing_aaaaaaaaaaaa_{secret}"}
    monkeypatch.setattr(activity, "read_activity", None)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    seen = []
    for sent in (headers, wrong):
        for path in ("/sources", "/activity", "/nothing", "/status/x", "/ingestions?after=x"):
            answer = client.get(path, headers=sent)
            seen.append(json.dumps([answer.text, *answer.headers]))
        answer = client.post("/ingest", data=b"{", headers=sent)
        seen.append(json.dumps([answer.text, *answer.headers]))
    assert "Traceback" in caplog.text
    assert secret not in caplog.text
    assert secret not in "".join(seen)


@pytest.mark.parametrize("path", ["/sources", "/", "/docs", "/nothing", "/healthz", "/status/x"])
def test_every_answer_tells_browsers_what_not_to_do(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert "Strict-Transport-Security" not in headers
    assert "Access-Control-Allow-Origin" not in headers


def test_over_tls_it_stays_so(client: FlaskClient) -> None:
    headers = client.get("/sources", base_url="https://localhost").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


FORWARDED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "ingest.example",
    "X-Forwarded-Prefix": "/queue",
}


def test_proxies_are_believed_only_when_told(made: list[Flask], tmp_path: Path) -> None:
    plain = make(made, tmp_path, allow_anonymous=True).test_client()
    told = make(made, tmp_path, allow_anonymous=True, trusted_proxy_count=1).test_client()
    body = {"ids": [1], "priority": "LOW"}
    answer = plain.post("/ingest", json=body, headers=FORWARDED)
    assert answer.headers["Location"].startswith("/status/")
    assert "Strict-Transport-Security" not in answer.headers
    answer = told.post("/ingest", json=body, headers=FORWARDED)
    assert answer.headers["Location"].startswith("/queue/status/")
    assert "Strict-Transport-Security" in answer.headers


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        ("/queue", 303),
        ("/queue/", 303),
        ("/a/b-c_d.e~%20", 303),
        ("/", 303),
        ("//evil.example", 400),
        ("/queue//evil.example", 400),
        ("/\\evil.example", 400),
        ("/queue/../..", 400),
        ("/.", 400),
        ("https://evil.example", 400),
        ("evil.example", 400),
        ("/queue?next=", 400),
        ("/queue#", 400),
        ("/\t/evil.example", 400),
        ("/queue;a", 400),
        ("/\xff", 400),
        ("/" + "x" * 4_000 + "//", 400),
    ],
)
def test_prefix_that_a_proxy_passes_on_leads_to_no_other_site(
    made: list[Flask], tmp_path: Path, prefix: str, status: int
) -> None:
    app = make(made, tmp_path, trusted_proxy_count=1)
    key_for(app, Role.READER)
    answer = app.test_client().get("/", headers={"X-Forwarded-Prefix": prefix})
    assert answer.status_code == status
    assert ("Location" in answer.headers) == (status == 303)
    if status == 303:
        assert answer.location == f"{prefix.rstrip('/')}/ui/sign-in"


@pytest.mark.parametrize("host", ["evil.example/x?", "a b", "evil.example#", "a@b", "a\\b", "\xff"])
def test_host_that_is_no_name_is_repeated_nowhere(
    made: list[Flask], tmp_path: Path, host: str
) -> None:
    client = make(made, tmp_path, trusted_proxy_count=1).test_client()
    for path in ("/", "//sources", "/ui/sign-in"):
        answer = client.get(path, headers={"X-Forwarded-Host": host})
        assert answer.status_code < 500
        assert host not in str(answer.headers), path


def test_trusted_proxy_does_not_make_a_stranger_local(made: list[Flask], tmp_path: Path) -> None:
    client = make(made, tmp_path, trusted_proxy_count=1).test_client()
    assert client.get("/sources", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    # What stands before the proxy's own word was the client's.
    forged = {"X-Forwarded-For": "127.0.0.1, 192.0.2.7"}
    assert client.get("/sources", headers=forged).status_code == 403


def test_metrics_are_for_everybody_when_told(made: list[Flask], tmp_path: Path) -> None:
    app = make(made, tmp_path, public_metrics=True)
    key_for(app, Role.READER)
    client = app.test_client()
    assert client.get("/metrics", environ_base=FROM_AFAR).status_code == 200
    assert client.get("/sources", environ_base=FROM_AFAR).status_code == 401
    client = make(made, tmp_path).test_client()
    assert client.get("/metrics").status_code == 401


def test_error_of_a_source_is_for_operators(app: Flask, client: FlaskClient) -> None:
    runtime = runtime_of(app)
    clock = cast(FakeClock, runtime.clock)  # the real one: nobody moves it here
    queue = Queue(runtime.database, runtime.settings.source("default"), clock)
    queue.submit(["SECRET-1"], submitted_by="bert")
    queue.retry(queue.claim(), error="HTTP 500 from GET http://upstream/SECRET-1")
    forecast = {"json": {"id_count": 1}}
    for role in Role:
        headers = key_for(app, role, str(role))
        sources = client.get("/sources", headers=headers).json["sources"]
        (state,) = [each for each in sources if each["name"] == "default"]
        assert (state["last_error"] is None) == (role is not Role.OPERATOR)
        told = client.post("/forecast", headers=headers, **forecast).text
        told += client.get("/metrics", headers=headers).text + client.get("/activity").text
        assert "SECRET" not in told + str(state["waits_for"])
