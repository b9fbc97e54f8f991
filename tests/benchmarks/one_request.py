"""CPU: what one small request costs inside the application, without a server around it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from ingest_app import create_app
from ingest_app.extensions import db
from tests.benchmarks.load import SMALL
from tests.benchmarks.report import Peer, Row
from tests.benchmarks.rounds import Plan, Spread, spread

CALL_COUNT = 1_500
SERIES_COUNT = 4
FLASK = Peer("a Flask view that answers a constant", "nothing", "nothing")


def one_request_each(plan: Plan) -> Sequence[Row]:
    """CPU of POST /ingest and GET /status of five IDs, in turn in one process."""
    with plan.fresh_folder() as folder:
        app = create_app({"instance_path": str(folder), "dispatch": False})
        ingest = partial(_call, app, "POST", "/ingest", SMALL.encode())
        status = partial(_call, app, "GET", f"/status/{json.loads(ingest())['ingestion_id']}")
        constant = _cpu_each(plan, partial(_call, _constant(), "GET", "/"))
        rows = [
            _row(plan, "POST /ingest", _cpu_each(plan, ingest), constant),
            _row(plan, "GET /status", _cpu_each(plan, status), constant),
        ]
        with app.app_context():
            db.engine.dispose()
    return rows


def _constant() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"ingestion_id": "constant"})
    return app


def _call(app: Flask, method: str, path: str, body: bytes = b"") -> bytes:
    builder = EnvironBuilder(path, method=method)
    environ: dict[str, Any] = builder.get_environ()
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    environ |= {"CONTENT_TYPE": "application/json"} if body else {}
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
