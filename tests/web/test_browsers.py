"""A page of another site cannot use a visitor's browser to change anything here."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import check_problem

PAUSE = "/sources/default/pause"


def is_paused(client: FlaskClient) -> bool:
    sources = client.get("/sources").json["sources"]
    return {source["name"]: source["paused_at"] for source in sources}["default"] is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "something new"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        # As browsers send it without TLS to another machine.
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:9"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_page_of_another_site_changes_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    # A form without fields: no preflight would have asked before.
    answer = client.post(PAUSE, headers=headers)
    check_problem(answer, 403)
    assert not is_paused(client)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, id="our own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="typed by the visitor"),
        pytest.param({"Origin": "http://localhost"}, id="our own page, without TLS"),
    ],
)
def test_everyone_else_may(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(PAUSE, headers=headers).status_code == 200
    assert is_paused(client)


def test_pages_of_other_sites_may_link_here(client: FlaskClient) -> None:
    assert client.get("/docs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
