"""Other sites cannot use the cookie: what changes something needs a token that only we hand out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app.web import sessions
from tests.support.signing_in import (
    COOKIE,
    SIGN_IN,
    SIGN_OUT,
    csrf_token_of,
    make_key,
    send_key,
    signed_in,
)

from .conftest import check_problem

PAUSE = "/sources/default/pause"
CHANGING = [
    pytest.param("POST", "/ingest", id="submit"),
    pytest.param("POST", "/forecast", id="forecast"),
    pytest.param("POST", "/ingestions/{id}/cancel", id="cancel"),
    pytest.param("POST", "/ingestions/{id}/retry", id="retry"),
    pytest.param("POST", PAUSE, id="pause"),
    pytest.param("POST", "/sources/default/resume", id="resume"),
    pytest.param("POST", SIGN_OUT, id="sign out"),
]


@pytest.fixture
def key(app: Flask) -> str:
    return make_key(app)


@pytest.fixture
def browser(app: Flask, key: str) -> FlaskClient:
    return signed_in(app, key)


@pytest.fixture
def path_of(app: Flask, key: str) -> Callable[[str], str]:
    def path_of(pattern: str) -> str:
        holder = {"Authorization": f"Bearer {key}"}
        body = {"ids": [1], "priority": "HIGH"}
        answer = app.test_client().post("/ingest", json=body, headers=holder)
        return pattern.format(id=answer.json["ingestion_id"])

    return path_of


def is_paused(browser: FlaskClient) -> bool:
    return browser.get("/sources").json["sources"][-1]["paused_at"] is not None


def test_the_routes_here_are_all_that_change_something(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.methods - {"GET", "HEAD", "OPTIONS"}]
    named = {str(rule).replace("<ingestion_id>", "{id}") for rule in rules} - {SIGN_IN}
    tested = {str(param.values[1]).replace("default", "<name>") for param in CHANGING}
    assert named == tested
    assert all(rule.methods <= {"POST", "OPTIONS"} for rule in rules)


@pytest.fixture
def forged(app: Flask, browser: FlaskClient, key: str) -> dict[str, dict[str, str]]:
    """Headers of requests that no page of the session has sent."""
    tokens = {
        "empty": "",
        "made up": "0" * 64,
        "not ASCII": "\xe4",
        "of another session": csrf_token_of(signed_in(app, key)),
        "the cookie itself": browser.get_cookie(COOKIE).value,
    }
    return {"none": {}, **{name: {"X-CSRF-Token": token} for name, token in tokens.items()}}


@pytest.mark.parametrize(("method", "pattern"), CHANGING)
def test_without_its_token_the_cookie_is_refused(
    browser: FlaskClient,
    forged: dict[str, dict[str, str]],
    path_of: Callable[[str], str],
    method: str,
    pattern: str,
) -> None:
    path = path_of(pattern)
    for name, headers in forged.items():
        answer = browser.open(path, method=method, headers=headers, json={})
        assert "reload the page" in check_problem(answer, 403)["detail"], name
    assert browser.get("/sources").status_code == 200  # still signed in
    assert not is_paused(browser)


@pytest.mark.parametrize(("method", "pattern"), CHANGING)
def test_with_its_token_the_cookie_is_taken(
    browser: FlaskClient, path_of: Callable[[str], str], method: str, pattern: str
) -> None:
    headers = {"X-CSRF-Token": csrf_token_of(browser)}
    answer = browser.open(path_of(pattern), method=method, headers=headers, json={})
    assert answer.status_code != 403


@pytest.mark.parametrize(("method", "pattern"), CHANGING)
def test_a_key_needs_no_token(
    app: Flask, key: str, path_of: Callable[[str], str], method: str, pattern: str
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answer = app.test_client().open(path_of(pattern), method=method, headers=headers, json={})
    assert answer.status_code != 403


def forged_form_works(browser: FlaskClient) -> bool:
    """Whether another site's form pauses a source: no preflight would have asked before."""
    browser.post(PAUSE, data={"anything": "at all"})
    return is_paused(browser)


def test_a_form_of_another_site_changes_nothing(browser: FlaskClient) -> None:
    assert not forged_form_works(browser)


def test_without_the_check_it_would(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(sessions, "is_csrf_token", lambda *_: True)
    assert forged_form_works(browser)


def test_the_token_in_a_form_is_as_good_as_in_the_header(browser: FlaskClient) -> None:
    answer = browser.post(SIGN_OUT, data={"csrf_token": csrf_token_of(browser)})
    assert answer.status_code == 303
    check_problem(browser.get("/sources"), 401)


def test_the_token_in_the_address_is_not_looked_at(browser: FlaskClient) -> None:
    # Addresses are logged, and sent on.
    check_problem(browser.post(f"{PAUSE}?csrf_token={csrf_token_of(browser)}"), 403)


def test_a_page_of_an_earlier_session_is_told_that_it_is_over(app: Flask, key: str) -> None:
    browser = signed_in(app, key)
    of_the_page = {"X-CSRF-Token": csrf_token_of(browser)}
    assert browser.get("/sources", headers=of_the_page).status_code == 200
    send_key(browser, make_key(app, name="someone-else"))  # in another tab
    check_problem(browser.get("/sources", headers=of_the_page), 401)
    check_problem(browser.post(PAUSE, headers=of_the_page), 403)
    assert browser.get("/sources").status_code == 200


def test_while_nobody_needs_a_key_nobody_needs_a_token(client: FlaskClient) -> None:
    assert client.post(PAUSE).status_code == 200
    assert "data-csrf-token" not in client.get("/").text
