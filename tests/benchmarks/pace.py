"""B7: how exactly the pace is kept, idle and while other requests saturate the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.load import posting
from tests.benchmarks.report import Aim, Row
from tests.benchmarks.rounds import Plan, Spread, percentile
from tests.benchmarks.servers import batches_left, ours, read_rows
from tests.support.service import Service, until

BATCH_SIZE = 3
CONNECTIONS = 16
PATIENCE_SECONDS = 120.0
HOW = (
    "as many batches wait as there are calls, latency 0; saturated: wrk with"
    f" {CONNECTIONS} connections sends POST /ingest; from the ledger"
)


class Pace(NamedTuple):
    """An interval, for how many gaps it is measured, and its aim for their mean."""

    interval_seconds: float
    gap_count: int
    most_share: float

    @property
    def source(self) -> str:
        """The name of the source that has it."""
        return f"every-{self.interval_seconds:g}".replace(".", "-")


# Together in one service: those that do not disturb each other.
GROUPS = ([Pace(5, 5, 1.01), Pace(0.1, 200, 1.03)], [Pace(0.01, 300, 1.2)])
QUICK_GROUPS = ([Pace(1, 2, 1.01), Pace(0.1, 20, 1.03), Pace(0.01, 50, 1.2)],)

_CALLS = """
SELECT dispatched_boot_seconds, dispatched_at, slot_opened_at FROM dispatches
WHERE source = ? AND dispatched_at IS NOT NULL ORDER BY dispatched_boot_seconds
"""


def paces(plan: Plan) -> Sequence[Row]:
    """B7: the gaps between calls, and how long after the opening of its slot each is made."""
    return [
        row
        for is_busy in (False, True)
        for workers in (1, 4)
        for group in (QUICK_GROUPS if plan.is_quick else GROUPS)
        for row in _measure(plan, group, workers, is_busy=is_busy)
    ]


def _measure(plan: Plan, group: Sequence[Pace], workers: int, *, is_busy: bool) -> Iterator[Row]:
    sources = "".join(
        f"[sources.{pace.source}]\ninterval_seconds = {pace.interval_seconds}\n" for pace in group
    )
    settings: Mapping[str, float] = {"simulated_latency_seconds": 0}
    with ours(plan, "--workers", str(workers), sources=sources, **settings) as service:
        service.wait_for_workers(workers)
        folder = service.log_path.parent
        busy = posting(service.url, folder, connections=CONNECTIONS) if is_busy else nullcontext()
        with busy:
            for pace in group:
                service.ingest(range(BATCH_SIZE * (pace.gap_count + 1)), source=pace.source)
            _wait_until_ended(service, group)
        for pace in group:
            yield from _rows(service.database, pace, workers, is_busy=is_busy)


def _wait_until_ended(service: Service, group: Sequence[Pace]) -> None:
    # Looking would disturb what is measured, so not before it can have ended.
    time.sleep(max(pace.interval_seconds * pace.gap_count for pace in group))
    until(
        lambda: not any(batches_left(service.database, pace.source) for pace in group),
        "all batches ended",
        room_seconds=PATIENCE_SECONDS,
    )


def _rows(database: Path, pace: Pace, workers: int, *, is_busy: bool) -> Iterator[Row]:
    calls = read_rows(database, _CALLS, [pace.source])
    # Not finer than a microsecond, which is less than a float of seconds can tell apart.
    gaps = [round(1000 * (later[0] - earlier[0]), 3) for earlier, later in pairwise(calls)]
    late = [_late_ms(call_at, opened_at) for _, call_at, opened_at in calls if opened_at]
    every_ms = 1000 * pace.interval_seconds
    state = "saturated" if is_busy else "idle"
    name = f"every {pace.interval_seconds:g} s, workers: {workers}, {state}"
    gap = Spread(statistics.mean(gaps), min(gaps), max(gaps))
    lateness = Spread(percentile(late, 99), min(late), max(late))
    gap_aim = Aim("ours", at_most=pace.most_share * every_ms, none_below=every_ms)
    late_aim = None if is_busy else Aim("ours", at_most=20)
    yield Row("B7", f"{name}: mean of {len(gaps)} gaps (range)", "ms", HOW, gap, aim=gap_aim)
    yield Row("B7", f"{name}: p99 lateness (range)", "ms", HOW, lateness, aim=late_aim)


def _late_ms(call_at: str, opened_at: str) -> float:
    late = datetime.fromisoformat(call_at) - datetime.fromisoformat(opened_at)
    return 1000 * late.total_seconds()
