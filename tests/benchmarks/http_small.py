"""B1 and B2: small requests, as many as the servers can take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.benchmarks.clients import post_many
from tests.benchmarks.load import SMALL, get_each, post_small
from tests.benchmarks.report import Aim, MakeRow, Row
from tests.benchmarks.rounds import Figures, Found, Plan, both, compared, interleaved
from tests.benchmarks.servers import FASTEST, HOW, ORIGINAL, Start, original, ours
from tests.support.service import Service

CONNECTIONS = (16, 64)
WARM_UP_SECONDS = 1
INGESTION_COUNT = 1_000
NONE = Aim("ours", at_most=0)

fastest_original = partial(original, is_fastest=True)

Load = Callable[..., Figures]
LoadOf = Callable[[Service], Load]


def submissions(plan: Plan) -> Sequence[Row]:
    """B1: POST /ingest of five IDs."""
    found = _measure(
        plan,
        {"ours": (ours, _post), "theirs": (original, _post), "fastest": (fastest_original, _post)},
    )
    row: MakeRow = partial(Row, "B1", how=f"{HOW}; {_how(plan)}")
    aims = {"rate": Aim("ratio", at_least=0.35), "p99_ms at 16": Aim("ours", at_most=60)}
    return _rows(row, "POST /ingest, 5 IDs", found, aims)


def _post(_service: Service) -> Load:
    return post_small


def status_requests(plan: Plan) -> Sequence[Row]:
    """B2: GET /status of such ingestions in turn."""
    count = plan.size(INGESTION_COUNT, quick=20)
    get, get_declared = (partial(_get, count, prefix) for prefix in ("", "/declared"))
    found = _measure(
        plan,
        {
            "ours": (ours, get),
            "theirs": (original, get),
            "fastest": (fastest_original, get_declared),
        },
    )
    row: MakeRow = partial(Row, "B2", how=f"{HOW}; {_how(plan)}; {count:,} ingestions in turn")
    aims = {"rate": Aim("ratio", at_least=1)}
    return _rows(row, "GET /status, 5 IDs", found, aims)


def _get(count: int, prefix: str, service: Service) -> Load:
    ids = post_many(service, SMALL.encode(), count)
    return partial(get_each, paths=[f"{prefix}/status/{ingestion_id}" for ingestion_id in ids])


def _measure(plan: Plan, sides: Mapping[str, tuple[Start, LoadOf]]) -> Found:
    return interleaved(
        plan.rounds, {name: partial(_one_round, plan, *side) for name, side in sides.items()}
    )


def _one_round(plan: Plan, start: Start, load_of: LoadOf) -> Figures:
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


def _rows(row: MakeRow, what: str, found: Found, aims: Mapping[str, Aim]) -> list[Row]:
    rows = []
    for at in CONNECTIONS:
        name, p99, errors = f"{what}, {at} connections", f"p99_ms at {at}", f"errors at {at}"
        against = partial(row, peer=ORIGINAL)
        rows += [
            _rate(row, what, found, at, "theirs", aims["rate"]),
            _rate(row, what, found, at, "fastest"),
            against(f"{name}, p99", "ms", **both(found, p99), aim=aims.get(p99)),
            against(f"{name}, failed", "requests", **both(found, errors), aim=NONE),
        ]
    return rows


def _rate(
    row: MakeRow, what: str, found: Found, at: int, against: str, aim: Aim | None = None
) -> Row:
    figures = compared(found, f"rate at {at}", against)
    peer = {"theirs": ORIGINAL, "fastest": FASTEST}[against]
    return row(f"{what}, {at} connections", "requests/s", **figures, peer=peer, aim=aim)
