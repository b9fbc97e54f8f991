"""What every request leaves behind: its id on the answer, its duration in the metrics, a line."""

from __future__ import annotations

import logging
import re
import time

from flask import Flask, Response, request

from ingest_app.events import REQUEST_ID, emit, new_request_id
from ingest_app.logs import OneLine
from ingest_app.metrics.request_times import RequestTimes
from ingest_app.metrics.request_totals import Kind
from ingest_app.runtime import runtime_of

HEADER = "X-Request-ID"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_BEGAN = "ingest.began"
_NO_ROUTE = "none"
# What a client makes up must not become a series of its own.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES = {hundred: f"{hundred}xx" for hundred in range(1, 6)}

_ONE_LINE = OneLine()

_log = logging.getLogger(__name__)


def observe_requests(app: Flask) -> None:
    """Watch all requests of `app`, from before anything else may answer one."""
    runtime = runtime_of(app)
    times = RequestTimes(runtime.database)
    times.attach(app)
    logs_requests = runtime.settings.log_requests
    app.logger.addFilter(_ONE_LINE)
    # Before what was registered earlier, which may fail.
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - request.environ[_BEGAN]
        kind = _kind(response)
        times.add(kind, seconds)
        response.headers[HEADER] = REQUEST_ID.get()
        if logs_requests:
            _tell(kind, response, seconds)
        REQUEST_ID.set(None)
        return response


def _begin() -> None:
    request.environ[_BEGAN] = time.perf_counter()
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    REQUEST_ID.set(given if _SANE_ID.fullmatch(given) else new_request_id())


def _kind(response: Response) -> Kind:
    rule, method = request.url_rule, request.method
    return Kind(
        rule.rule if rule is not None else _NO_ROUTE,
        method if method in _METHODS else "other",
        _STATUSES.get(response.status_code // 100, "other"),
    )


def _tell(kind: Kind, response: Response, seconds: float) -> None:
    emit(
        _log,
        "request_answered",
        method=kind.method,
        route=kind.route,
        status=response.status_code,
        duration_ms=round(seconds * 1000, 3),
    )
