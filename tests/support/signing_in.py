"""Keys, and people who sign in with them, on an application under test."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ingest_app.access.keys import create_key
from ingest_app.runtime import runtime_of
from ingest_app.states import Role

SIGN_IN = "/ui/sign-in"
SIGN_OUT = "/ui/sign-out"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "ingest-session"
_TOKEN = re.compile(r'data-csrf-token="([0-9a-f]{64})"')


def make_key(app: Flask, role: Role = Role.OPERATOR, name: str | None = None) -> str:
    """Create a key, named for its role unless a name is given; its text."""
    runtime = runtime_of(app)
    return create_key(runtime.database, name or role.value, role, clock=runtime.clock).text


def send_key(client: FlaskClient, key: str, **more: Any) -> TestResponse:
    """Fill the form of the sign-in page in and send it, as a browser does."""
    more.setdefault("headers", OWN_PAGE)
    landing = more.pop("wanted", None)
    fields = {"key": key} if landing is None else {"key": key, "next": landing}
    return client.post(SIGN_IN, data=fields, **more)


def signed_in(app: Flask, key: str) -> FlaskClient:
    """A browser whose user has signed in."""
    client = app.test_client()
    answer = send_key(client, key)
    assert answer.status_code == 303, answer.text
    return client


def csrf_token_of(client: FlaskClient) -> str:
    """What the page hands to its scripts."""
    found = _TOKEN.search(client.get("/").text)
    assert found is not None, "nobody is signed in"
    return found[1]
