"""What a real server answers, and what becomes of each ID."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ingest_app.errors import (
    UpstreamBusy,
    UpstreamRejected,
)
from ingest_app.items import FetchedRecord
from ingest_app.states import RecordOutcome
from tests.support.http_sources import SECRET, at_once, http_source
from tests.support.raw_answers import answers, know_all, outcomes, reply
from tests.support.raw_upstream import Answer, Exchange, Upstream, serving

FETCHED, MISSING, ERROR = RecordOutcome.FETCHED, RecordOutcome.MISSING, RecordOutcome.ERROR

ONE, MANY = "/items/{id}", "/items?ids={ids}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """One that knows every ID."""
    with serving(know_all) as upstream:
        yield upstream


def test_batch_is_one_call_with_ids(upstream: Upstream) -> None:
    records = http_source(upstream.url + MANY).fetch([1, "b", 1], at_once)
    assert [request.target for request in upstream.seen] == ["/items?ids=1,b"]
    assert records == [
        FetchedRecord(1, FETCHED, data={"id": "1"}),
        FetchedRecord("b", FETCHED, data={"id": "b"}),
        FetchedRecord(1, FETCHED, data={"id": "1"}),
    ]


def test_batch_is_a_call_for_each_distinct_id_with_id(upstream: Upstream) -> None:
    records = http_source(upstream.url + ONE).fetch([1, "b", 1], at_once)
    assert [request.target for request in upstream.seen] == ["/items/1", "/items/b"]
    assert outcomes(records) == [(1, FETCHED), ("b", FETCHED), (1, FETCHED)]


def test_body_is_posted_as_json() -> None:
    with serving(reply({"rows": [{"id": 1}]})) as upstream:
        source = http_source(upstream.url, body={"in": "{ids}"}, items="rows")
        records = source.fetch([1, "ä"], at_once)
    (request,) = upstream.seen
    assert (request.method, json.loads(request.body)) == ("POST", {"in": [1, "ä"]})
    assert request.headers["content-type"] == "application/json"
    assert outcomes(records) == [(1, FETCHED), ("ä", MISSING)]


def test_own_headers_come_before_ours(upstream: Upstream) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "accept": "text/csv", "X-Name": "Zoë"}
    http_source(upstream.url + ONE, headers=headers).fetch([1], at_once)
    (request,) = upstream.seen
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["accept"] == "text/csv"
    assert request.headers["x-name"] == "Zoë"
    assert request.headers["user-agent"].startswith("ingest-app/")


def test_netrc_does_not_replace_a_header(
    upstream: Upstream, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    headers = {"Authorization": "Bearer a"}
    http_source(upstream.url + ONE, headers=headers).fetch([1], at_once)
    assert upstream.seen[0].headers["authorization"] == "Bearer a"


def test_cookies_are_not_kept() -> None:
    with serving(reply({}, Set_Cookie="session=1")) as upstream:
        http_source(upstream.url + ONE).fetch([1, 2], at_once)
    assert all("cookie" not in request.headers for request in upstream.seen)


def test_compressed_answer_is_read() -> None:
    packed = gzip.compress(b'{"name": "a"}')
    with serving(reply(packed, Content_Encoding="gzip")) as upstream:
        (record,) = http_source(upstream.url + ONE).fetch([1], at_once)
    assert record.data == {"name": "a"}


def test_id_that_leads_elsewhere_is_an_error_without_a_call(upstream: Upstream) -> None:
    started: list[None] = []
    source = http_source(upstream.url + ONE)
    records = source.fetch(["..", 1, "."], lambda: started.append(None))
    assert outcomes(records) == [("..", ERROR), (1, FETCHED), (".", ERROR)]
    assert ([request.target for request in upstream.seen], len(started)) == (["/items/1"], 1)


def test_call_is_not_said_to_start_where_nothing_is_to_be_sent(upstream: Upstream) -> None:
    started: list[None] = []
    records = http_source(upstream.url + ONE).fetch([".."], lambda: started.append(None))
    assert (outcomes(records), started, upstream.seen) == ([("..", ERROR)], [], [])


@pytest.mark.parametrize("status", [102, 103])
def test_answer_in_advance_is_not_taken_for_the_answer(status: int) -> None:
    def answer(exchange: Exchange) -> None:
        in_advance = b"HTTP/1.1 %d Wait\r\nLink: </style.css>\r\n\r\n" % status
        exchange.wfile.write(in_advance)
        exchange.wfile.flush()
        exchange.server.stopping.wait(0.05)  # so that it comes alone
        know_all(exchange)

    with serving(answer) as upstream:
        records = http_source(upstream.url + ONE).fetch([1, 2, 3], at_once)
    assert [record.data for record in records] == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(reply(b"", 404), MISSING, id="not found"),
        pytest.param(reply(b"", 410), MISSING, id="gone"),
        pytest.param(reply(None), MISSING, id="null"),
        pytest.param(reply(b"", 204), MISSING, id="no content"),
        pytest.param(reply([]), MISSING, id="an empty list"),
        pytest.param(reply(b"", 400), ERROR, id="a bad request"),
        pytest.param(reply(b"", 403), ERROR, id="forbidden"),
        pytest.param(reply(b"", 422), ERROR, id="not valid"),
        pytest.param(reply([{"id": 2}, {"id": 2}]), ERROR, id="two items"),
    ],
)
def test_answer_for_one_id_is_final_for_it_alone(answer: Answer, outcome: RecordOutcome) -> None:
    with serving(answers(by_path={"/items/2": answer})) as upstream:
        records = http_source(upstream.url + ONE).fetch([1, 2, 3], at_once)
    assert outcomes(records) == [(1, FETCHED), (2, outcome), (3, FETCHED)]


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(429, {"Retry_After": "7"}, 7.0, id="too many requests"),
        pytest.param(429, {}, None, id="it does not say for how long"),
        pytest.param(503, {"Retry_After": "7"}, 7.0, id="unavailable for a while"),
        pytest.param(503, {"RateLimit": '"a";r=0;t=7'}, 7.0, id="nothing remains"),
    ],
)
def test_busy_upstream_stops_the_batch(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    busy = reply(b"", status, **headers)
    with serving(answers(by_path={"/items/2": busy, "/items?ids=1,2,3": busy})) as upstream:
        with pytest.raises(UpstreamBusy) as error:
            http_source(upstream.url + ONE).fetch([1, 2, 3], at_once)
        assert error.value.retry_after_seconds == seconds
        assert outcomes(error.value.fetched) == [(1, FETCHED)]
        with pytest.raises(UpstreamBusy):
            http_source(upstream.url + MANY).fetch([1, 2, 3], at_once)
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 414, 422])
def test_refusal_of_a_whole_batch_is_final(status: int) -> None:
    with (
        serving(reply(b"no such thing", status)) as upstream,
        pytest.raises(UpstreamRejected, match=rf"HTTP {status} .*/items: no such thing"),
    ):
        http_source(upstream.url + MANY).fetch([1], at_once)


def test_several_items_with_one_id_are_final() -> None:
    with (
        serving(reply([{"id": 1}, {"id": 1}])) as upstream,
        pytest.raises(UpstreamRejected, match="several items"),
    ):
        http_source(upstream.url + MANY).fetch([1], at_once)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", [ONE, MANY])
def test_redirect_is_not_followed(status: int, where: str) -> None:
    elsewhere = reply(b"", status, Location=f"//other.example/new?key={SECRET}")
    with serving(elsewhere) as upstream, pytest.raises(UpstreamRejected) as error:
        http_source(upstream.url + where).fetch([1], at_once)
    assert "http://other.example/new;" in str(error.value)
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    ("batch_size", "where", "warns"), [(1, ONE, False), (2, ONE, True), (50, MANY, False)]
)
def test_slot_that_is_several_calls_is_warned_of(
    batch_size: int, where: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    http_source("http://localhost" + where, batch_size=batch_size)
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == (["slot_is_several_calls"] if warns else [])
