"""Spans for OpenTelemetry: of requests and of upstream calls.

Only where the extra `otel` is installed and the environment names a collector
(OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); otherwise nothing of
OpenTelemetry is imported. The exporter reads its other settings from the environment, too:
https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any

from flask import Flask

from ingest_app.events import emit

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_STOP_SECONDS = 2.0
"""How long a process that ends waits for a collector to take its last spans."""

_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_EXCLUDED_URLS = "healthz,readyz,metrics"
_GOOD_OUTCOME = "completed"

_log = logging.getLogger(__name__)


class _Tracing:
    """The spans of this process; there are none to be sent before `start`."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._started_by: int | None = None
        self.tracer = provider.get_tracer("ingest_app", version("ingest-app"))

    def start(self) -> None:
        if self._started_by == os.getpid():
            return
        with self._lock:
            if self._started_by != os.getpid():
                self._started_by = os.getpid()
                self._start()

    def _start(self) -> None:
        try:
            self.provider.add_span_processor(_new_processor())
        except Exception as error:  # it is no reason not to serve
            emit(_log, "tracing_not_started", level=logging.WARNING, reason=error)
            return
        atexit.register(self.stop)

    def stop(self) -> None:
        if self._started_by != os.getpid():
            return
        atexit.unregister(self.stop)
        # Without a limit, a collector that is away would keep the process.
        stopping = threading.Thread(target=self.provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(_STOP_SECONDS)


_tracing: _Tracing | None = None


def trace_requests(app: Flask, environ: Mapping[str, str]) -> None:
    """Make spans from now on, if a collector is named; its first request starts to send them."""
    global _tracing  # noqa: PLW0603 (what is traced has no other way to it)
    if not any(environ.get(name) for name in ENDPOINTS):
        return
    try:
        instrumentor = import_module("opentelemetry.instrumentation.flask").FlaskInstrumentor()
        import_module(_EXPORTER)
        _tracing = _Tracing(_new_provider())
    except ImportError as error:
        emit(_log, "tracing_not_installed", level=logging.WARNING, reason=error)
        return
    app.before_request(_tracing.start)
    excluded_urls = environ.get("OTEL_PYTHON_FLASK_EXCLUDED_URLS", _EXCLUDED_URLS)
    instrumentor.instrument_app(app, tracer_provider=_tracing.provider, excluded_urls=excluded_urls)


def start_tracing() -> None:
    """Begin to send spans; after the fork, since the thread that does would not survive it."""
    if _tracing is not None:
        _tracing.start()


def stop_tracing() -> None:
    """Send what is left, for two seconds at most."""
    if _tracing is not None:
        _tracing.stop()


@contextmanager
def upstream_call(*, source: str, batch_id: int, attempt: int) -> Iterator[Callable[[str], None]]:
    """A span of one call of an upstream; what it yields is to be told the outcome."""
    if _tracing is None:
        yield _ignore
        return
    facts = {"ingest.source": source, "ingest.batch_id": batch_id, "ingest.attempt": attempt}
    with _tracing.tracer.start_as_current_span(
        f"call {source}",
        kind=import_module("opentelemetry.trace").SpanKind.CLIENT,
        attributes=facts,
        record_exception=False,  # its text may quote what is secret
        set_status_on_exception=False,
    ) as span:
        yield lambda outcome: _note_outcome(span, outcome)


def _ignore(_outcome: str) -> None:
    pass


def _note_outcome(span: Any, outcome: str) -> None:
    span.set_attribute("ingest.outcome", outcome)
    if outcome != _GOOD_OUTCOME:
        span.set_status(import_module("opentelemetry.trace").StatusCode.ERROR)


def _new_provider() -> Any:
    resources = import_module("opentelemetry.sdk.resources")
    ours = {"service.name": "ingest", "service.version": version("ingest-app")}
    # What the environment says of the service comes before ours.
    resource = resources.Resource.create(ours).merge(resources.OTELResourceDetector().detect())
    trace = import_module("opentelemetry.sdk.trace")
    return trace.TracerProvider(resource=resource, shutdown_on_exit=False)


def _new_processor() -> Any:
    exporter = import_module(_EXPORTER)
    export = import_module("opentelemetry.sdk.trace.export")
    return export.BatchSpanProcessor(exporter.OTLPSpanExporter())
