"""What was foretold against what happened, on a real service with work of every priority."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service, gunicorn, running

INTERVAL_SECONDS = 0.2
ROOM_SECONDS = 1.5
"""For a machine that is busy; the sharpest forecast is a benchmark's."""


@pytest.mark.e2e
def test_a_mixed_queue_ends_when_it_was_foretold(tmp_path: Path) -> None:
    settings = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0.1}
    with running(tmp_path, gunicorn("--workers", "2"), **settings) as service:
        mixture = [service.ingest(range(18), ("LOW", "MEDIUM", "HIGH")[n % 3]) for n in range(6)]
        service.wait_for_dispatches(5)
        foretold = {each: forecast(service, each) for each in mixture}
        service.wait_until_all_ended()
        ended = {each: service.get(f"/ingestions/{each}").json() for each in mixture}
    late_seconds = [
        seconds_between(foretold[each]["finishes_at"], ended[each]["last_completed_at"])
        for each in mixture
    ]
    assert len({each["finishes_at"] for each in foretold.values()}) == len(mixture)
    assert max(map(abs, late_seconds)) < ROOM_SECONDS, late_seconds


def forecast(service: Service, ingestion_id: str) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"/ingestions/{ingestion_id}/forecast").json()
    return found


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
