from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from .conftest import check_problem


def test_page_loads_only_what_its_policy_allows(client: FlaskClient) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?! src=)", answer.text) == []
    assert re.findall(r"style=|<style|https?://", answer.text) == []


def test_page_refers_to_files_that_exist(client: FlaskClient) -> None:
    addresses = re.findall(r'(?:src|href|data-document)="([^"]*)"', client.get("/docs").text)
    assert len(addresses) >= 5
    assert {_status(client, address) for address in addresses} == {200}


def test_page_finds_its_files_behind_a_proxy_with_a_prefix(client: FlaskClient) -> None:
    page = client.get("/docs", environ_overrides={"SCRIPT_NAME": "/queue"}).text
    assert all(
        address.startswith("/queue/")
        for address in re.findall(r'(?:src|href|data-document)="([^"]*)"', page)
    )


def test_swagger_ui_is_cached_and_revalidated(client: FlaskClient) -> None:
    with client.get("/docs/swagger-ui-bundle.js") as first:
        assert first.status_code == 200
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    assert "script-src 'self'" in first.headers["Content-Security-Policy"]
    tag = first.headers["ETag"]
    with client.get("/docs/swagger-ui-bundle.js", headers={"If-None-Match": tag}) as again:
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/docs/", id="a slash too many"),
        pytest.param("/docs/swagger-ui.css/", id="a slash after a file"),
        pytest.param("/docs/nothing.js", id="no such file"),
        pytest.param("/docs/..", id="the folder above"),
        pytest.param("/docs/.", id="the folder itself"),
        pytest.param("/docs/../__init__.py", id="a file above"),
        pytest.param("/docs/..%2f__init__.py", id="a file above, encoded"),
        pytest.param("/docs/%2fetc%2fpasswd", id="an absolute path"),
        pytest.param("/docs/..%5c__init__.py", id="a backslash"),
        pytest.param("/docs/a%00.js", id="NUL"),
        pytest.param("/docs/own/", id="our folder"),
        pytest.param("/docs/own/../docs.py", id="above our folder"),
        pytest.param("/docs/own/docs.js/", id="a slash after our file"),
    ],
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_a_wrong_method_is_a_problem(client: FlaskClient) -> None:
    check_problem(client.post("/docs"), 405)


def _status(client: FlaskClient, address: str) -> int:
    with client.get(address) as answer:  # closes the file that is sent
        return answer.status_code
