from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from .conftest import check_problem

STATIC = Path(__file__).parents[2] / "ingest_app" / "dashboard" / "static"
NO_INGESTION = "a" * 24
PAGES = [
    pytest.param("/", id="overview"),
    pytest.param(f"/ui/ingestions/{NO_INGESTION}", id="one ingestion"),
    pytest.param("/ui/submit", id="form"),
]
ADDRESS = re.compile(r'(?:src|href)="([^"#]+)"')


def own_scripts() -> Iterator[Path]:
    return (path for path in STATIC.rglob("*.js") if path.parent.name != "vendor")


@pytest.mark.parametrize("path", PAGES)
def test_page_holds_nothing_that_its_policy_refuses(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]* src=)", answer.text) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|https?://", answer.text) == []


@pytest.mark.parametrize("path", PAGES)
def test_page_refers_to_addresses_that_exist(client: FlaskClient, path: str) -> None:
    addresses = set(ADDRESS.findall(client.get(path).text))
    assert len(addresses) >= 8
    assert {address: _status(client, address) for address in addresses} == dict.fromkeys(
        addresses, 200
    )


@pytest.mark.parametrize("path", PAGES)
def test_page_finds_everything_behind_a_proxy_with_a_prefix(client: FlaskClient, path: str) -> None:
    page = client.get(path, environ_overrides={"SCRIPT_NAME": "/queue"}).text
    assert all(address.startswith("/queue/") for address in ADDRESS.findall(page))
    assert 'data-base="/queue"' in page


@pytest.mark.parametrize("path", PAGES)
def test_page_says_what_to_do_without_scripts(client: FlaskClient, path: str) -> None:
    noscript = re.search(r"<noscript>(.*?)</noscript>", client.get(path).text, re.S)
    assert noscript is not None
    assert "/docs" in noscript[1]


@pytest.mark.parametrize("path", PAGES)
def test_only_reading_is_allowed(client: FlaskClient, path: str) -> None:
    check_problem(client.post(path), 405)


def test_an_id_in_the_address_is_only_text(client: FlaskClient) -> None:
    page = client.get("/ui/ingestions/%22%3E%3Cscript%3E1%3C%2Fscript%3E")
    assert page.status_code == 404  # a slash is no part of an id
    page = client.get("/ui/ingestions/%22%3E%3Cscript%3E")
    assert "<script>" not in page.text


def test_form_knows_how_many_ids_may_be_submitted(client: FlaskClient) -> None:
    assert 'data-max-ids="20"' in client.get("/ui/submit").text


def test_static_files_are_revalidated_under_the_same_policy(client: FlaskClient) -> None:
    with client.get("/ui/static/api.js") as first:
        assert first.status_code == 200
    assert first.headers["Cache-Control"] == "no-cache"
    # A worker takes its policy from here, not from the page.
    assert "script-src 'self'" in first.headers["Content-Security-Policy"]
    tag = first.headers["ETag"]
    with client.get("/ui/static/api.js", headers={"If-None-Match": tag}) as again:
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/ui/static/", id="the folder itself"),
        pytest.param("/ui/static/nothing.js", id="no such file"),
        pytest.param("/ui/static/../pages.py", id="a file above"),
        pytest.param("/ui/static/..%2fpages.py", id="a file above, encoded"),
        pytest.param("/ui/static/css/../../pages.py", id="above it, from a folder"),
        pytest.param("/ui/static/a%00.js", id="NUL"),
        pytest.param("/ui/", id="no page"),
        pytest.param("/ui/ingestions/", id="no id"),
    ],
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_modules_import_files_that_exist() -> None:
    imports = [
        (script.parent / address).resolve()
        for script in own_scripts()
        for address in re.findall(r'(?:from |new URL\()"([^"]+)"', script.read_text())
    ]
    assert len(imports) > 50
    assert [path for path in imports if not path.is_file()] == []


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        pytest.param(
            r"\bfetch\(|XMLHttpRequest|sendBeacon", {"api.js"}, id="one place for requests"
        ),
        pytest.param(r"innerHTML|outerHTML|insertAdjacentHTML", set(), id="text, never markup"),
        pytest.param(r"\beval\(|new Function|setAttribute\(\"style\"", set(), id="the policy"),
        pytest.param(r"localStorage|sessionStorage|document\.cookie", set(), id="nothing is kept"),
    ],
)
def test_modules_keep_to_the_rules(pattern: str, allowed: set[str]) -> None:
    found = {script.name for script in own_scripts() if re.search(pattern, script.read_text())}
    assert found == allowed


def test_vendored_files_are_listed_with_their_versions() -> None:
    listed = (STATIC / "vendor" / "VENDORED.txt").read_text()
    for path in (STATIC / "vendor").iterdir():
        assert path.name in {*listed.replace(",", " ").split(), "VENDORED.txt"}
    for name, text in (("pico.min.css", "v2.1.1"), ("uPlot.iife.min.js", "v1.6.32")):
        assert text in (STATIC / "vendor" / name).read_text()
        assert text.removeprefix("v") in listed


def _status(client: FlaskClient, address: str) -> int:
    with client.get(address) as answer:  # closes the file that is sent
        return answer.status_code
