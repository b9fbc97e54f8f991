"""Clients in this process: one large request, timed, and small ones all the while."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from tests.benchmarks.load import SMALL
from tests.benchmarks.rounds import Figures
from tests.support.service import ROOM_SECONDS, Service

_PROBE_COUNT = 2  # connections of each kind, since one is bound to one of the workers
_PROBE_SECONDS = 0.02  # a request on each, so one of each kind every 10 ms
_JSON = {"Content-Type": "application/json"}


def post(service: Service, body: bytes) -> tuple[float, str]:
    """Submit this JSON; the seconds until the answer, and the ingestion's id."""
    with connected(service) as connection:
        started = time.perf_counter()
        answer = exchange(connection, "POST", "/ingest", body)
        return time.perf_counter() - started, json.loads(answer)["ingestion_id"]


def post_many(service: Service, body: bytes, count: int) -> Sequence[str]:
    """Submit this JSON so many times; the ids of the ingestions."""
    with connected(service) as connection:
        answers = [exchange(connection, "POST", "/ingest", body) for _ in range(count)]
    return [json.loads(answer)["ingestion_id"] for answer in answers]


def get(service: Service, path: str, batch_count: int) -> Figures:
    """Read a status to its end; it must have so many batches."""
    with connected(service) as connection:
        started = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        first = answer.read(1)
        first_seconds = time.perf_counter() - started
        body = first + answer.read()
        whole_seconds = time.perf_counter() - started
    assert answer.status == 200, body[:1_000]
    assert len(json.loads(body)["batches"]) == batch_count
    return {"get_s": whole_seconds, "first_ms": 1000 * first_seconds, "size_mb": len(body) / 1e6}


@contextmanager
def probing(service: Service) -> Iterator[list[float]]:
    """Send small requests all the time; afterwards the list holds how long each was waited for."""
    first_seconds, ingestion_id = post(service, SMALL.encode())
    waits = [first_seconds]
    over = threading.Event()
    kinds = (("GET", f"/status/{ingestion_id}", None), ("POST", "/ingest", SMALL.encode()))
    with ThreadPoolExecutor(_PROBE_COUNT * len(kinds)) as threads:
        probes = [
            threads.submit(_probe, service, kind, over, waits) for kind in kinds * _PROBE_COUNT
        ]
        try:
            yield waits
        finally:
            over.set()
    for probe in probes:
        probe.result()


def _probe(
    service: Service,
    kind: tuple[str, str, bytes | None],
    over: threading.Event,
    waits: list[float],
) -> None:
    with connected(service) as connection:
        while not over.wait(_PROBE_SECONDS):
            started = time.perf_counter()
            exchange(connection, *kind)
            waits.append(time.perf_counter() - started)


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
) -> bytes:
    """The body of the answer, which must be 200."""
    connection.request(method, path, body, _JSON if body else {})
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 200, read[:1_000]
    return read


@contextmanager
def connected(service: Service) -> Iterator[http.client.HTTPConnection]:
    """A connection that is kept alive."""
    address = urlsplit(service.url)
    connection = http.client.HTTPConnection(
        address.hostname, address.port, timeout=2 * ROOM_SECONDS
    )
    with closing(connection):
        yield connection
