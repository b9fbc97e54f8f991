"""B8: what the service costs without work, how soon it is there, and what a batch takes."""

from __future__ import annotations

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from ingest_app.queue.packing import PACK_SIZE
from tests.benchmarks.peers import HUEY, huey_consumer
from tests.benchmarks.report import Aim, MakeRow, Row
from tests.benchmarks.rounds import (
    Figures,
    Plan,
    Spread,
    both,
    compared,
    interleaved,
    ratios,
    spread,
)
from tests.benchmarks.servers import (
    ORIGINAL,
    Start,
    original,
    ours,
    processes,
)
from tests.support.service import Service

WORKERS = 4
IDLE_SECONDS = 20
SETTLING_SECONDS = 3
BATCH_COUNT = 100_000
_ROW_COUNT = PACK_SIZE  # as many batches as are still stored in rows of their own
BATCH_SIZE = 3

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


def idle_costs(plan: Plan) -> Sequence[Row]:
    """B8: CPU and wake-ups, memory, start-up, bytes a batch."""
    return [*_waking(plan), *_starting(plan), *_storing(plan)]


class _Spent(NamedTuple):
    """What processes have used so far."""

    cpu_seconds: float
    switch_count: int


def _waking(plan: Plan) -> Sequence[Row]:
    seconds = plan.size(IDLE_SECONDS, quick=2)
    how = f"{seconds} s with nothing to do, all processes and threads"
    with (
        ours(plan, "--workers", str(WORKERS)) as service,
        plan.fresh_folder() as folder,
        huey_consumer(folder / "huey.db") as consumer,
    ):
        service.wait_for_workers(WORKERS)
        time.sleep(SETTLING_SECONDS)
        mine, theirs = _over(seconds, processes(service), [psutil.Process(consumer.pid)])
    row: MakeRow = partial(Row, "B8", how=how, peer=HUEY)
    name = f"idle, {WORKERS} workers (Huey: one)"
    cpu = [100 * spent.cpu_seconds / seconds for spent in (mine, theirs)]
    switches = [spent.switch_count / seconds for spent in (mine, theirs)]
    return [
        row(f"{name}, CPU", "% of a core", **_pair(cpu), aim=Aim("ours", at_most=0.5)),
        row(f"{name}, context switches", "1/s", **_pair(switches)),
    ]


def _over(seconds: float, *groups: Sequence[psutil.Process]) -> Sequence[_Spent]:
    """What each group of processes spends in this time."""
    before = [_spent(group) for group in groups]
    time.sleep(seconds)
    after = [_spent(group) for group in groups]
    return [
        _Spent(now.cpu_seconds - then.cpu_seconds, now.switch_count - then.switch_count)
        for now, then in zip(after, before, strict=True)
    ]


def _spent(group: Iterable[psutil.Process]) -> _Spent:
    statuses = [
        status.read_text()
        for one in group
        for status in Path("/proc").glob(f"{one.pid}/task/*/status")
    ]
    counts = [int(count) for status in statuses for count in _SWITCHES.findall(status)]
    return _Spent(sum(_cpu_seconds(one.pid) for one in group), sum(counts))


def _cpu_seconds(pid: int) -> float:
    # clock_getcpuclockid(3): to the nanosecond, where /proc counts hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def _pair(values: Sequence[float]) -> Mapping[str, Spread]:
    mine, theirs = ([value] for value in values)
    return {"ours": spread(mine), "theirs": spread(theirs), "ratio": ratios(theirs, mine)}


def _starting(plan: Plan) -> Sequence[Row]:
    sides: Mapping[str, Callable[[], Figures]] = {
        "ours": partial(_start, plan, _four_workers, dispatcher_count=WORKERS),
        "theirs": partial(_start, plan, original, dispatcher_count=0),
    }
    found = interleaved(plan.rounds, sides)
    how = f"{WORKERS} workers, an empty database, made at the start; memory: once all have started"
    row: MakeRow = partial(Row, "B8", how=how, peer=ORIGINAL)
    return [
        row("start-up until /readyz answers", "s", **compared(found, "s", is_cost=True)),
        row("memory a worker, PSS", "MB", **compared(found, "pss", is_cost=True)),
        row("memory a worker, USS", "MB", **both(found, "uss")),
        row("memory a worker, RSS", "MB", **both(found, "rss")),
    ]


def _four_workers(plan: Plan) -> AbstractContextManager[Service]:
    return ours(plan, "--workers", str(WORKERS))


def _start(plan: Plan, start: Start, *, dispatcher_count: int) -> Figures:
    started = time.perf_counter()
    with start(plan) as service:
        seconds = time.perf_counter() - started
        # The first to answer may be there before the others.
        service.wait_for_log("dispatcher_started", dispatcher_count)
        found = [worker.memory_full_info() for worker in _workers(service)]
    sizes = {kind: [getattr(one, kind) / 1e6 for one in found] for kind in ("pss", "uss", "rss")}
    return {"s": seconds, **{kind: statistics.mean(size) for kind, size in sizes.items()}}


def _workers(service: Service) -> Sequence[psutil.Process]:
    first, *below = processes(service)
    return below or [first]


def _storing(plan: Plan) -> Sequence[Row]:
    count = plan.size(BATCH_COUNT, quick=1_000)
    how = f"{count:,} batches of {BATCH_SIZE} IDs of 6 digits that wait, after VACUUM INTO"
    row = partial(Row, "B8", unit="bytes", how=how)
    return [
        row("a batch in a row of its own, with indexes", ours=_bytes_each(plan, count, _ROW_COUNT)),
        row("a batch that waits packed, with indexes", ours=_bytes_each(plan, count, count)),
    ]


def _bytes_each(plan: Plan, count: int, count_of_each: int) -> Spread:
    """What a batch takes when they come in ingestions of so many batches each."""
    with ours(plan, batch_size=BATCH_SIZE) as service:
        service.post("/sources/default/pause", None)
        empty_bytes = _compact_bytes(service.database)
        for first in range(0, count, count_of_each):
            ids = range(BATCH_SIZE * first, BATCH_SIZE * min(first + count_of_each, count))
            service.ingest(ids)
        return spread([(_compact_bytes(service.database) - empty_bytes) / count])


def _compact_bytes(database: Path) -> int:
    """The size of the file without what is only free space in it."""
    copy = database.with_name("compact.db")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    size = copy.stat().st_size
    copy.unlink()
    return size
