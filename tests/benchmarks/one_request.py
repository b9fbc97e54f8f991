"""CPU: what one small request costs inside the application, without a server around it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from ingest_app import create_app
from ingest_app.access.keys import create_key
from ingest_app.extensions import db
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from tests.benchmarks.load import SMALL
from tests.benchmarks.report import Peer, Row
from tests.benchmarks.rounds import Plan, Spread, spread

CALL_COUNT = 1_500
SERIES_COUNT = 4
FLASK = Peer("a Flask view that answers a constant", "nothing", "nothing")


def one_request_each(plan: Plan) -> Sequence[Row]:
    """CPU of POST /ingest and GET /status of five IDs, in turn in one process.

    While the service is open, then with a key, then with one whose requests are limited.
    """
    with plan.fresh_folder() as folder:
        app = create_app({"instance_path": str(folder), "dispatch": False})
        constant = _cpu_each(plan, partial(_call, _constant(), "GET", "/"))
        rows = [
            _row(plan, f"{what}{of_whom}", _cpu_each(plan, call), constant)
            for of_whom, key in _visitors(app)
            for what, call in _requests(app, key)
        ]
        with app.app_context():
            db.engine.dispose()
    return rows


def _visitors(app: Flask) -> Iterator[tuple[str, str | None]]:
    runtime = runtime_of(app)
    create = partial(create_key, runtime.database, role=Role.SUBMITTER, clock=runtime.clock)
    yield "", None
    yield ", with a key", create("plain").text
    yield ", with a limited key", create("limited", max_requests_per_minute=1_000_000).text


def _requests(app: Flask, key: str | None) -> Iterator[tuple[str, Callable[[], bytes]]]:
    ingest = partial(_call, app, "POST", "/ingest", SMALL.encode(), key=key)
    yield "POST /ingest", ingest
    ingestion_id = json.loads(ingest())["ingestion_id"]
    yield "GET /status", partial(_call, app, "GET", f"/status/{ingestion_id}", key=key)


def _constant() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"ingestion_id": "constant"})
    return app


def _call(
    app: Flask, method: str, path: str, body: bytes = b"", *, key: str | None = None
) -> bytes:
    builder = EnvironBuilder(path, method=method)
    environ: dict[str, Any] = builder.get_environ()
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    environ |= {"CONTENT_TYPE": "application/json"} if body else {}
    environ |= {} if key is None else {"HTTP_AUTHORIZATION": f"Bearer {key}"}
    return b"".join(app(environ, lambda *_: None))


def _cpu_each(plan: Plan, call: Callable[[], object]) -> Spread:
    """Microseconds of CPU, in series."""
    count = plan.size(CALL_COUNT, quick=20)
    found = []
    for _ in range(SERIES_COUNT):
        began = time.process_time()
        for _ in range(count):
            call()
        found.append((time.process_time() - began) / count * 1e6)
    return spread(found)


def _row(plan: Plan, what: str, ours: Spread, constant: Spread) -> Row:
    how = f"{SERIES_COUNT} series of {plan.size(CALL_COUNT, quick=20):,} calls in one process"
    return Row("CPU", f"{what}, 5 IDs", "us", how, ours=ours, peer=FLASK, theirs=constant)
