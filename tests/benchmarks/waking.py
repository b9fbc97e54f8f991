"""B9: how soon an idle service begins with what was submitted to it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from tests.benchmarks.clients import connected, exchange
from tests.benchmarks.report import Aim, Row
from tests.benchmarks.rounds import Plan, Spread, percentile
from tests.benchmarks.servers import Settings, ours, read_rows
from tests.support.service import Service, until

SUBMISSION_COUNT = 200
BETWEEN_SECONDS = 0.03
"""From the end of one to the next, so that the service is idle again."""

SETTINGS: Settings = {"interval_seconds": 0, "simulated_latency_seconds": 0}

_CALLED = "SELECT dispatched_boot_seconds FROM dispatches WHERE outcome = 'completed' ORDER BY id"


def latencies(plan: Plan) -> Sequence[Row]:
    """B9: from the answer to the call, which follows the claim."""
    with ours(plan, "--workers", "1", **SETTINGS) as service:
        count = plan.size(SUBMISSION_COUNT, quick=10)
        answered = _submit_one_by_one(service, count)
        called = [row[0] for row in read_rows(service.database, _CALLED)]
    waits = [1000 * (at - then) for at, then in zip(called, answered, strict=True)]
    return [
        _row("median (range)", percentile(waits, 50), waits, None),
        _row("p99 (range)", percentile(waits, 99), waits, Aim("ours", at_most=50)),
    ]


def _submit_one_by_one(service: Service, count: int) -> Sequence[float]:
    """When each was answered, on the boot clock, as the ledger has it."""
    answered = []
    with connected(service) as connection:
        for number in range(count):
            body = json.dumps({"ids": [number], "priority": "MEDIUM"}).encode()
            exchange(connection, "POST", "/ingest", body)
            answered.append(time.clock_gettime(time.CLOCK_BOOTTIME))
            until(lambda: len(read_rows(service.database, _CALLED)) == len(answered), "it ended")
            time.sleep(BETWEEN_SECONDS)
    return answered


def _row(name: str, middle: float, waits: Sequence[float], aim: Aim | None) -> Row:
    how = f"{len(waits)} submissions of one ID, one after another, one worker, no limit"
    figure = Spread(middle, min(waits), max(waits))
    return Row("B9", f"from the answer to the call, {name}", "ms", how, ours=figure, aim=aim)
