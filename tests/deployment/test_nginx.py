"""The proposed nginx in front of the real service: large, slow, streamed, and who is asking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from tests.support.service import Service, gunicorn, running, until

from .conftest import NAME, Front, nginx_before

pytestmark = pytest.mark.deployment

QUICK = {"interval_seconds": 0, "simulated_latency_seconds": 0, "batch_size": 1000}
OPEN = {"allow_anonymous": "true"}
THREAD_COUNT = 8
ELSEWHERE = "127.0.0.2"
"""Also this machine's, and not the proxy's."""


@contextmanager
def telling(folder: Path, **settings: object) -> Iterator[Service]:
    """A service that tells at /seen what it knows of who asks."""
    command = [*gunicorn("--workers", "1")[:-1], "tests.support.telling_app:app"]
    with running(folder, command, **OPEN, **settings) as service:
        yield service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that trusts its proxy."""
    folder = tmp_path_factory.mktemp("service")
    with telling(folder, trusted_proxy_count=1, **QUICK) as service:
        yield service


@pytest.fixture(scope="module")
def front(
    service: Service, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with nginx_before(service, tmp_path_factory.mktemp("front") / "nginx", authority) as front:
        yield front


def test_a_million_ids_go_in_and_their_status_comes_out_whole(front: Front) -> None:
    ids = list(range(1_000_000))
    body = json.dumps({"ids": ids, "priority": "LOW"}).encode()
    answer, told = front.ask("/ingest", body=body)
    assert answer.status == 200
    answer, told = front.ask(f"/status/{json.loads(told)['ingestion_id']}")
    batches = json.loads(told)["batches"]
    assert [item for batch in batches for item in batch["ids"]] == ids


def test_stream_of_records_comes_out_whole(front: Front) -> None:
    ids = [f"item-{number}" for number in range(20_000)]
    body = json.dumps({"ids": ids, "priority": "HIGH"}).encode()
    _, told = front.ask("/ingest", body=body)
    path = f"/ingestions/{json.loads(told)['ingestion_id']}"
    until(lambda: json.loads(front.ask(path)[1])["status"] == "completed", "its records")
    answer, streamed = front.ask(f"{path}/records", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in streamed.splitlines()] == ids


def test_stream_that_breaks_off_is_an_error_and_no_short_file(front: Front) -> None:
    with pytest.raises(IncompleteRead):
        front.ask("/broken")


def test_what_is_too_large_is_refused_by_the_service_with_a_reason(front: Front) -> None:
    answer, told = front.ask("/ingest", body=b" " * (32 * 1024**2 + 1))
    assert answer.status == 413
    assert json.loads(told)["detail"]


def test_metrics_can_be_closed_to_all_that_comes_through_nginx(
    service: Service, front: Front, authority: trustme.CA, tmp_path: Path
) -> None:
    assert front.ask("/metrics")[0].status == 200
    with nginx_before(service, tmp_path / "nginx", authority, metrics_closed=True) as closed:
        assert closed.ask("/metrics")[0].status == 403
        assert closed.ask("/healthz")[0].status == 200


def test_plain_http_leads_to_https(front: Front) -> None:
    connection = HTTPConnection("127.0.0.1", front.plain_port)
    connection.request("GET", "/sources?x=1", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}/sources?x=1")
    connection.close()


def test_slow_clients_hold_no_thread_of_the_service(front: Front, service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(2 * THREAD_COUNT):
            _send_half(stack, front.connect())
        assert front.ask("/healthz")[0].status == 200
    # The negative control: without nginx they do.
    with ExitStack() as stack:
        netloc = urlsplit(service.url).netloc
        for _ in range(THREAD_COUNT):
            _send_half(stack, HTTPConnection(netloc))
        kept_waiting = HTTPConnection(netloc, timeout=1.0)
        stack.callback(kept_waiting.close)
        kept_waiting.request("GET", "/healthz")
        with pytest.raises(TimeoutError):
            kept_waiting.getresponse()


def _send_half(stack: ExitStack, connection: HTTPConnection) -> None:
    stack.callback(connection.close)
    connection.putrequest("POST", "/ingest", skip_host=True)
    connection.putheader("Host", NAME)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"ids": [1')


def test_trusted_proxy_tells_who_asks_and_a_client_cannot(front: Front) -> None:
    names = ("X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-Host")
    _, told = front.ask("/seen", address=ELSEWHERE, headers=dict.fromkeys(names, "6.6.6.6"))
    assert json.loads(told) == {
        "address": ELSEWHERE,
        "scheme": "https",
        "host": f"{NAME}:{front.secure_port}",
        "prefix": "",
    }


def test_proxy_that_is_not_trusted_is_all_that_is_seen(
    tmp_path: Path, authority: trustme.CA
) -> None:
    with (
        telling(tmp_path, **QUICK) as service,
        nginx_before(service, tmp_path / "nginx", authority, under_a_path=True) as front,
    ):
        _, told = front.ask("/queue/seen", address=ELSEWHERE)
        seen = json.loads(told)
        assert (seen["address"], seen["scheme"], seen["prefix"]) == ("127.0.0.1", "http", "")


def test_page_under_a_path_finds_everything_there(
    service: Service, tmp_path: Path, authority: trustme.CA
) -> None:
    with nginx_before(service, tmp_path / "nginx", authority, under_a_path=True) as front:
        _, page = front.ask("/queue/")
        assert b'href="/queue/ui/' in page
        assert b'href="/ui/' not in page
        answer, _ = front.ask("/queue/ui/static/api.js")
        assert answer.status == 200
        body = json.dumps({"ids": [1], "priority": "LOW"}).encode()
        answer, _ = front.ask("/queue/ingest", body=body)
        assert answer.headers["Location"].startswith("/queue/status/")
