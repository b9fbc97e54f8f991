"""When a call leaves, over which connection, by way of which proxy, and to whom."""

from __future__ import annotations

import errno
import gzip
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
import trustme

from ingest_app.errors import DatabaseBusy, SettingsError, SlotTaken, UpstreamUnreachable
from ingest_app.sources import connections
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.http_sources import at_once, http_source
from tests.support.proxies import forwarding
from tests.support.raw_upstream import Exchange, Leave, Upstream, serving

ONE = "/items/{id}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serving(say_yes) as upstream:
        yield upstream


@pytest.fixture
def tls_upstream(authority: trustme.CA) -> Iterator[Upstream]:
    with serving(say_yes, tls_of(authority, "localhost")) as upstream:
        yield upstream


def tls_of(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def say_yes(exchange: Exchange) -> None:
    exchange.reply({"id": "yes"})


def connection_count(upstream: Upstream) -> int:
    return len({request.connection for request in upstream.seen})


def test_call_leaves_when_the_connection_stands(upstream: Upstream) -> None:
    leave = Leave(upstream)
    http_source(upstream.url + ONE).fetch([1], leave)
    assert leave.calls == [("connected", "start")]
    assert upstream.events == ["connected", "start", "request"]


def test_call_leaves_when_the_handshake_is_done(tls_upstream: Upstream, ca_file: str) -> None:
    http_source(tls_upstream.url + ONE, ca_file=ca_file).fetch([1], Leave(tls_upstream))
    assert tls_upstream.events == ["connected", "start", "request"]


def test_call_by_way_of_a_proxy_leaves_when_the_proxy_is_connected(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:word@"))
        http_source(upstream.url + ONE).fetch([1], Leave(proxy))
    assert proxy.events == ["connected", "start", "request"]
    (request,) = proxy.seen
    assert request.target == f"{upstream.url}/items/1"
    assert request.headers["proxy-authorization"].startswith("Basic ")


def test_call_through_a_tunnel_leaves_when_the_handshake_is_done(
    tls_upstream: Upstream, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        headers = {"Authorization": "Bearer a"}
        source = http_source(tls_upstream.url + ONE, ca_file=ca_file, headers=headers)
        source.fetch([1], Leave(tls_upstream))
        (request,) = proxy.seen
        assert (request.method, "authorization" in request.headers) == ("CONNECT", False)
        source.fetch([2], at_once)
        assert len(proxy.seen) == 1
        tls_upstream.hang_up()
    assert tls_upstream.events == ["connected", "start", "request", "request"]


def test_only_the_first_call_of_a_batch_asks_for_leave(upstream: Upstream) -> None:
    leave = Leave(upstream)
    http_source(upstream.url + ONE).fetch([1, 2, 3], leave)
    assert upstream.events == ["connected", "start", "request", "request", "request"]


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param(SlotTaken(1), id="the slot is gone"),
        pytest.param(DatabaseBusy("busy"), id="the slot could not be moved"),
        pytest.param(OSError("disk"), id="what urllib3 would take for a broken connection"),
        pytest.param(OSError(errno.ECONNRESET, "reset"), id="what it would pass over"),
        pytest.param(BrokenPipeError(), id="that too"),
        pytest.param(TimeoutError(), id="what it would take for a late answer"),
        pytest.param(HTTPException(), id="what it would take for a bad answer"),
        pytest.param(ValueError("bad"), id="what requests would take for a bad URL"),
        pytest.param(KeyboardInterrupt(), id="a person who has had enough"),
    ],
)
def test_what_start_raises_arrives_unchanged_and_nothing_is_sent(
    upstream: Upstream, reason: BaseException
) -> None:
    def refuse() -> None:
        Leave(upstream)()
        raise reason

    with pytest.raises(type(reason)) as raised:
        http_source(upstream.url + ONE).fetch([1, 2], refuse)
    assert raised.value is reason
    # By then it has read all that ever came.
    assert upstream.disconnected.wait(TIMEOUT_SECONDS)
    assert upstream.events == ["connected", "start"]


def test_start_is_not_called_without_a_connection() -> None:
    with serving(say_yes) as upstream:
        url = upstream.url
    started: list[None] = []
    with pytest.raises(UpstreamUnreachable):
        http_source(url + ONE).fetch([1], lambda: started.append(None))
    assert started == []


def test_time_in_which_start_waits_is_not_the_upstreams(upstream: Upstream) -> None:
    def wait_for_the_slot() -> None:
        threading.Event().wait(0.5)

    source = http_source(upstream.url + ONE, timeout_seconds=0.2)
    (record,) = source.fetch([1], wait_for_the_slot)
    assert record.data == {"id": "yes"}


def test_connection_is_used_again(upstream: Upstream) -> None:
    source = http_source(upstream.url + ONE)
    for item in range(5):
        source.fetch([item], at_once)
    assert connection_count(upstream) == 1


@pytest.mark.parametrize("status", [200, 404, 400])
def test_connection_is_used_again_within_a_batch_whatever_the_answers(status: int) -> None:
    with serving(lambda exchange: exchange.reply({"id": "yes"}, status)) as upstream:
        http_source(upstream.url + ONE).fetch([1, 2, 3], at_once)
        assert connection_count(upstream) == 1


def test_as_many_connections_are_kept_as_batches_may_be_in_flight() -> None:
    together = threading.Barrier(4)

    def answer_together(exchange: Exchange) -> None:
        together.wait(TIMEOUT_SECONDS)
        say_yes(exchange)

    with serving(answer_together) as upstream, ThreadPoolExecutor(4) as threads:
        source = http_source(upstream.url + ONE, max_in_flight=4)
        for _ in range(3):
            list(threads.map(lambda item: source.fetch([item], at_once), range(4)))
        assert (len(upstream.seen), connection_count(upstream)) == (12, 4)


def test_connection_that_was_idle_for_long_is_not_used_again(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LONGEST_IDLE_SECONDS", 0.0)
    source = http_source(upstream.url + ONE)
    source.fetch([1], at_once)
    source.fetch([2], at_once)
    assert connection_count(upstream) == 2


def say_yes_and_vanish(exchange: Exchange) -> None:
    say_yes(exchange)
    exchange.close_connection = True


def test_connection_that_the_upstream_closed_meanwhile_costs_no_call() -> None:
    with serving(say_yes_and_vanish) as upstream:
        source = http_source(upstream.url + ONE)
        source.fetch([1], at_once)
        assert upstream.disconnected.wait(TIMEOUT_SECONDS)
        source.fetch([2], at_once)
        assert (len(upstream.seen), connection_count(upstream)) == (2, 2)


def say_yes_and_close(exchange: Exchange) -> None:
    exchange.reply({"id": "yes"}, Connection="close")


def say_yes_without_a_length(exchange: Exchange) -> None:
    exchange.raw(b'HTTP/1.0 200 OK\r\n\r\n{"id": "yes"}')


@pytest.mark.parametrize("answer", [say_yes_and_close, say_yes_without_a_length])
def test_connection_that_the_upstream_closes_is_read_to_its_end(
    answer: Callable[[Exchange], None], authority: trustme.CA, ca_file: str
) -> None:
    for context in (None, tls_of(authority, "localhost")):
        with serving(answer, context) as upstream:
            records = http_source(upstream.url + ONE, ca_file=ca_file if context else None).fetch(
                [1, 2], at_once
            )
            assert [record.data for record in records] == [{"id": "yes"}] * 2
            assert connection_count(upstream) == 2


def test_compressed_bomb_does_not_explode() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with serving(lambda exchange: exchange.reply(bomb, Content_Encoding="gzip")) as upstream:
        source = http_source(upstream.url + "/{ids}", max_answer_bytes=1_000_000)
        tracemalloc.start()
        try:
            with pytest.raises(Exception, match="more than 1000000 bytes"):
                source.fetch([1], at_once)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_certificate_is_verified_unless_told_otherwise(tls_upstream: Upstream) -> None:
    with pytest.raises(UpstreamUnreachable, match="the certificate was not accepted"):
        http_source(tls_upstream.url + ONE).fetch([1], at_once)
    assert tls_upstream.seen == []


def test_certificate_for_another_host_is_not_accepted(authority: trustme.CA, ca_file: str) -> None:
    with (
        serving(say_yes, tls_of(authority, "other.example")) as upstream,
        pytest.raises(UpstreamUnreachable, match="not valid for 'localhost'"),
    ):
        http_source(upstream.url + ONE, ca_file=ca_file).fetch([1], at_once)
    assert upstream.seen == []


def test_without_verification_any_certificate_will_do_and_the_log_says_so(
    tls_upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    source = http_source(tls_upstream.url + ONE, verify_tls=False)
    assert [getattr(record, "event", "") for record in caplog.records] == ["tls_not_verified"]
    (record,) = source.fetch([1], at_once)
    assert record.data == {"id": "yes"}


def test_certificates_are_read_once(
    tls_upstream: Upstream, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    source = http_source(tls_upstream.url + ONE, ca_file=str(file))
    file.unlink()
    source.fetch([1], at_once)


def test_proxy_is_not_used_for_hosts_that_are_exempt(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("NO_PROXY", "localhost")
    http_source(upstream.url + ONE).fetch([1], at_once)
    assert len(upstream.seen) == 1


def test_proxy_that_does_not_answer_is_named_without_its_password(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding() as proxy:
        address = proxy.url.replace("//", "//me:t0ps3cret@")
    monkeypatch.setenv("HTTP_PROXY", address)
    with pytest.raises(UpstreamUnreachable) as error:
        http_source(upstream.url + ONE).fetch([1], at_once)
    assert str(error.value) == f"GET {upstream.url}/items/1: the proxy: connection refused."


def test_proxy_that_would_not_ask_for_leave_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(SettingsError, match="SOCKS"):
        http_source("http://host.example" + ONE)
