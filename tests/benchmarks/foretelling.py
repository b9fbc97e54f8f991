"""B10: how far a forecast is from what then happens, on a queue of every priority."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tests.benchmarks.report import Row
from tests.benchmarks.rounds import Plan, Spread, percentile
from tests.benchmarks.servers import Settings, ours
from tests.support.service import Service

INTERVAL_SECONDS = 0.25
INGESTION_COUNT = 40
BATCHES_MOST = 12
DISPATCHES_BEFORE = 20
"""So that the pace is known when the forecasts are made."""

_LONGEST_SECONDS = 300

SETTINGS: Settings = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0.1}


class _Error(NamedTuple):
    """How late one ingestion was, and how far ahead that had been foretold."""

    late_seconds: float
    remaining_seconds: float


def forecast_errors(plan: Plan) -> Sequence[Row]:
    """B10: the difference between finishes_at and the end, of all that had not ended."""
    with ours(plan, "--workers", "2", **SETTINGS) as service:
        submitted = _submit_mixture(service, plan.size(INGESTION_COUNT, quick=6))
        service.wait_for_dispatches(min(DISPATCHES_BEFORE, len(submitted)))
        foretold = {each: service.get(f"/ingestions/{each}/forecast").json() for each in submitted}
        service.wait_until_all_ended(room_seconds=_LONGEST_SECONDS)
        errors = [_error(service, each, it) for each, it in foretold.items() if it["waiting_count"]]
    seconds = [abs(error.late_seconds) for error in errors]
    shares = [100 * abs(error.late_seconds) / error.remaining_seconds for error in errors]
    farthest = max(error.remaining_seconds for error in errors)
    how = (
        f"{len(errors)} ingestions of 1 to {BATCHES_MOST} batches of all priorities, up to"
        f" {farthest:.0f} s ahead; an interval of {INTERVAL_SECONDS} s, calls of 0.1 s, two workers"
    )
    return [
        _row("seconds, median (range)", "s", how, percentile(seconds, 50), seconds),
        _row("of the time foretold, median (range)", "%", how, percentile(shares, 50), shares),
    ]


def _submit_mixture(service: Service, count: int) -> Sequence[str]:
    dice = random.Random(10)
    return [
        service.ingest(
            range(3 * dice.randint(1, BATCHES_MOST)), dice.choice(("HIGH", "MEDIUM", "LOW"))
        )
        for _ in range(count)
    ]


def _error(service: Service, ingestion_id: str, foretold: Mapping[str, object]) -> _Error:
    ended_at = service.get(f"/ingestions/{ingestion_id}").json()["last_completed_at"]
    late = datetime.fromisoformat(ended_at) - datetime.fromisoformat(str(foretold["finishes_at"]))
    return _Error(late.total_seconds(), float(str(foretold["remaining_seconds"])))


def _row(name: str, unit: str, how: str, middle: float, values: Sequence[float]) -> Row:
    figure = Spread(middle, min(values), max(values))
    return Row("B10", f"forecast against the end, {name}", unit, how, ours=figure)
