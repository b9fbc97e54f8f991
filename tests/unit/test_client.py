"""The client over a network put together: what is repeated, what is believed, what is followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from ingest_app.client import Client
from ingest_app.client_answers import Entry, Forecast, ListedEntry, SourceState
from ingest_app.client_connection import _session_for
from ingest_app.errors import ForeignAnswer, RequestFailed
from tests.support.adapters import BASE_URL, Said, Scripted, session_of
from tests.support.answers import answer

PROBLEM = {"Content-Type": "application/problem+json"}
BUSY = Said(503, b'{"detail": "The database is busy."}', {**PROBLEM, "Retry-After": "7"})
SOURCES = Said(200, b'{"sources": []}')
STORED = Said(200, b'{"ingestion_id": "abc"}')
SILENCE = requests.ConnectionError("no answer")
BODY: Any = b'{"ids": [1]}'


def client_of(*turns: Said | Exception) -> tuple[Client, Scripted, list[float]]:
    """A client, its network, and the pauses it made."""
    adapter, pauses = Scripted(*turns), list[float]()
    return Client(BASE_URL, session=session_of(adapter), sleep=pauses.append), adapter, pauses


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(SILENCE, id="no answer"),
        pytest.param(requests.Timeout(), id="none in time"),
        pytest.param(BUSY, id="a busy database"),
        pytest.param(Said(502, b"<html>"), id="a proxy whose service restarts"),
        pytest.param(Said(429), id="too many requests"),
    ],
)
def test_what_may_pass_is_repeated(failure: Said | Exception) -> None:
    client, adapter, pauses = client_of(failure, failure, SOURCES)
    assert client.sources() == []
    assert (len(adapter.requests), len(pauses)) == (3, 2)


def test_retry_after_is_waited_for() -> None:
    client, _, pauses = client_of(BUSY, SOURCES)
    client.sources()
    assert pauses == [7.0]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Said(404), id="no"),
        pytest.param(Said(500), id="a fault, which comes again"),
        pytest.param(Said(503, headers={"Retry-After": "3600"}), id="longer than anybody waits"),
    ],
)
def test_what_will_not_pass_is_not_repeated(failure: Said) -> None:
    client, adapter, _ = client_of(failure)
    with pytest.raises(RequestFailed) as raised:
        client.sources()
    assert (raised.value.status, len(adapter.requests)) == (failure.status, 1)


def test_repeating_has_an_end() -> None:
    client, _, pauses = client_of(*[SILENCE] * 5)
    with pytest.raises(RequestFailed, match=r"http://service\.test cannot be reached"):
        client.sources()
    assert (len(pauses), sum(pauses) < 10) == (4, True)


def test_submission_with_a_key_is_sent_again_whole_and_without_one_only_once() -> None:
    client, adapter, _ = client_of(SILENCE, STORED)
    assert client.submit(BODY, key='my "key"') == "abc"
    assert adapter.bodies == [BODY, BODY]
    assert [request.headers["Idempotency-Key"] for request in adapter.requests] == [
        r'"my \"key\""'
    ] * 2
    client, adapter, _ = client_of(SILENCE)
    with pytest.raises(RequestFailed):
        client.submit(BODY, key=None)
    assert len(adapter.requests) == 1


def test_problem_is_raised_with_what_it_says() -> None:
    body = {"detail": "Some values are not allowed.", "errors": {"priority": ["No."]}}
    client, _, _ = client_of(Said(422, json.dumps(body).encode(), PROBLEM))
    with pytest.raises(RequestFailed, match="Some values") as raised:
        client.submit(BODY, key="k")
    assert raised.value.errors == {"priority": ["No."]}
    assert raised.value.is_refusal


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        pytest.param(Said(502, b"<html>", {}), "answered 502", id="a page of a proxy"),
        pytest.param(Said(400, b"not JSON", PROBLEM), "answered 400", id="a broken problem"),
        pytest.param(Said(400, b"[]", PROBLEM), "answered 400", id="a problem that is none"),
    ],
)
def test_error_without_a_problem_is_named_by_its_status(said: Said, sentence: str) -> None:
    client, _, _ = client_of(*[said] * 5)
    with pytest.raises(RequestFailed, match=sentence):
        client.sources()


def test_redirect_is_not_followed() -> None:
    elsewhere = Said(302, headers={"Location": "http://elsewhere.test/"})
    client, adapter, _ = client_of(elsewhere)
    with pytest.raises(RequestFailed, match=r"sends on to http://elsewhere\.test/"):
        client.submit(BODY, key="k")
    assert len(adapter.requests) == 1


def test_redirect_to_what_is_no_text_is_of_another_service() -> None:
    client, _, _ = client_of(Said(302, headers={"Location": "\xff"}))
    with pytest.raises(ForeignAnswer):
        client.sources()


def page(ingestion_id: str, link: str) -> Said:
    body = b'{"ingestions": [' + answer(ListedEntry, ingestion_id=ingestion_id) + b"]}"
    return Said(200, body, {"Link": link} if link else {})


def test_pages_are_followed_by_what_they_ask_for_alone() -> None:
    link = '<http://elsewhere.test/ingestions?after=7&limit=1>; rel="next"'
    client, adapter, _ = client_of(page("a", link), page("b", ""))
    found = client.ingestions(status=None, limit=1)
    assert [entry["ingestion_id"] for entry in found] == ["a", "b"]
    assert [request.url for request in adapter.requests] == [
        f"{BASE_URL}/ingestions?forecast=true&limit=1",
        f"{BASE_URL}/ingestions?after=7&limit=1",
    ]


@pytest.mark.parametrize(
    "links",
    [
        pytest.param(["<?after=7>; rel=next"] * 2, id="to itself"),
        pytest.param([f"<?after={n}>; rel=next" for n in (7, 8, 7)], id="round in a circle"),
        pytest.param(["<http://[>; rel=next"], id="to no address"),
    ],
)
def test_pages_that_lead_nowhere_have_an_end(links: list[str]) -> None:
    client, _, _ = client_of(*[page("a", link) for link in links])
    with pytest.raises(ForeignAnswer):
        list(client.ingestions())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b'{"sources": [1]}', id="of another type"),
        pytest.param(b'{"sources": ' + b"[" * 100_000, id="endless nesting"),
        pytest.param(
            b'{"sources": [' + answer(SourceState, interval_seconds=float("nan")) + b"]}",
            id="a number that is none",
        ),
    ],
)
def test_what_answers_but_is_not_the_service_is_noticed(body: bytes) -> None:
    client, _, _ = client_of(Said(200, body))
    with pytest.raises(RequestFailed, match="is not this service"):
        client.sources()


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param({"errors": ["a"]}, id="errors in a list"),
        pytest.param({"errors": {"ids": 5}}, id="errors without sentences"),
        pytest.param({"errors": {"ids": {"0": {"1": {"2": "a"}}}}}, id="errors in errors"),
        pytest.param({"detail": ["a"]}, id="a detail that is no sentence"),
    ],
)
def test_problem_of_another_shape_is_of_another_service(problem: dict[str, Any]) -> None:
    client, adapter, _ = client_of(Said(503, json.dumps(problem).encode(), PROBLEM))
    with pytest.raises(ForeignAnswer):
        client.sources()
    assert len(adapter.requests) == 1


@pytest.mark.parametrize("wish", ["9" * 5_000, "Fri, 31 Dec 99999 23:59:59 GMT", "soon"])
def test_retry_after_that_means_nothing_is_passed_over(wish: str) -> None:
    client, _, pauses = client_of(Said(503, headers={"Retry-After": wish}), SOURCES)
    assert client.sources() == []
    assert pauses == [0.2]


def test_password_of_an_address_is_not_told() -> None:
    adapter = Scripted(*[SILENCE] * 5)
    session = session_of(adapter)
    client = Client("http://me:secret@service.test/below/", session=session, sleep=lambda _: None)
    with pytest.raises(RequestFailed, match=r"http://service\.test/below cannot") as raised:
        client.sources()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("localhost:8000", id="no scheme"),
        pytest.param("ftp://here", id="another"),
        pytest.param("http://", id="no host"),
        pytest.param("http://h:port", id="no port"),
        pytest.param("http://h/?a=1", id="a question"),
        pytest.param("http://a..b:80", id="an empty label"),
        pytest.param(f"http://{'a' * 64}.test", id="one too long"),
        pytest.param("http://*.test", id="a wildcard"),
        pytest.param("http://a\udcff/", id="not UTF-8"),
    ],
)
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Client(url)


@pytest.mark.parametrize(
    ("url", "is_trusted"),
    [
        ("http://localhost:1", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
        ("http://service.test", True),
    ],
)
def test_proxies_of_the_environment_are_for_other_machines(url: str, is_trusted: bool) -> None:
    assert _session_for(url).trust_env is is_trusted


@pytest.mark.parametrize(
    ("call", "shape", "method", "path"),
    [
        pytest.param(lambda c: c.ingestion("a/b"), Entry, "GET", "/ingestions/a%2Fb", id="quoted"),
        pytest.param(
            lambda c: c.forecast("i"), Forecast, "GET", "/ingestions/i/forecast", id="forecast"
        ),
        pytest.param(lambda c: c.cancel("i"), Entry, "POST", "/ingestions/i/cancel", id="cancel"),
        pytest.param(lambda c: c.pause("s"), SourceState, "POST", "/sources/s/pause", id="pause"),
        pytest.param(
            lambda c: c.resume("s"), SourceState, "POST", "/sources/s/resume", id="resume"
        ),
    ],
)
def test_methods_ask_at_their_address(
    call: Callable[[Client], object], shape: Any, method: str, path: str
) -> None:
    client, adapter, _ = client_of(Said(200, answer(shape)))
    call(client)
    (request,) = adapter.requests
    assert (request.method, request.path_url) == (method, path)
