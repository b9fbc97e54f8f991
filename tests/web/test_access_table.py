"""Routes and roles cell by cell, as the running application has them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest_app.access.keys import create_key, revoke_key
from ingest_app.runtime import Runtime, runtime_of
from ingest_app.states import Role
from ingest_app.web import access
from tests.support.access_table import Route, routes_of, table_of

_DOCUMENT = Path(__file__).parents[2] / "docs" / "access.md"
_BODIES: dict[str, dict[str, Any]] = {
    "submission.ingest": {"ids": [1], "priority": "LOW"},
    "ingestions.retry": {"ids": "failed"},
    "forecast.preview": {"id_count": 1},
}
_UNKNOWN = "ing_aaaaaaaaaaaa_" + "A" * 43


class Keys:
    """Keys of every role for the owner of an ingestion and for somebody else."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.anna = {role: self._create(f"anna-{role}", role, "anna") for role in Role}
        self.bert = {role: self._create(f"bert-{role}", role, "bert") for role in Role}
        self.revoked = self._create("revoked", Role.OPERATOR, "anna")
        revoke_key(runtime.database, "revoked", clock=runtime.clock)

    def _create(self, name: str, role: Role, owner: str) -> str:
        database, clock = self._runtime.database, self._runtime.clock
        return create_key(database, name, role, clock=clock, owner=owner).text


@pytest.fixture
def keys(app: Flask) -> Keys:
    return Keys(runtime_of(app))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Without cookies: to sign in changes nothing for the next request."""
    return app.test_client(use_cookies=False)


@pytest.fixture
def ask(client: FlaskClient, keys: Keys) -> Callable[[Route, str | None], TestResponse]:
    """Make the request of a route with a key, about an ingestion of Anna's."""
    stored = client.post(
        "/ingest",
        json={"ids": [1, 2, 3], "priority": "HIGH"},
        headers={"Authorization": f"Bearer {keys.anna[Role.SUBMITTER]}"},
    )
    places = {
        "<ingestion_id>": stored.json["ingestion_id"],
        "/sources/<name>": "/sources/default",
        "/docs/own/<name>": "/docs/own/docs.js",
        "<name>": "swagger-ui.css",
        "<path:filename>": "api.js",
    }

    addresses = count(1)

    def ask(route: Route, key: str | None) -> TestResponse:
        path = route.rule
        for place, value in places.items():
            path = path.replace(place, value)
        # From one address alone, too many keys that are not valid would not be looked at.
        more: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": f"192.0.2.{next(addresses)}"}}
        if route.method == "POST":
            more["json"] = _BODIES.get(route.endpoint, {})
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if route.endpoint == "dashboard.check_key":
            headers |= {"Sec-Fetch-Site": "same-origin"}
            more = {"data": {"key": keys.anna[Role.READER]}}
        return client.open(path, method=route.method, headers=headers, buffered=True, **more)

    return ask


Ask = Callable[[Route, str | None], TestResponse]


def test_without_a_valid_key_only_public_routes_answer(app: Flask, keys: Keys, ask: Ask) -> None:
    for route in routes_of(app):
        for key in (None, _UNKNOWN, keys.revoked):
            status = ask(route, key).status_code
            if route.needed is None:
                assert status < 400, (route, key, status)
            else:
                refused = 303 if key is None and _is_page(route) else 401
                assert status == refused, (route, key, status)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_what_the_table_says(app: Flask, keys: Keys, ask: Ask, role: Role) -> None:
    for route in routes_of(app):
        may = route.needed is None or role.includes(route.needed)
        status = ask(route, keys.anna[role]).status_code
        assert (status == 403) == (not may), (route, status)
        if may:
            assert status < 400, (route, status)


@pytest.mark.parametrize("role", Role)
def test_ingestions_of_others_are_there_for_operators_alone(
    app: Flask, keys: Keys, ask: Ask, role: Role
) -> None:
    for route in routes_of(app):
        if route.is_own and role.includes(route.needed):
            status = ask(route, keys.bert[role]).status_code
            assert (status == 404) == (role is not Role.OPERATOR), (route, status)
            assert status in (200, 404), (route, status)


def test_others_ingestion_looks_like_none_at_all(client: FlaskClient, keys: Keys, ask: Ask) -> None:
    headers = {"Authorization": f"Bearer {keys.bert[Role.SUBMITTER]}"}
    missing = client.get(f"/status/{'a' * 24}", headers=headers)
    others = ask(Route("GET", "/status/<ingestion_id>", "", None), keys.bert[Role.SUBMITTER])
    members = [{**answer.json, "instance": None} for answer in (missing, others)]
    assert members[0] == members[1]
    assert [name for name, _ in missing.headers] == [name for name, _ in others.headers]


def test_without_the_check_everybody_gets_everything(
    app: Flask, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = app.before_request_funcs[None]
    monkeypatch.setitem(
        app.before_request_funcs, None, [f for f in functions if f is not access._check]
    )
    route = Route("POST", "/sources/<name>/pause", "sources.pause", Role.OPERATOR)
    assert ask(route, None).status_code == 200


def test_without_the_owners_check_others_ingestions_are_there(
    keys: Keys, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_check_owner", lambda *_: None)
    route = Route("GET", "/status/<ingestion_id>", "status.status", Role.READER)
    assert ask(route, keys.bert[Role.READER]).status_code == 200


def test_route_that_does_not_say_who_may_use_it_is_found_out(app: Flask) -> None:
    app.add_url_rule("/unsaid", "unsaid", lambda: "")
    with pytest.raises(LookupError, match="unsaid"):
        access.needed_roles(app)


def _is_page(route: Route) -> bool:
    # A visitor is led to where one signs in.
    return route.endpoint.partition(".")[0] in ("dashboard", "docs")


def test_document_has_the_table_of_this_version(app: Flask) -> None:
    table = "\n".join(table_of(app))
    assert table in _DOCUMENT.read_text(encoding="utf-8"), (
        "put what `python -m tests.support.access_table` prints into docs/access.md"
    )
