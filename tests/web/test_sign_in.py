"""The page where one signs in, who is led to it, and where one goes on from there."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest_app.errors import DatabaseBusy
from ingest_app.states import Role
from ingest_app.web import sessions
from ingest_app.web.forms import MOST_BYTES, MOST_FIELDS
from tests.support.signing_in import (
    COOKIE,
    OWN_PAGE,
    SIGN_IN,
    SIGN_OUT,
    make_key,
    send_key,
    signed_in,
)

from .conftest import check_problem

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NO_INGESTION = "a" * 24
STRANGER = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def key(app: Flask) -> str:
    """A key: the service is closed to those who have none."""
    return make_key(app)


@pytest.fixture
def visitor(app: Flask, key: str) -> FlaskClient:  # noqa: ARG001 (the service is closed)
    """A browser whose user has not signed in."""
    return app.test_client()


def next_of(answer: TestResponse) -> str:
    assert answer.status_code == 303
    address = urlsplit(answer.location)
    assert address.path == SIGN_IN
    return parse_qs(address.query).get("next", ["/"])[0]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/", id="overview"),
        pytest.param("/?status=failed&source=catalog", id="overview with filters"),
        pytest.param("/ui/submit", id="form"),
        pytest.param(f"/ui/ingestions/{NO_INGESTION}?after=8", id="an ingestion"),
        pytest.param("/docs", id="documentation"),
    ],
)
def test_a_page_leads_to_the_sign_in_and_from_there_to_itself(
    visitor: FlaskClient, key: str, path: str
) -> None:
    wanted = next_of(visitor.get(path))
    assert wanted == path
    form = visitor.get(SIGN_IN, query_string={"next": wanted})
    assert form.status_code == 200
    field = re.search(r'name="next" value="([^"]*)"', form.text)
    assert field[1].replace("&amp;", "&") == path
    assert send_key(visitor, key, wanted=wanted).location == path


@pytest.mark.parametrize("path", ["/sources", "/ingestions", "/openapi.json", "/status/x"])
def test_the_interface_answers_with_a_problem_instead(visitor: FlaskClient, path: str) -> None:
    answer = visitor.get(path, headers=HTML)
    check_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ingest"'


def test_a_page_leads_to_it_below_a_prefix(visitor: FlaskClient, key: str) -> None:
    overrides = {"SCRIPT_NAME": "/queue"}
    answer = visitor.get("/ui/submit", environ_overrides=overrides)
    assert answer.location == "/queue/ui/sign-in?next=/queue/ui/submit"
    form = visitor.get(SIGN_IN, environ_overrides=overrides).text
    assert 'action="/queue/ui/sign-in"' in form
    landed = send_key(visitor, key, wanted="/queue/ui/submit", environ_overrides=overrides)
    assert landed.location == "/queue/ui/submit"
    elsewhere = send_key(visitor, key, wanted="/other", environ_overrides=overrides)
    assert elsewhere.location == "/queue/"


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param("", id="nothing"),
        pytest.param("https://evil.example/", id="another site"),
        pytest.param("//evil.example/", id="another host"),
        pytest.param("///evil.example/", id="another host, in some browsers"),
        pytest.param("/\\evil.example/", id="a backslash is a slash to browsers"),
        pytest.param("\\\\evil.example/", id="two of them"),
        pytest.param("/\t/evil.example/", id="browsers leave tabs out"),
        pytest.param("\t//evil.example/", id="and at the start"),
        pytest.param("/\n/evil.example/", id="and line ends"),
        pytest.param(" //evil.example/", id="and blanks"),
        pytest.param("/\x00/evil.example", id="NUL"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("data:text/html,x", id="data"),
        pytest.param("evil.example", id="a path of this folder, or what looks like a host"),
        pytest.param("http:evil.example", id="a scheme without slashes"),
        pytest.param("/ui/submit\r\nSet-Cookie: a=b", id="another header"),
        pytest.param("/ui/ä", id="not ASCII"),
        pytest.param("/" + "a" * 2_000, id="too long"),
    ],
)
def test_one_never_goes_on_to_another_site(visitor: FlaskClient, key: str, wanted: str) -> None:
    assert 'name="next" value="/"' in visitor.get(SIGN_IN, query_string={"next": wanted}).text
    answer = send_key(visitor, key, wanted=wanted)
    assert (answer.status_code, answer.location) == (303, "/")
    # Whoever is signed in goes on at once.
    assert visitor.get(SIGN_IN, query_string={"next": wanted}).location == "/"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/ui/ingestions/a%0d%0aSet-Cookie:%20a=b", id="in the path"),
        pytest.param("/?a=%0d%0aSet-Cookie:%20a=b", id="in the query"),
    ],
)
def test_an_address_adds_no_header(visitor: FlaskClient, path: str) -> None:
    answer = visitor.get(path)
    assert "Set-Cookie" not in answer.headers
    assert unquote(next_of(answer)) == unquote(path)


SENT_FROM: list[Any] = [
    pytest.param({"Sec-Fetch-Site": "same-origin"}, True, id="our page"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="another site"),
    pytest.param({"Sec-Fetch-Site": "same-site"}, False, id="another host of the domain"),
    pytest.param({"Origin": "http://localhost"}, True, id="our page in an old browser"),
    pytest.param({"Origin": "http://LOCALHOST"}, True, id="the same in capitals"),
    pytest.param({"Origin": "https://localhost"}, True, id="TLS that a proxy took away"),
    pytest.param({"Origin": "http://evil.example"}, False, id="another site in an old browser"),
    pytest.param({"Origin": "http://localhost.evil.example"}, False, id="that begins like us"),
    pytest.param({"Origin": "http://localhost:8000"}, False, id="another port"),
    pytest.param({"Origin": "null"}, False, id="a frame without an origin"),
    pytest.param({"Origin": "http://[broken"}, False, id="no origin at all"),
    pytest.param({"Referer": "http://localhost/ui/sign-in"}, True, id="our page by its Referer"),
    pytest.param({"Referer": "http://evil.example/localhost"}, False, id="another by its Referer"),
    pytest.param(
        {"Origin": "null", "Referer": "http://localhost/"}, False, id="Origin goes before Referer"
    ),
    pytest.param({}, False, id="it does not say"),
]


@pytest.mark.parametrize(("headers", "is_ours"), SENT_FROM)
def test_only_our_own_page_signs_anybody_in(
    visitor: FlaskClient, key: str, headers: dict[str, str], is_ours: bool
) -> None:
    answer = send_key(visitor, key, headers=headers)
    assert answer.status_code == (303 if is_ours else 403)
    assert (visitor.get_cookie(COOKIE) is not None) == is_ours


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("", id="nothing"),
        pytest.param("ing_abc", id="no key"),
        pytest.param("ing_" + "a" * 12 + "_" + "B" * 43, id="one that is not known"),
        pytest.param("<script>alert(1)</script>", id="markup"),
        pytest.param("x" * 5_000, id="too much"),
    ],
)
def test_a_wrong_key_is_refused_on_the_page(visitor: FlaskClient, sent: str) -> None:
    answer = send_key(visitor, sent, wanted="/ui/submit")
    assert answer.status_code == 401
    assert answer.content_type == "text/html; charset=utf-8"
    assert "not known here, or was revoked" in answer.text
    assert 'name="next" value="/ui/submit"' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert not sent or sent not in answer.text


MANY_PARTS: dict[str, object] = {
    "data": {f"f{number}": "x" for number in range(MOST_FIELDS + 1)},
    "content_type": "multipart/form-data",
}
MANY_BYTES: dict[str, object] = {"data": {"key": "x" * MOST_BYTES}}
TOO_LARGE = [pytest.param(MANY_PARTS, id="fields"), pytest.param(MANY_BYTES, id="bytes")]


@pytest.mark.parametrize("form", TOO_LARGE)
def test_a_form_that_is_too_large_is_refused_on_the_page(
    app: Flask, visitor: FlaskClient, form: dict[str, Any]
) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 2 * MOST_BYTES  # submissions may be larger
    answer = visitor.post(SIGN_IN, headers=OWN_PAGE, **form)
    assert (answer.status_code, answer.mimetype) == (413, "text/html")
    assert f"{MOST_BYTES:,} bytes and {MOST_FIELDS} fields; this has more" in answer.text
    assert 'name="next" value="/"' in answer.text


@pytest.mark.parametrize("form", TOO_LARGE)
def test_a_form_of_another_site_is_refused_before_it_is_read(
    visitor: FlaskClient, form: dict[str, Any]
) -> None:
    assert visitor.post(SIGN_IN, **form).status_code == 403


def test_a_form_beside_a_cookie_is_no_larger(reader: FlaskClient) -> None:
    data = {"csrf_token": "x" * MOST_BYTES}
    assert "16,384" in check_problem(reader.post(SIGN_OUT, data=data), 413)["detail"]
    page = reader.post(SIGN_OUT, data=data, headers=HTML)
    assert (page.status_code, page.mimetype) == (413, "text/html")
    assert "16,384" in check_problem(reader.post("/ingest", data=data), 413)["detail"]


def test_a_database_that_is_busy_is_explained_on_the_page(
    visitor: FlaskClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> str:
        raise DatabaseBusy("sqlite3: locked")

    monkeypatch.setattr(sessions, "begin_session", busy)
    answer = send_key(visitor, key)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "Try again after" in answer.text
    assert "sqlite3" not in answer.text


def test_a_key_in_the_address_is_not_looked_at(visitor: FlaskClient, key: str) -> None:
    answer = visitor.post(f"{SIGN_IN}?key={key}", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401


def test_a_key_may_be_pasted_with_its_line_end(visitor: FlaskClient, key: str) -> None:
    assert send_key(visitor, f" {key}\r\n").status_code == 303


def test_the_form_needs_no_script(visitor: FlaskClient) -> None:
    form = visitor.get(SIGN_IN)
    assert 'method="post"' in form.text
    assert "<script" not in form.text
    assert "form-action 'self'" in form.headers["Content-Security-Policy"]
    assert form.headers["Referrer-Policy"] == "same-origin"  # else Origin would be null
    assert 'type="password" autocomplete="current-password"' in form.text


def test_while_there_is_no_key_there_is_no_sign_in(client: FlaskClient) -> None:
    assert client.get(SIGN_IN).location == "/"
    assert "Sign out" not in client.get("/").text
    assert client.post(SIGN_OUT).location == SIGN_IN
    stranger = client.get("/", headers=HTML, environ_overrides=STRANGER)
    assert stranger.status_code == 403
    assert "ingest keys create" in stranger.text


BY_ROLE: list[Any] = [
    pytest.param(Role.READER, "", False, 403, id="reader"),
    pytest.param(Role.SUBMITTER, "submit", True, 200, id="submitter"),
    pytest.param(Role.OPERATOR, "submit operate", True, 200, id="operator"),
]


@pytest.mark.parametrize(("role", "may", "is_linked", "status"), BY_ROLE)
def test_the_page_offers_what_the_role_may(
    app: Flask, role: Role, may: str, is_linked: bool, status: int
) -> None:
    browser = signed_in(app, make_key(app, role, "ada-key"))
    page = browser.get("/").text
    assert f'data-may="{may}"' in page
    assert ('href="/ui/submit"' in page) == is_linked
    assert "ada-key" in page
    assert f">{role}<" in page
    assert browser.get("/ui/submit").status_code == status


@pytest.fixture
def reader(app: Flask) -> FlaskClient:
    return signed_in(app, make_key(app, Role.READER))


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        pytest.param("/ui/submit", 403, "the role submitter; yours has reader", id="role"),
        pytest.param(f"/ui/ingestions/{NO_INGESTION}", 404, "no ingestion", id="others' or none"),
    ],
)
def test_a_refusal_is_a_page_for_people_and_a_problem_for_programs(
    reader: FlaskClient, path: str, status: int, said: str
) -> None:
    page = reader.get(path, headers=HTML)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert said in page.text
    assert "Sign out" in page.text
    assert said in check_problem(reader.get(path), status)["detail"]


def test_signing_out_with_a_page_of_an_earlier_session_says_to_reload(reader: FlaskClient) -> None:
    answer = reader.post(SIGN_OUT, data={"csrf_token": "0" * 64}, headers=HTML)
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert "reload the page" in answer.text


def test_signing_out_when_it_is_over_leads_to_the_form(visitor: FlaskClient) -> None:
    assert visitor.post(SIGN_OUT).location == SIGN_IN


def test_the_documentation_is_read_with_the_cookie(reader: FlaskClient) -> None:
    assert reader.get("/docs").status_code == 200
    schemes = reader.get("/openapi.json").json["components"]["securitySchemes"]
    assert schemes["key"]["scheme"] == "bearer"  # what its Authorize button asks for
