"""How many requests were answered and how long that took, in a table that all processes share."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from sqlalchemy import Connection, bindparam, insert, select, update

from ingest_app.metrics.counters import cumulated
from ingest_app.models import request_totals
from ingest_app.prepared import change, fetch_all
from ingest_app.queue.totals import UNBOUNDED

DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets in seconds; a last one has none."""

_BUCKETS = (*map(str, DURATION_BOUNDS), UNBOUNDED)
_KEY = ("route", "method", "status", "took_up_to")
_ADD_UP = (
    update(request_totals)
    .where(*(request_totals.c[name] == bindparam(f"the_{name}") for name in _KEY))
    .values(
        request_count=request_totals.c.request_count + bindparam("more_count"),
        seconds=request_totals.c.seconds + bindparam("more_seconds"),
    )
)
_BEGIN = insert(request_totals)
_TOTALS = select(request_totals)


class Kind(NamedTuple):
    """What requests are told apart by; `status` is a class such as "2xx"."""

    route: str
    method: str
    status: str


class Bucket(NamedTuple):
    """Requests of a kind that took up to so many seconds."""

    kind: Kind
    took_up_to: str


@dataclass
class Sums:
    """How many they were, and how long they took together."""

    count: int = 0
    seconds: float = 0.0


@dataclass
class RequestTotals:
    """All requests of a kind; `counts` has those of each bucket alone."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_BUCKETS))
    seconds: float = 0.0


def bucket_of(seconds: float) -> str:
    """The bucket that a request of this duration belongs to."""
    return _BUCKETS[bisect_left(DURATION_BOUNDS, seconds)]


def add_request_totals(connection: Connection, more: Mapping[Bucket, Sums]) -> None:
    """Add what one process has gathered."""
    for (kind, took_up_to), sums in more.items():
        key = {**kind._asdict(), "took_up_to": took_up_to}
        which = {f"the_{name}": value for name, value in key.items()}
        added = {"more_count": sums.count, "more_seconds": sums.seconds}
        if change(connection, _ADD_UP, {**which, **added}) == 0:
            change(
                connection,
                _BEGIN,
                {**key, "request_count": sums.count, "seconds": sums.seconds},
            )


def read_request_totals(connection: Connection) -> Mapping[Kind, RequestTotals]:
    """What all processes have added."""
    totals: dict[Kind, RequestTotals] = defaultdict(RequestTotals)
    for row in fetch_all(connection, _TOTALS, {}):
        of_kind = totals[Kind(row.route, row.method, row.status)]
        of_kind.seconds += row.seconds
        if row.took_up_to in _BUCKETS:
            of_kind.counts[_BUCKETS.index(row.took_up_to)] += row.request_count
    return totals


def request_families(totals: Mapping[Kind, RequestTotals]) -> Iterator[Metric]:
    """The metric of it."""
    family = HistogramMetricFamily(
        "ingest_request_duration_seconds",
        "How long it took to answer requests, up to the first byte of the answer.",
        labels=list(Kind._fields),
    )
    for kind, of_kind in totals.items():
        family.add_metric(kind, cumulated(of_kind.counts, DURATION_BOUNDS), of_kind.seconds)
    yield family
