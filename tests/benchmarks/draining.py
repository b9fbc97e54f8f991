"""B6: how quickly empty jobs are done when nothing limits their pace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

from tests.benchmarks.peers import (
    HUEY,
    LITEQUEUE,
    MOST_SECONDS,
    PLAIN,
    drain_rate,
    huey_rate,
    litequeue_rate,
    plain_rate,
)
from tests.benchmarks.report import Aim, Peer, Row
from tests.benchmarks.rounds import Figures, Plan, column, interleaved, ratios, spread
from tests.benchmarks.servers import LEFT, Settings, ours

JOB_COUNT = 10_000
PEERS: Mapping[Peer, Callable[[Plan, int], float]] = {
    HUEY: huey_rate,
    LITEQUEUE: litequeue_rate,
    PLAIN: plain_rate,
}
SETTINGS: Settings = {"interval_seconds": 0, "simulated_latency_seconds": 0, "batch_size": 1}


def drains(plan: Plan) -> Sequence[Row]:
    """B6: ours with one worker and four, against every peer."""
    count = plan.size(JOB_COUNT, quick=200)
    found = interleaved(plan.fewer_rounds(3), _sides(plan, count))
    how = (
        f"{count:,} jobs, or what is done of them in {MOST_SECONDS:g} s; ours: a batch of one ID"
        " each, interval_seconds 0, its record and its ledger row stored, 4 in flight as shipped;"
        " Huey's consumer with one thread; the others in a loop"
    )
    return [
        _row(how, found, f"ours with {workers}", peer)
        for workers, peers in ((1, PEERS), (4, [HUEY]))
        for peer in peers
    ]


def _sides(plan: Plan, count: int) -> Mapping[str, Callable[[], Figures]]:
    return {
        **{f"ours with {workers}": partial(_ours, plan, count, workers) for workers in (1, 4)},
        **{peer.name: partial(_theirs, plan, count, peer) for peer in PEERS},
    }


def _theirs(plan: Plan, count: int, peer: Peer) -> Figures:
    return {"rate": PEERS[peer](plan, count)}


def _ours(plan: Plan, count: int, workers: int) -> Figures:
    with ours(plan, "--workers", str(workers), **SETTINGS) as service:
        service.post("/sources/default/pause", None)
        service.ingest(range(count))
        with closing(sqlite3.connect(service.database)) as connection:
            service.wait_for_workers(workers)
            service.post("/sources/default/resume", None)
            left = partial(connection.execute, LEFT, {"source": "default"})
            return {"rate": drain_rate(lambda: left().fetchone()[0], count)}


def _row(how: str, found: Mapping[str, Sequence[Figures]], side: str, peer: Peer) -> Row:
    mine, theirs = column(found[side], "rate"), column(found[peer.name], "rate")
    workers = side.removeprefix("ours with ")
    return Row(
        "B6",
        f"drain, no limit, workers: {workers}",
        "jobs/s",
        how,
        ours=spread(mine),
        peer=peer,
        theirs=spread(theirs),
        ratio=ratios(mine, theirs),
        aim=Aim("ratio", at_least=1) if peer is HUEY else None,
        durable="all of it: claim, slot, ledger, records, end; several jobs share a commit",
    )
