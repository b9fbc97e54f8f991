"""B11: what one look of a page or a command costs while ever more batches wait."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from flask.testing import FlaskClient

from ingest_app import create_app, sqlite
from ingest_app.queue.packing import PACK_SIZE
from ingest_app.runtime import runtime_of
from tests.benchmarks.report import OURS_DURABLE, Peer, Row
from tests.benchmarks.rounds import (
    Figures,
    Found,
    Plan,
    column,
    interleaved,
    percentile,
    ratios,
    spread,
)

BATCH_COUNT = 10_000_000
FEW = 1_000
LOOK_COUNT = 20
MOST_ROUNDS = 3

_EACH = 5  # batches of an ingestion, each in a row of its own
_LARGE = 100_000  # of one that is packed
_TIME = "strftime('%Y-%m-%d %H:%M:%f000', 1790000000 + 0.01 * n, 'unixepoch')"
_NUMBERS = (
    "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT :count)"
)
_ADD_INGESTIONS = f"""{_NUMBERS}
INSERT INTO ingestions (id, source, priority, priority_rank, created_at, id_count, batch_count)
SELECT replace(replace(printf('%024o', n), '0', 'a'), '1', 'b'), 'default',
    CASE n % 3 WHEN 0 THEN 'HIGH' WHEN 1 THEN 'MEDIUM' ELSE 'LOW' END, n % 3, {_TIME},
    3 * :each, :each FROM numbers
"""
_ADD_PACKS = f"""
INSERT INTO packed_batches (first_batch_id, ingestion_id, source, status, priority_rank, created_at,
    first_position, batch_count, ids)
SELECT row_number() OVER (ORDER BY i.created_at, p.value) * {PACK_SIZE}, i.id, i.source,
    'yet_to_start', i.priority_rank, i.created_at, p.value * {PACK_SIZE} + 1, {PACK_SIZE}, :ids
FROM ingestions i, json_each(:numbers) p
"""
_ADD_ROWS = """
INSERT INTO batches (ingestion_id, position, source, ids, status, priority_rank, created_at)
SELECT i.id, p.value, i.source, '[1,2,3]', 'yet_to_start', i.priority_rank, i.created_at
FROM ingestions i, json_each('[1,2,3,4,5]') p ORDER BY i.created_at
"""


class _Look(NamedTuple):
    name: str
    take: Callable[[FlaskClient, str], object]


_LOOKS = (
    _Look("GET /sources", lambda client, _: client.get("/sources")),
    _Look(
        "GET /ingestions with forecasts, 50 of them",
        lambda client, _: client.get("/ingestions?forecast=true"),
    ),
    _Look(
        "GET /ingestions/{id}/forecast, the last in the queue",
        lambda client, last: client.get(f"/ingestions/{last}/forecast"),
    ),
    _Look("POST /forecast", lambda client, _: client.post("/forecast", json={"id_count": 10_000})),
    _Look("GET /metrics", lambda client, _: client.get("/metrics")),
)


def looks(plan: Plan) -> Sequence[Row]:
    """B11: each look in one process, without the server, beside a short queue."""
    count = plan.size(BATCH_COUNT, quick=2 * _LARGE)
    with plan.fresh_folder() as folder, ExitStack() as stack:
        apps = {
            "rows": stack.enter_context(_app(folder / "rows", count, each=_EACH)),
            "packed": stack.enter_context(_app(folder / "packed", count, each=_LARGE)),
            "few": stack.enter_context(_app(folder / "few", FEW, each=_EACH)),
        }
        sides: Mapping[str, Callable[[], Figures]] = {
            name: partial(_look, app, plan.size(LOOK_COUNT, quick=2)) for name, app in apps.items()
        }
        found = interleaved(plan.fewer_rounds(MOST_ROUNDS), sides)
    return [
        row
        for side, what in (("rows", "each in a row"), ("packed", "packed"))
        for row in _rows(found, side, f"{count:,} waiting, {what}")
    ]


def _rows(found: Found, side: str, what: str) -> Iterator[Row]:
    few = Peer(f"{FEW:,} waiting", "all", OURS_DURABLE)
    for name, _ in _LOOKS:
        mine, theirs = column(found[side], name), column(found["few"], name)
        yield Row(
            "B11",
            f"{name}, {what} (ratio: times as long)",
            "ms",
            "in one process, without a server; three priorities, one source",
            ours=spread(mine),
            peer=few,
            theirs=spread(theirs),
            ratio=ratios(mine, theirs),
        )


def _look(app: Flask, count: int) -> Figures:
    client = app.test_client()
    last = client.get("/ingestions?limit=1").json["ingestions"][0]["ingestion_id"]
    return {
        look.name: percentile([_milliseconds(look, client, last) for _ in range(count)], 50)
        for look in _LOOKS
    }


def _milliseconds(look: _Look, client: FlaskClient, last: str) -> float:
    started = time.perf_counter()
    answer: Any = look.take(client, last)
    assert answer.status_code == 200, answer.text
    return 1000 * (time.perf_counter() - started)


@contextmanager
def _app(folder: Path, count: int, *, each: int) -> Iterator[Flask]:
    """The application on a file of its own, with so many batches waiting."""
    app = create_app({"instance_path": str(folder), "dispatch": False})
    runtime_of(app).database.engine.dispose()
    _fill(folder / "ingest.db", count, each)
    yield app
    runtime_of(app).database.engine.dispose()
    shutil.rmtree(folder)


def _fill(path: Path, count: int, each: int) -> None:
    """Add batches as the service stores them, but without its care for a crash."""
    driver: Any = sqlite.engine_options()["module"]
    with closing(driver.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(_ADD_INGESTIONS, {"count": count // each, "each": each})
        ids = f"[{','.join(['[1,2,3]'] * PACK_SIZE)}]"
        if each == _LARGE:
            numbers = json.dumps(list(range(_LARGE // PACK_SIZE)))
            connection.execute(_ADD_PACKS, {"ids": ids, "numbers": numbers})
        else:
            connection.execute(_ADD_ROWS)
        connection.execute("COMMIT")
