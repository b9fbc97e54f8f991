"""A real service tells a real endpoint: killed, restarted, refused, kept waiting."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from standardwebhooks.webhooks import Webhook

from ingest_app.queue.deliveries import LEASE_SECONDS
from ingest_app.webhook_settings import new_secret
from ingest_app.webhooks.policy import FIRST_DELAY_SECONDS
from tests.support.behaviours import Answer, Behaviour, Call, at_first, says
from tests.support.faulty_upstream import Upstream
from tests.support.promises import verified
from tests.support.service import Service, gunicorn, instance_path, running, until
from tests.support.wall_clock import WallClock

from .conftest import Tell

pytestmark = pytest.mark.upstream

SECRET = new_secret()
KEY = "plugh&2d 81é"
INTERVAL_SECONDS = 0.2
HANG_SECONDS = 3.0
FORMS = [SECRET.encode(), SECRET.removeprefix("whsec_").encode(), b"plugh"]
ONE_WORKER = gunicorn("--workers", "1", "--log-level", "debug")
INLINE = [*ONE_WORKER[:-1], "tests.support.inline_webhooks_app:app"]

thanks = says(204, "")


@pytest.fixture(autouse=True)
def endpoint(upstream: Upstream) -> Upstream:
    upstream.behaviour = thanks
    return upstream


@contextmanager
def telling(
    folder: Path, endpoint: Upstream, command: Sequence[str] = ONE_WORKER
) -> Iterator[Service]:
    """A service that tells this endpoint of every end."""
    url = f"{endpoint.url}/hook?key={quote(KEY)}"
    settings = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0}
    with running(folder, command, webhook_url=url, webhook_secret=SECRET, **settings) as service:
        yield service


def told(endpoint: Upstream, count: int = 1) -> list[Call]:
    until(lambda: len(endpoint.calls) >= count, f"{count} calls of the endpoint")
    return endpoint.calls


def deliveries(service: Service) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(service.database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM webhook_deliveries")]


def wait_until_delivered(service: Service, count: int) -> list[dict[str, Any]]:
    """All deliveries, when so many of them are delivered."""

    def look() -> list[dict[str, Any]] | None:
        found = deliveries(service)
        return found if sum(bool(one["delivered_at"]) for one in found) >= count else None

    return until(look, f"{count} deliveries")


def dies_in(service: Service) -> Behaviour:
    """The service is killed while it waits for the answer."""

    def kill(_call: Call) -> Answer:
        os.killpg(service.process.pid, signal.SIGKILL)
        return Answer(200)

    return kill


def test_end_is_told_within_moments_and_as_the_api_has_it(
    tmp_path: Path, endpoint: Upstream, tell: Tell
) -> None:
    with telling(tmp_path, endpoint) as service:
        ended = [service.ingest([number]) for number in range(6)]
        found = wait_until_delivered(service, len(ended))
        for call in endpoint.calls:
            message = Webhook(SECRET).verify(call.body, dict(call.headers))
            assert message["type"] == "ingestion.completed"
            ingestion_id = message["data"]["ingestion_id"]
            assert message["data"] == service.get(f"/ingestions/{ingestion_id}").json()
            ended.remove(ingestion_id)
    assert (ended, {one["attempt_count"] for one in found}) == ([], {1})
    times = [
        datetime.fromisoformat(one["delivered_at"]) - datetime.fromisoformat(one["ended_at"])
        for one in found
    ]
    seconds = [time.total_seconds() for time in times]
    tell(median_seconds=statistics.median(seconds), longest_seconds=max(seconds))
    assert statistics.median(seconds) < 1


def test_service_that_dies_before_it_has_recorded_tells_again_after_the_lease(
    tmp_path: Path, endpoint: Upstream
) -> None:
    clock = WallClock(tmp_path)
    command = clock.over(ONE_WORKER)
    with telling(tmp_path, endpoint, command) as service:
        endpoint.behaviour = at_first(1, dies_in(service), thanks)
        ingestion_id = service.ingest([1])
        told(endpoint)
        service.wait_for_exit()
    with telling(tmp_path, endpoint, command) as service:
        # What ends after that is told; what another may still be telling is not.
        other = service.ingest([2])
        assert json.loads(told(endpoint, 2)[1].body)["data"]["ingestion_id"] == other
        clock.set(int(LEASE_SECONDS) + 1)
        first, _, again = told(endpoint, 3)
        wait_until_delivered(service, 2)
    assert json.loads(again.body)["data"]["ingestion_id"] == ingestion_id
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.body == first.body
    verified(service.database)


def test_endpoint_that_was_down_is_told_later_and_by_the_next_start(
    tmp_path: Path, endpoint: Upstream
) -> None:
    endpoint.go_down()
    clock = WallClock(tmp_path)
    command = clock.over(ONE_WORKER)
    with telling(tmp_path, endpoint, command) as service:
        ended = [service.ingest([number]) for number in range(3)]
        service.wait_for_log("webhook_failed", 3)
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
    endpoint.come_up()
    clock.set(int(FIRST_DELAY_SECONDS) + 1)
    with telling(tmp_path, endpoint, command) as service:
        found = wait_until_delivered(service, 3)
    assert [one["attempt_count"] for one in found] == [2, 2, 2]
    assert {json.loads(call.body)["data"]["ingestion_id"] for call in endpoint.calls} == set(ended)


def longest_gap(service: Service, count: int) -> float:
    """Seconds between two calls of the source, while the endpoint hangs."""
    for number in range(count):
        service.ingest([number])
    ledger = service.wait_until_all_ended()
    return max(gap.seconds for gap in ledger.gaps())


def test_endpoint_that_hangs_does_not_slow_dispatching(
    tmp_path: Path, endpoint: Upstream, tell: Tell
) -> None:
    endpoint.behaviour = lambda _: Answer(204, delay_seconds=HANG_SECONDS)
    with telling(tmp_path, endpoint) as service:
        gap = longest_gap(service, 10)
    tell(longest_gap_seconds=gap)
    assert gap < INTERVAL_SECONDS + HANG_SECONDS / 2
    verified(service.database)


def test_told_where_batches_are_settled_it_would(tmp_path: Path, endpoint: Upstream) -> None:
    endpoint.behaviour = lambda _: Answer(204, delay_seconds=HANG_SECONDS)
    with telling(tmp_path, endpoint, INLINE) as service:
        assert longest_gap(service, 3) > HANG_SECONDS


def echoing(status: int) -> Behaviour:
    """What it was sent, wherever an answer has room."""

    def answer(call: Call) -> Answer:
        body = f"{call.target} {SECRET} {call.body!r}".encode()
        return Answer(status, body, {"Location": call.target, "X-Echo": SECRET})

    return answer


def test_secret_and_query_stand_nowhere(tmp_path: Path, endpoint: Upstream) -> None:
    statuses = [500, 302, 410, 200]
    endpoint.behaviour = lambda call: echoing(statuses[call.number - 1])(call)
    with telling(tmp_path, endpoint) as service:
        ended = [service.ingest([number]) for number in statuses]
        calls = told(endpoint, len(ended))
        wait_until_delivered(service, 1)
        service.wait_for_log("webhook_delivered")
        paths = ("/sources", "/openapi.json", f"/ingestions/{ended[0]}")
        answers = {path: service.get(path).content for path in paths}
        kept = [*tmp_path.glob("*.log"), *instance_path(tmp_path).glob("ingest.db*")]
        files = {path.name: path.read_bytes() for path in kept}
    assert quote(KEY) in calls[0].target
    assert len(files) >= 3
    found = [name for name, text in {**answers, **files}.items() if any(f in text for f in FORMS)]
    assert found == []
