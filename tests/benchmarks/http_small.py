"""B1 and B2: small requests, as many as the servers can take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.benchmarks.load import get_each, post_small
from tests.benchmarks.report import Aim, Row
from tests.benchmarks.rounds import Figures, Plan, Spread, column, interleaved, ratios, spread
from tests.benchmarks.servers import HOW, ORIGINAL, Start, original, ours
from tests.support.service import Service

CONNECTIONS = (16, 64)
WARM_UP_SECONDS = 1
INGESTION_COUNT = 1_000

Load = Callable[..., Figures]
Found = Mapping[str, Sequence[Figures]]


def submissions(plan: Plan) -> Sequence[Row]:
    """B1: POST /ingest of five IDs."""
    found = _measure(plan, lambda _service: post_small)
    row = partial(Row, "B1", how=f"{HOW}; {_how(plan)}", peer=ORIGINAL)
    aims = {"rate": Aim("ratio", at_least=0.35), "p99_ms at 16": Aim("ours", at_most=60)}
    return _rows(row, "POST /ingest, 5 IDs", found, aims)


def status_requests(plan: Plan) -> Sequence[Row]:
    """B2: GET /status of such ingestions in turn."""
    count = plan.size(INGESTION_COUNT, quick=20)
    found = _measure(plan, partial(_status_of_each, count))
    row = partial(
        Row, "B2", how=f"{HOW}; {_how(plan)}; {count:,} ingestions in turn", peer=ORIGINAL
    )
    return _rows(row, "GET /status, 5 IDs", found, {"rate": Aim("ratio", at_least=1)})


def _status_of_each(count: int, service: Service) -> Load:
    ids = [service.ingest([1, 2, 3, 4, 5]) for _ in range(count)]
    return partial(get_each, paths=[f"/status/{ingestion_id}" for ingestion_id in ids])


def _measure(plan: Plan, load_of: Callable[[Service], Load]) -> Found:
    sides: Mapping[str, Start] = {"ours": ours, "theirs": original}
    return interleaved(
        plan.rounds,
        {name: partial(_one_round, plan, start, load_of) for name, start in sides.items()},
    )


def _one_round(plan: Plan, start: Start, load_of: Callable[[Service], Load]) -> Figures:
    found: dict[str, float] = {}
    with start(plan) as service:
        load = partial(load_of(service), service.url, service.log_path.parent)
        load(connections=CONNECTIONS[0], seconds=WARM_UP_SECONDS)
        for connections in CONNECTIONS:
            figures = load(connections=connections, seconds=_seconds(plan))
            found |= {f"{name} at {connections}": value for name, value in figures.items()}
    return found


def _seconds(plan: Plan) -> int:
    return plan.size(3, quick=1)


def _how(plan: Plan) -> str:
    return f"wrk, 1 thread, {_seconds(plan)} s after {WARM_UP_SECONDS} s to warm up"


def _rows(row: Callable[..., Row], what: str, found: Found, aims: Mapping[str, Aim]) -> list[Row]:
    rows = []
    for connections in CONNECTIONS:
        at, name = f"at {connections}", f"{what}, {connections} connections"
        rate = {side: column(found[side], f"rate {at}") for side in found}
        ratio = ratios(rate["ours"], rate["theirs"])
        both = _both(found, f"rate {at}")
        rows.append(row(name, "requests/s", **both, ratio=ratio, aim=aims["rate"]))
        p99 = f"p99_ms {at}"
        rows.append(row(f"{name}, p99", "ms", **_both(found, p99), aim=aims.get(p99)))
        errors = _both(found, f"errors {at}")
        rows.append(row(f"{name}, failed", "requests", **errors, aim=Aim("ours", at_most=0)))
    return rows


def _both(found: Found, name: str) -> Mapping[str, Spread]:
    return {side: spread(column(found[side], name)) for side in found}
