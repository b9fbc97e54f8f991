"""Who signs in on the page stays so by a cookie: its form, its end, and what it stands for."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app.access.keys import revoke_key
from ingest_app.database import Database
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from tests.support.clocks import HOUR, FakeClock
from tests.support.signing_in import (
    COOKIE,
    SIGN_OUT,
    csrf_token_of,
    make_key,
    send_key,
    signed_in,
)

from .conftest import check_problem

PLANTED = "P" * 43
HTTPS = "https://ingest.example"
PLAIN = {"HttpOnly", "Path=/", "SameSite=Lax"}


@pytest.fixture(autouse=True)
def at_hand(app: Flask, clock: FakeClock) -> None:
    """The application's clock is the test's."""
    replace(runtime_of(app), clock=clock).attach(app)


@pytest.fixture
def key(app: Flask) -> str:
    return make_key(app)


@pytest.fixture
def browser(app: Flask, key: str) -> FlaskClient:
    return signed_in(app, key)


def set_cookies(client: FlaskClient, key: str, **more: object) -> list[str]:
    return send_key(client, key, **more).headers.getlist("Set-Cookie")


def sign_out(browser: FlaskClient) -> None:
    answer = browser.post(SIGN_OUT, data={"csrf_token": csrf_token_of(browser)})
    assert (answer.status_code, answer.location) == (303, "/ui/sign-in")


@pytest.mark.parametrize(
    ("base_url", "prefix", "name", "attributes"),
    [
        pytest.param(
            HTTPS,
            "",
            f"__Host-{COOKIE}",
            {"Secure", *PLAIN},
            id="TLS",
        ),
        pytest.param(
            HTTPS,
            "/queue",
            f"__Secure-{COOKIE}",
            {"Secure", "HttpOnly", "Path=/queue", "SameSite=Lax"},
            id="TLS below a prefix, where __Host- is not allowed",
        ),
        pytest.param(
            f"{HTTPS}:8443",
            "",
            f"__Host-{COOKIE}-8443",
            {"Secure", *PLAIN},
            id="TLS on another port",
        ),
        pytest.param(
            "http://127.0.0.1:8000",
            "",
            f"{COOKIE}-8000",
            PLAIN,
            id="no TLS",
        ),
    ],
)
def test_the_cookie(
    client: FlaskClient, key: str, base_url: str, prefix: str, name: str, attributes: set[str]
) -> None:
    overrides = {"SCRIPT_NAME": prefix}
    (cookie,) = set_cookies(client, key, base_url=base_url, environ_overrides=overrides)
    pair, *found = cookie.split("; ")
    assert pair.partition("=")[0] == name
    assert len(pair.partition("=")[2]) == 43
    expiry = {part for part in found if part.startswith(("Expires=", "Max-Age="))}
    assert "Max-Age=43200" in expiry  # session_hours
    assert set(found) - expiry == attributes


def test_the_cookie_signs_in_and_signing_out_ends_it(app: Flask, browser: FlaskClient) -> None:
    assert browser.get("/sources").status_code == 200
    token = browser.get_cookie(COOKIE).value
    sign_out(browser)
    assert browser.get_cookie(COOKIE) is None
    check_problem(browser.get("/sources"), 401)
    # Who kept the cookie has nothing: the session itself is gone.
    thief = app.test_client()
    thief.set_cookie(COOKIE, token)
    check_problem(thief.get("/sources"), 401)


def test_signing_out_with_a_key_ends_the_session_of_the_cookie_too(
    app: Flask, browser: FlaskClient, key: str
) -> None:
    token = browser.get_cookie(COOKIE).value
    answer = browser.post(SIGN_OUT, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 303
    assert browser.get_cookie(COOKIE) is None
    thief = app.test_client()
    thief.set_cookie(COOKIE, token)
    check_problem(thief.get("/sources"), 401)


def test_signing_out_of_no_session_takes_no_write_lock(
    client: FlaskClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database) -> None:
        raise AssertionError("the write lock was taken")

    client.set_cookie(COOKIE, PLANTED)
    monkeypatch.setattr(Database, "write", refuse)
    answer = client.post(SIGN_OUT, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 303


def test_a_session_ends_in_time(browser: FlaskClient, clock: FakeClock) -> None:
    clock.move(12 * HOUR - 1)
    assert browser.get("/sources").status_code == 200
    clock.move(1)
    check_problem(browser.get("/sources"), 401)
    assert browser.get("/").location == "/ui/sign-in"


def test_revoking_the_key_ends_its_sessions_at_once(
    app: Flask, browser: FlaskClient, clock: FakeClock
) -> None:
    other = signed_in(app, make_key(app, name="other"))
    revoke_key(runtime_of(app).database, "operator", clock=clock)
    check_problem(browser.get("/sources"), 401)
    assert other.get("/sources").status_code == 200


def test_signing_in_again_ends_the_session_before(app: Flask, browser: FlaskClient) -> None:
    before = browser.get_cookie(COOKIE).value
    send_key(browser, make_key(app, Role.READER))
    assert browser.get_cookie(COOKIE).value != before
    thief = app.test_client()
    thief.set_cookie(COOKIE, before)
    check_problem(thief.get("/sources"), 401)


def planting_a_token_works(app: Flask, key: str) -> bool:
    """Whether one who planted a token in a browser is signed in when its user has signed in."""
    victim, attacker = app.test_client(), app.test_client()
    for client in (victim, attacker):
        client.set_cookie(COOKIE, PLANTED)
    send_key(victim, key)
    return attacker.get("/sources").status_code == 200


def test_a_planted_token_is_not_taken_over(app: Flask, key: str) -> None:
    assert not planting_a_token_works(app, key)


def test_a_token_that_is_not_new_would_be_fixed(
    app: Flask, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above: the token is the one that the browser brought.
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: PLANTED)
    assert planting_a_token_works(app, key)


@pytest.mark.parametrize(
    ("base_url", "status"),
    [
        pytest.param("http://localhost:8000", 401, id="another port of this host"),
        pytest.param("https://localhost", 401, id="the same name over TLS"),
        pytest.param("http://localhost", 200, id="the one signed in to"),
    ],
)
def test_a_cookie_is_of_one_service(
    app: Flask, browser: FlaskClient, base_url: str, status: int
) -> None:
    elsewhere = app.test_client()
    elsewhere.set_cookie(COOKIE, browser.get_cookie(COOKIE).value)
    assert elsewhere.get("/sources", base_url=base_url).status_code == status


def test_a_key_goes_before_the_cookie(app: Flask, browser: FlaskClient) -> None:
    reader = {"Authorization": f"Bearer {make_key(app, Role.READER)}"}
    check_problem(browser.post("/sources/default/pause", headers=reader), 403)
    wrong = {"Authorization": "Bearer nothing"}
    check_problem(browser.get("/sources", headers=wrong), 401)


def test_a_cookie_of_an_earlier_database_is_no_hindrance(client: FlaskClient) -> None:
    client.set_cookie(COOKIE, PLANTED)
    assert client.get("/").status_code == 200
    assert client.post("/sources/default/pause").status_code == 200


@pytest.mark.parametrize("path", ["/", "/ui/submit", "/docs", "/sources", "/ingestions"])
def test_nothing_private_is_kept_by_the_browser(browser: FlaskClient, path: str) -> None:
    assert browser.get(path).headers["Cache-Control"] == "no-store"


def test_the_answer_with_the_cookie_is_not_kept_either(app: Flask, key: str) -> None:
    assert send_key(app.test_client(), key).headers["Cache-Control"] == "no-store"


def test_an_answer_that_has_not_changed_is_not_sent_again(browser: FlaskClient) -> None:
    tag = browser.get("/ingestions").headers["ETag"]
    again = browser.get("/ingestions", headers={"If-None-Match": tag})
    assert again.status_code == 304


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_signing_in_and_out_is_logged_with_the_name_of_the_key(
    app: Flask, key: str, said: pytest.LogCaptureFixture
) -> None:
    sign_out(signed_in(app, key))
    assert "signed_in key=operator " in said.text
    assert "signed_out key=operator " in said.text


def test_secrets_are_in_no_log_no_answer_and_no_file(
    app: Flask, key: str, said: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    client = app.test_client()
    answers = [send_key(client, f"{key}x"), send_key(client, key), client.get("/")]
    answers += [client.get("/docs"), client.get("/sources")]
    cookie = client.get_cookie(COOKIE).value
    page = "".join(answer.text for answer in answers)
    headers = "".join(str(answer.headers) for answer in answers)
    assert headers.count(cookie) == 1  # where it is set
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("ingest.db*"))
    for place in (said.text, page, headers.replace(cookie, ""), kept.decode("latin-1")):
        assert key not in place
        assert key.split("_", 2)[2] not in place
        assert cookie not in place
