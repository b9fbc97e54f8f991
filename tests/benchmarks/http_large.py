"""B3 and B4: one request of a million IDs, its status, and what others notice of it."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.clients import get, post, probing
from tests.benchmarks.report import Aim, Row
from tests.benchmarks.rounds import Figures, Found, Plan, both, compared, interleaved, spread
from tests.benchmarks.rounds import column as figures_of
from tests.benchmarks.servers import (
    FASTEST,
    HOW,
    ORIGINAL,
    Settings,
    original,
    ours,
    processes,
    read_rows,
)
from tests.support.service import Service, until

ID_COUNT = 1_000_000
BATCH_SIZE = 3
INTERVAL_SECONDS = 0.1
SETTINGS: Settings = {"interval_seconds": INTERVAL_SECONDS, "simulated_latency_seconds": 0}

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)
_CALLS = """
SELECT dispatched_boot_seconds FROM dispatches
WHERE dispatched_boot_seconds IS NOT NULL ORDER BY dispatched_boot_seconds
"""


def submission(plan: Plan) -> Sequence[Row]:
    """B3: POST /ingest of a million IDs."""
    found = _measured(plan)
    row = partial(_row, "B3", plan, f"POST /ingest, {_id_count(plan):,} IDs")
    delays = spread(figures_of(found["ours"], "pace_ms"))
    return [
        row("", "s", **compared(found, "post_s", is_cost=True), aim=Aim("ratio", at_least=3)),
        row("", "s", **compared(found, "post_s", "fastest", is_cost=True), peer=FASTEST),
        row(", peak memory", "MB", **compared(found, "post_mb", is_cost=True), aim=_at_most(200)),
        row(", longest wait of others", "ms", **both(found, "wait_ms"), aim=_at_most(250)),
        row(", longest delay of a call", "ms", ours=delays, peer=None, aim=_at_most(250)),
    ]


def status_request(plan: Plan) -> Sequence[Row]:
    """B4: GET /status of that ingestion."""
    found = _measured(plan)
    row = partial(_row, "B4", plan, f"GET /status, {_id_count(plan):,} IDs")
    return [
        row("", "s", **compared(found, "get_s", is_cost=True), aim=Aim("ratio", at_least=10)),
        row(", first byte", "ms", **both(found, "first_ms"), aim=_at_most(100)),
        row(", size", "MB", **both(found, "size_mb")),
        row(", peak memory", "MB", **compared(found, "get_mb", is_cost=True), aim=_at_most(200)),
        row("", "s", **compared(found, "get_s", "fastest", is_cost=True), peer=FASTEST),
    ]


def _row(measure: str, plan: Plan, what: str, more: str, unit: str, **figures: object) -> Row:
    how = (
        f"{HOW}; {_id_count(plan):,} IDs in batches of {BATCH_SIZE}; ours dispatches every"
        f" {INTERVAL_SECONDS:g} s; peak memory: of the largest process, resident; others: GET"
        f" /status and POST of 5 IDs, each every 10 ms, while the IDs are posted a second time"
    )
    known = {"peer": ORIGINAL, **figures}
    return Row(measure, what + more, unit, how, **known)  # type: ignore[arg-type]


def _at_most(bound: float) -> Aim:
    return Aim("ours", at_most=bound)


def _id_count(plan: Plan) -> int:
    return plan.size(ID_COUNT, quick=30_000)


@functools.cache  # one run gives both
def _measured(plan: Plan) -> Found:
    sides: Mapping[str, Callable[[], Figures]] = {
        "ours": partial(_ours, plan),
        "theirs": partial(_theirs, plan),
        "fastest": partial(_fastest, plan),
    }
    return interleaved(plan.rounds, sides)


def _ours(plan: Plan) -> Figures:
    with ours(plan, **SETTINGS) as service:
        found = dict(_one_round(plan, service))
        found["pace_ms"] = 1000 * _longest_delay(service, found.pop("from"), found.pop("to"))
    return found


def _theirs(plan: Plan) -> Figures:
    with original(plan) as service:
        return _one_round(plan, service)


def _fastest(plan: Plan) -> Figures:
    with original(plan, is_fastest=True) as service:
        post_seconds, ingestion_id = post(service, _body(plan))
        got = get(service, f"/declared/status/{ingestion_id}", _batch_count(plan))
        return {"post_s": post_seconds, **got}


def _one_round(plan: Plan, service: Service) -> Figures:
    ids = _body(plan)
    _forget_peaks(service)
    post_seconds, ingestion_id = post(service, ids)
    post_bytes = _peak_bytes(service)
    _forget_peaks(service)
    got = get(service, f"/status/{ingestion_id}", _batch_count(plan))
    get_bytes = _peak_bytes(service)
    with probing(service) as waits:
        began = _boot_seconds()
        post(service, ids)
        ended = _boot_seconds()
    return {
        "post_s": post_seconds,
        "post_mb": post_bytes / 1e6,
        **got,
        "get_mb": get_bytes / 1e6,
        "wait_ms": 1000 * max(waits),
        "from": began,
        "to": ended,
    }


def _body(plan: Plan) -> bytes:
    return json.dumps({"ids": list(range(_id_count(plan))), "priority": "MEDIUM"}).encode()


def _batch_count(plan: Plan) -> int:
    return -(-_id_count(plan) // BATCH_SIZE)


def _forget_peaks(service: Service) -> None:
    for process in processes(service):
        Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)


def _peak_bytes(service: Service) -> int:
    """Of the process that had most."""
    statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in processes(service)]
    return max(1024 * int(_PEAK.search(status).group(1)) for status in statuses)


def _longest_delay(service: Service, began: float, ended: float) -> float:
    """Seconds by which the longest gap between two calls in this time exceeds the interval."""
    until(lambda: _last_call(service) > ended, "a call after the answer")
    times = [row[0] for row in read_rows(service.database, _CALLS)]
    gaps = [
        later - earlier for earlier, later in pairwise(times) if earlier < ended and later > began
    ]
    return float(max(gaps) - INTERVAL_SECONDS)


def _last_call(service: Service) -> float:
    query = "SELECT max(dispatched_boot_seconds) FROM dispatches"
    return float(read_rows(service.database, query)[0][0])


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
