"""What docs/webhooks.md shows works: its settings, its program and its queries are run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.deliveries import LEASE_SECONDS, LONGEST_DELAY_SECONDS
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.queue.retrying import BREAKER_FAILURE_COUNT
from ingest_app.queue.retrying import LONGEST_DELAY_SECONDS as LONGEST_PAUSE
from ingest_app.settings import load_settings
from ingest_app.sources import options_of
from ingest_app.states import BatchStatus
from ingest_app.webhook_settings import new_secret, signing_keys
from ingest_app.webhooks.endpoint import TIMEOUT_SECONDS
from ingest_app.webhooks.message import message_of
from ingest_app.webhooks.policy import FIRST_DELAY_SECONDS, MAX_ATTEMPTS
from tests.support.queues import Queue

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text()
SECRET = new_secret()

Verified = Callable[[dict[str, str], bytes], Any]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Verified:
    """The function of the page."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    (program,) = blocks("python")
    names: dict[str, Any] = {}
    exec(program, names)
    function: Verified = names["verified"]
    return function


MESSAGE = message_of("a" * 24, BatchStatus.FAILED, datetime.now(UTC), {"source": "Größe"})


def headers_of(secret: str, *, age_seconds: float = 0.0) -> dict[str, str]:
    sent_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return MESSAGE.headers(signing_keys(secret), sent_at)


def test_program_of_the_page_believes_the_service(verified: Verified) -> None:
    both = headers_of(f"{new_secret()} {SECRET}")
    for headers in (headers_of(SECRET), both):
        assert verified(headers, MESSAGE.body)["data"] == {"source": "Größe"}


@pytest.mark.parametrize(
    ("secret", "age_seconds", "more"),
    [
        pytest.param(new_secret(), 0, b"", id="of another"),
        pytest.param(SECRET, 0, b" ", id="changed on the way"),
        pytest.param(SECRET, 600, b"", id="long ago"),
    ],
)
def test_program_of_the_page_believes_nobody_else(
    verified: Verified, secret: str, age_seconds: float, more: bytes
) -> None:
    with pytest.raises(ValueError, match=r"not signed|too old"):
        verified(headers_of(secret, age_seconds=age_seconds), MESSAGE.body + more)


def test_settings_of_the_page_can_be_used(tmp_path: Path) -> None:
    (given,) = map(tomllib.loads, blocks("toml"))
    environ = {"WEBHOOK_SECRET": SECRET}
    settings = load_settings(tmp_path, given, options_of=options_of, environ=environ)
    assert settings.webhook_secret == SECRET


def test_queries_of_the_page_find_a_delivery(queue: Queue) -> None:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    cancel_ingestion(queue.database, queue.submit(), clock=queue.clock)
    waiting, given_up, times, endpoint = blocks("sql")
    assert len(queue.rows(waiting)) == 1
    assert queue.rows(endpoint) == [(0, None)]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    ended = "UPDATE webhook_deliveries SET next_attempt_at = NULL, last_error = 'HTTP 410 Gone.'"
    queue.change(f"{ended}, given_up_at = :now", now=now)
    assert (queue.rows(waiting), queue.rows(given_up)) == ([], [("HTTP 410 Gone.", 1)])
    queue.change(f"{ended}, given_up_at = NULL, delivered_at = '2026-03-01 12:00:02.500000'")
    assert queue.rows(times) == [("2026-03-01", 1, 2.5)]


def test_page_has_the_figures_of_the_code() -> None:
    minute = 60
    assert f"within {TIMEOUT_SECONDS:g} seconds" in PAGE
    assert f"The first wait is {FIRST_DELAY_SECONDS:g} seconds" in PAGE
    assert f"up to {LONGEST_DELAY_SECONDS / 60 / minute:g} hours" in PAGE
    assert f"After {MAX_ATTEMPTS}\nattempts" in PAGE
    assert (minute, 5, 5 * minute) == (LEASE_SECONDS, BREAKER_FAILURE_COUNT, LONGEST_PAUSE)
