"""Servers that lie, drip, break off or refuse, and what is said about it."""

from __future__ import annotations

import gzip
import logging
from urllib.parse import quote, unquote

import pytest

from ingest_app.errors import (
    UpstreamError,
    UpstreamRejected,
    UpstreamUnreachable,
)
from ingest_app.states import RecordOutcome
from tests.support.http_sources import SECRET, at_once, http_source
from tests.support.raw_answers import answers, know_all, outcomes, raw, reply
from tests.support.raw_upstream import Answer, Exchange, serving

FETCHED = RecordOutcome.FETCHED
ONE, MANY = "/items/{id}", "/items?ids={ids}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


FAULTS = [
    pytest.param(reply(b"", 500), "HTTP 500 Internal Server Error", id="a server's error"),
    pytest.param(reply(b"", 503), "HTTP 503 Service Unavailable", id="unavailable, no word when"),
    pytest.param(reply(b"", 408), "HTTP 408", id="too slow for it, this time"),
    pytest.param(reply(b"<p>", content_type="text/html"), "not JSON", id="HTML"),
    pytest.param(reply(b'{"id": NaN}'), "not JSON", id="NaN"),
    pytest.param(reply(b""), "empty", id="nothing"),
    pytest.param(reply(b"{}", Content_Length=100), "shorter than promised", id="a lie"),
    pytest.param(reply(b"{}", Content_Encoding="gzip"), "decompressed", id="not compressed"),
    pytest.param(
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        "shorter than promised",
        id="half a chunk",
    ),
    pytest.param(reply({"a": "b" * 2_000}), "more than 1000 bytes", id="too large"),
    pytest.param(
        reply(gzip.compress(b" " * 10**7), Content_Encoding="gzip"),
        "more than 1000 bytes",
        id="small, but large when decompressed",
    ),
]


@pytest.mark.parametrize(("answer", "words"), FAULTS)
@pytest.mark.parametrize("where", [ONE, MANY])
def test_unusable_answer_is_a_failure(answer: Answer, words: str, where: str) -> None:
    with serving(answer) as upstream:
        source = http_source(upstream.url + where, max_answer_bytes=1_000)
        with pytest.raises(UpstreamError, match=words) as error:
            source.fetch([1], at_once)
    assert type(error.value) is UpstreamError
    assert error.value.fetched == ()


@pytest.mark.parametrize(("answer", "words"), FAULTS)
def test_unusable_answer_for_one_id_does_not_stop_the_others(answer: Answer, words: str) -> None:
    with serving(answers(by_path={"/items/2": answer})) as upstream:
        source = http_source(upstream.url + ONE, max_answer_bytes=1_000)
        with pytest.raises(UpstreamError, match=words) as error:
            source.fetch([1, 2, 3, 1], at_once)
    assert outcomes(error.value.fetched) == [(1, FETCHED), (3, FETCHED), (1, FETCHED)]


BROKEN = [
    pytest.param(raw(b""), "closed without an answer", id="closed at once"),
    pytest.param(raw(b"SSH-2.0-OpenSSH\r\n"), "not HTTP", id="another protocol"),
    pytest.param(
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 100\r\n\r\n{}"),
        "not HTTP",
        id="two lengths",
    ),
    pytest.param(lambda exchange: exchange.drip(b""), "no answer in time", id="silence"),
    pytest.param(lambda exchange: exchange.drip(b"H"), "no answer in time", id="a dripping head"),
]


@pytest.mark.parametrize(("answer", "words"), BROKEN)
def test_no_answer_stops_the_batch_and_keeps_what_was_fetched(answer: Answer, words: str) -> None:
    with serving(answers(by_path={"/items/2": answer})) as upstream:
        source = http_source(upstream.url + ONE, timeout_seconds=0.3)
        with pytest.raises(UpstreamUnreachable, match=words) as error:
            source.fetch([1, 2, 3], at_once)
    assert outcomes(error.value.fetched) == [(1, FETCHED)]
    assert [request.target for request in upstream.seen] == ["/items/1", "/items/2"]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="of known length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="until it ends"),
        pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n", id="of an error"),
    ],
)
def test_body_that_drips_ends_in_time(head: bytes) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.wfile.write(head)
        exchange.drip(b" ")

    with serving(drip) as upstream:
        source = http_source(upstream.url + MANY, timeout_seconds=0.3)
        with pytest.raises(UpstreamError, match=r"no answer in time|HTTP 500 Oh"):
            source.fetch([1], at_once)
        assert not upstream.stopping.is_set()


@pytest.mark.parametrize("where", [ONE, MANY])
def test_refused_connection_is_a_failure(where: str) -> None:
    with serving(know_all) as upstream:
        url = upstream.url
    with pytest.raises(UpstreamUnreachable, match="connection refused"):
        http_source(url + where).fetch([1], at_once)


@pytest.mark.parametrize(
    ("content_type", "body", "shown"),
    [
        pytest.param("application/json", b'{"detail":\n "no"}', ': {"detail": "no"}', id="JSON"),
        pytest.param("application/problem+json", b"{}", ": {}", id="a problem"),
        pytest.param("text/plain; charset=utf-8", b"a\n\nb", ": a b", id="text"),
        pytest.param("text/html", b"<html>", ".", id="nobody reads HTML in a log"),
        pytest.param("application/octet-stream", b"\x00", ".", id="nor bytes"),
    ],
)
def test_refusal_is_quoted_in_one_line(content_type: str, body: bytes, shown: str) -> None:
    with (
        serving(reply(body, 400, content_type)) as upstream,
        pytest.raises(UpstreamRejected) as error,
    ):
        http_source(upstream.url + MANY).fetch([1], at_once)
    assert str(error.value) == f"HTTP 400 Bad Request from GET {upstream.url}/items{shown}"


def echo(exchange: Exchange) -> None:
    exchange.reply({"headers": dict(exchange.headers), "path": exchange.path}, 400)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(echo, "HTTP 400", id="a refusal that repeats the request"),
        pytest.param(reply(b"", 302, Location=f"/{SECRET}"), "HTTP 302", id="a redirect to one"),
        *FAULTS,
        *BROKEN,
    ],
)
def test_secrets_are_nowhere(answer: Answer, words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answer) as upstream:
        source = http_source(
            upstream.url.replace("//", f"//me:{quote(SECRET, safe='')}@") + f"/{SECRET}" + MANY,
            headers={"X-Key": SECRET},
            query={"token": SECRET},
            timeout_seconds=0.3,
            max_answer_bytes=1_000,
        )
        try:
            source.fetch([1], at_once)
        except UpstreamError:
            logging.getLogger("test").debug("fetch_failed", exc_info=True)
    assert words in caplog.text
    shown = unquote(caplog.text + repr(source) + repr(vars(source)["_wire"]))
    assert not [part for part in SECRET.split("/") if part in shown]
