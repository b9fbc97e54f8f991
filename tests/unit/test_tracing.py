"""OpenTelemetry is not touched unless somebody asks for it."""

from __future__ import annotations

import subprocess
import sys
from typing import NoReturn
from unittest.mock import Mock

import pytest
from flask import Flask

from ingest_app import tracing

NOTHING_IMPORTED = """
import sys, ingest_app.application, ingest_app.in_flight, ingest_app.tracing as tracing
from flask import Flask
tracing.trace_requests(Flask("app"), {})
tracing.start_tracing()
with tracing.upstream_call(source="default", batch_id=1, attempt=1) as tell:
    tell("completed")
tracing.stop_tracing()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_nothing_of_it_is_imported_when_no_collector_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_IMPORTED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_missing_extra_is_said_and_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def not_there(name: str) -> NoReturn:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(tracing, "import_module", not_there)
    app = Flask("app")
    tracing.trace_requests(app, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert caplog.messages[0].startswith("tracing_not_installed reason=No module named")
    assert app.before_request_funcs == {}
    with tracing.upstream_call(source="default", batch_id=1, attempt=1) as tell:
        tell("completed")


def test_exporter_that_cannot_be_made_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "_new_processor", Mock(side_effect=ValueError("a bad address")))
    spans = tracing._Tracing(Mock())
    spans.start()
    spans.start()
    assert caplog.messages == ["tracing_not_started reason=a bad address"]


def test_spans_are_sent_from_each_process_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_new_processor", Mock())
    monkeypatch.setattr("ingest_app.tracing.atexit.register", Mock())
    provider = Mock()
    spans = tracing._Tracing(provider)
    spans.start()
    spans.start()
    assert provider.add_span_processor.call_count == 1
    monkeypatch.setattr("ingest_app.tracing.os.getpid", lambda: -1)
    spans.start()
    assert provider.add_span_processor.call_count == 2
