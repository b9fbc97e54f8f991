"""An upstream that asks for a pause: its source waits, in all workers and over restarts."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.support.behaviours import Answer, Behaviour, Call, at_first, says
from tests.support.faulty_upstream import Upstream
from tests.support.killing import kill_service
from tests.support.outcomes import attempts, figures, outcomes
from tests.support.service import running, until
from tests.support.switching_off import without

from .conftest import (
    INTERVAL_SECONDS,
    TWO_WORKERS,
    Tell,
    check_all_fetched,
    ingesting,
    write_source,
)

pytestmark = pytest.mark.upstream

PAUSE_SECONDS = 2
LONG_PAUSE_SECONDS = 12
"""Longer than a restart takes on a busy machine."""

ONCE = {"max_attempts": 1, "interval_seconds": 1}
"""At this pace also a busy machine has recorded the pause before the next call."""

CLOCK_SECONDS = 0.01
"""The pause is kept by the wall clock, which may be slewed against the boot clock."""


def dated(seconds: float) -> Behaviour:
    """A 429 with the date that is at least so many seconds away."""

    def answer(call: Call) -> Answer:
        # A date has whole seconds.
        until_date = formatdate(time.time() + seconds + 1, usegmt=True)
        return says(429, Retry_After=until_date)(call)

    return answer


BUSY = [
    pytest.param(says(429, Retry_After=str(PAUSE_SECONDS)), id="429 for so many seconds"),
    pytest.param(dated(PAUSE_SECONDS), id="429 until a date"),
    pytest.param(says(503, Retry_After=str(PAUSE_SECONDS)), id="503 for so many seconds"),
    pytest.param(
        says(503, RateLimit=f'"default";r=0;t={PAUSE_SECONDS}'),
        id="503 with nothing left until a reset, RateLimit of draft 11",
    ),
    pytest.param(
        says(503, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(PAUSE_SECONDS)),
        id="503 with nothing left until a reset, X-RateLimit",
    ),
]


@pytest.mark.parametrize("busy", BUSY)
def test_source_waits_in_all_workers_as_long_as_the_upstream_asks_for(
    tmp_path: Path, upstream: Upstream, busy: Behaviour, tell: Tell
) -> None:
    upstream.behaviour = at_first(1, busy)
    with ingesting(tmp_path, upstream, **ONCE) as service:
        service.ingest(range(1, 10))
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)), waited=round(waited(upstream), 3))
    assert waited(upstream) >= PAUSE_SECONDS - CLOCK_SECONDS
    assert outcomes(service.database) == {"deferred": 1, "completed": 3}
    assert attempts(service.database) == [1] * 3
    assert [call.ids for call in upstream.calls[:2]] == [(1, 2, 3)] * 2
    check_all_fetched(service.database, range(1, 10))


def test_source_does_not_wait_when_its_pause_is_not_recorded(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.behaviour = at_first(1, says(429, Retry_After="3600"))
    write_source(tmp_path, url=f"{upstream.url}/items?ids={{ids}}", items="rows")
    command = without("deferral", TWO_WORKERS)
    with running(tmp_path, command, interval_seconds=INTERVAL_SECONDS) as service:
        service.ingest([1, 2, 3])
        service.wait_until_all_ended()
    assert len(upstream.calls) == 2


def test_source_waits_over_a_kill_of_everything_and_a_restart(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.behaviour = at_first(1, says(429, Retry_After=str(LONG_PAUSE_SECONDS)))
    with ingesting(tmp_path, upstream, **ONCE) as service:
        service.ingest(range(1, 10))
        until(lambda: outcomes(service.database) == {"deferred": 1}, "the source is deferred")
        kill_service(service)
    with ingesting(tmp_path, upstream, **ONCE) as service:
        assert len(upstream.calls) == 1
        service.ingest([10], "HIGH")
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)), waited=round(waited(upstream), 3))
    assert waited(upstream) >= LONG_PAUSE_SECONDS - CLOCK_SECONDS
    assert upstream.calls[1].ids == (10,)
    assert outcomes(service.database) == {"deferred": 1, "completed": 4}
    check_all_fetched(service.database, range(1, 11))


def waited(upstream: Upstream) -> float:
    """Seconds between the first two calls."""
    first, second = upstream.calls[:2]
    return second.boot_seconds - first.boot_seconds
