"""More than sensible clients send: dispatching keeps its pace, memory its bounds, answers come."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import statistics
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.crowd import idle_connections, slow_senders
from tests.support.promises import verified
from tests.support.raw_requests import address_of, exchange
from tests.support.service import Service, gunicorn, running, until

pytestmark = [pytest.mark.faults, pytest.mark.alone]

INTERVAL_SECONDS = 0.2
SETTINGS = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0}
IDLE_COUNT = 1_500
SLOW_COUNT = 200
GARBAGE_COUNT = 100
MOST_MEMORY_BYTES = 500 * 1024 * 1024
"""Of a worker at its peak: some 80 MB to begin with, and a million IDs as text, as objects, as
batches and as the one array that is bound, each once.
"""

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_RANDOM = random.Random(20)


def test_idle_connections_do_not_slow_dispatching_and_are_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, gunicorn("--workers", "2"), **SETTINGS) as service:
        before = _start_backlog(service, batch_count=40)
        with idle_connections(service.url, IDLE_COUNT):
            until(lambda: _dispatch_count(service.database) >= 30, "30 dispatches")
        _check_serves_a_normal_client(service)
        _check_kept_its_pace(service, before)


def test_slow_senders_do_not_slow_dispatching_and_are_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, gunicorn("--workers", "2"), **SETTINGS) as service:
        before = _start_backlog(service, batch_count=40)
        with slow_senders(service.url, SLOW_COUNT):
            until(lambda: _dispatch_count(service.database) >= 30, "30 dispatches")
        _check_serves_a_normal_client(service)
        _check_kept_its_pace(service, before)


def test_garbage_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with running(tmp_path, gunicorn("--workers", "2"), **SETTINGS) as service:
        before = _start_backlog(service, batch_count=40)
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda body: _post(service, body), _garbage()))
            # What is no HTTP at all may be answered or not, but the connection is closed.
            address = address_of(service)
            list(clients.map(lambda body: exchange(address, body), _garbage()))
        assert len(answers) == GARBAGE_COUNT
        assert {answer[:10] for answer in answers} <= {b"HTTP/1.1 4"}
        assert _ingestion_count(service) == 1
        assert "Traceback" not in service.log
        _check_serves_a_normal_client(service)
        _check_kept_its_pace(service, before)


def test_a_million_ids_in_one_body_are_taken_in_within_bounds(tmp_path: Path) -> None:
    with running(tmp_path, gunicorn("--workers", "2"), **SETTINGS) as service:
        before = _start_backlog(service, batch_count=40)
        million = service.ingest(range(1_000_000), "LOW")
        page = service.get(f"/status/{million}?limit=10").json()
        assert page["status"] == "yet_to_start"
        _check_serves_a_normal_client(service)
        _check_kept_its_pace(service, before)


def _start_backlog(service: Service, batch_count: int) -> set[int]:
    """Give it work for a while; the processes that do it."""
    service.ingest(range(3 * batch_count), "HIGH")
    service.wait_for_dispatches(1)
    return service.wait_for_workers(2)


def _check_serves_a_normal_client(service: Service) -> None:
    ingestion_id = service.ingest(["a", "b", "c"], "LOW")
    assert [batch["ids"] for batch in service.status(ingestion_id)["batches"]] == [["a", "b", "c"]]
    service.wait_until_ready()


def _check_kept_its_pace(service: Service, workers: set[int]) -> None:
    """The same processes, small enough, have made their calls close to the interval apart."""
    until(lambda: _high_is_done(service.database), "the backlog is done")
    assert service.worker_pids() == workers
    assert max(map(_peak_bytes, workers)) < MOST_MEMORY_BYTES
    gaps = _gaps(service.database)
    assert min(gaps) >= INTERVAL_SECONDS
    assert statistics.median(gaps) < 1.1 * INTERVAL_SECONDS
    verified(service.database)


def _peak_bytes(pid: int) -> int:
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    assert found
    return 1024 * int(found.group(1))


def _post(service: Service, body: bytes) -> bytes:
    head = (
        "POST /ingest HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return exchange(address_of(service), head.encode() + body)


def _garbage() -> list[bytes]:
    whole = json.dumps({"ids": list(range(300)), "priority": "HIGH"}).encode()
    return [
        part
        for _ in range(GARBAGE_COUNT // 4)
        for part in (
            _RANDOM.randbytes(_RANDOM.randrange(1, 4_000)),
            whole[: _RANDOM.randrange(1, len(whole) - 1)],
            b"[" * _RANDOM.randrange(1, 100_000),
            b'{"ids": [' + b"9" * _RANDOM.randrange(20, 20_000) + b'], "priority": "HIGH"}',
        )
    ]


def _gaps(database: Path) -> list[float]:
    # Not the whole ledger: it would read a third of a million batches.
    query = "SELECT dispatched_boot_seconds FROM dispatches ORDER BY 1"
    # A call that would have been too late was not made, and has no time.
    times = [row[0] for row in _rows(database, query) if row[0] is not None]
    return [later - earlier for earlier, later in pairwise(times)]


def _dispatch_count(database: Path) -> int:
    return int(_rows(database, "SELECT count(*) FROM dispatches")[0][0])


def _high_is_done(database: Path) -> bool:
    query = "SELECT count(*) FROM batches WHERE priority_rank = 0 AND status <> 'completed'"
    return bool(_rows(database, query)[0][0] == 0)


def _ingestion_count(service: Service) -> int:
    return int(_rows(service.database, "SELECT count(*) FROM ingestions")[0][0])


def _rows(database: Path, query: str) -> list[tuple[float, ...]]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
