"""Limits over several workers of a real gunicorn: one count for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from ingest_app.access.keys import create_key
from ingest_app.clock import SystemClock
from ingest_app.states import Role
from tests.support.queues import opened
from tests.support.service import Service, gunicorn, instance_path, running

pytestmark = pytest.mark.e2e

LIMIT = 20


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, gunicorn("--workers", "3"), dispatch=False) as service:
        service.wait_for_workers(3)
        yield service


@pytest.fixture
def key(service: Service, tmp_path: Path) -> str:
    assert service
    with opened(instance_path(tmp_path) / "ingest.db") as database:
        clock = SystemClock()
        return create_key(
            database, "anna", Role.READER, clock=clock, max_requests_per_minute=LIMIT
        ).text


def ask_often(service: Service, key: str, count: int) -> list[requests.Response]:
    """Answers to so many requests, several at a time and each on a connection of its own."""
    headers = {"Authorization": f"Bearer {key}"}
    with ThreadPoolExecutor(6) as pool:
        return list(
            pool.map(
                lambda _: requests.get(f"{service.url}/sources", headers=headers, timeout=30),
                range(count),
            )
        )


def test_workers_together_answer_a_key_as_often_as_it_may_ask(service: Service, key: str) -> None:
    answers = ask_often(service, key, 3 * LIMIT)
    # On a machine that is very busy one may be let through uncounted, and says nothing of limits.
    counted = [answer for answer in answers if "RateLimit" in answer.headers]
    assert [answer.status_code for answer in counted].count(200) == LIMIT
    assert {answer.status_code for answer in counted} == {200, 429}


def test_workers_together_look_at_ten_keys_that_are_not_valid(service: Service, key: str) -> None:
    statuses = [answer.status_code for answer in ask_often(service, "nonsense", 25)]
    # As above; what is let through is logged like what is counted.
    assert statuses.count(401) == service.log.count("key_refused")
    assert statuses.count(429) >= 25 - 10 - 2
    assert requests.get(
        f"{service.url}/sources", headers={"Authorization": f"Bearer {key}"}, timeout=30
    ).ok
