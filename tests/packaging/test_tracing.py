"""Spans of a real service, as a small collector of OpenTelemetry receives them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.lacking import lacking
from tests.support.service import gunicorn, running, until

pytestmark = pytest.mark.packaging

SECRET_ID = "needle-in-the-ids"
AT_ONCE = {"interval_seconds": 0, "simulated_latency_seconds": 0}
NEVER = 3_600_000
"""Milliseconds; the spans are sent when the worker stops."""


class Collector(ThreadingHTTPServer):
    """Keeps what was sent to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.bodies: list[bytes] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> Sequence[Any]:
        return [
            span
            for resource in self._resources()
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        return {
            str(attributes(resource.resource)["service.name"]) for resource in self._resources()
        }

    def _resources(self) -> Sequence[Any]:
        proto = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        read = proto.ExportTraceServiceRequest.FromString
        return [resource for body in self.bodies for resource in read(body).resource_spans]


class _Keep(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def attributes(node: Any) -> dict[str, object]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in node.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        lacking("the extra otel: pip install -c constraints.txt -e '.[otel]'")
    with _serving() as collector:
        yield collector


@contextmanager
def _serving() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_requests_and_upstream_calls_have_spans(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with running(tmp_path, gunicorn("--workers", "2"), **AT_ONCE) as service:
        service.ingest([SECRET_ID, 2, 3, 4])
        service.wait_until_all_ended()
        until(lambda: len(collector.spans()) >= 3, "a span of the request and two of calls")
        named = {span.name: span for span in collector.spans()}
    assert set(collector.paths) == {"/v1/traces"}
    assert attributes(named["POST /ingest"])["http.route"] == "/ingest"
    call = attributes(named["call default"])
    assert call.keys() == {"ingest.source", "ingest.batch_id", "ingest.attempt", "ingest.outcome"}
    assert (call["ingest.attempt"], call["ingest.outcome"]) == (1, "completed")
    # `running` has asked /readyz.
    assert not [name for name in named if "ready" in name]
    assert collector.services() == {"ingest"}
    assert SECRET_ID.encode() not in b"".join(collector.bodies)


def test_worker_that_stops_sends_its_last_spans(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", str(NEVER))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another-name")
    with running(tmp_path, gunicorn("--workers", "1", "--preload"), dispatch="false") as service:
        service.get("/status/x")
        assert collector.bodies == []
        service.send_signal(signal.SIGTERM)
        assert service.wait_for_exit() == 0
    assert [span.name for span in collector.spans()] == ["GET /status/<ingestion_id>"]
    assert collector.services() == {"another-name"}


def test_call_that_fails_is_an_error_without_its_text(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance/ingest.toml").write_text(
        "[sources.closed]\nkind = 'http'\nurl = 'http://127.0.0.1:1/?ids={ids}&key=${KEY}'\n"
    )
    monkeypatch.setenv("KEY", "hush-hush")
    with running(tmp_path, **AT_ONCE) as service:
        service.ingest([SECRET_ID], source="closed")
        until(lambda: any(s.name == "call closed" for s in collector.spans()), "the call's span")
        (span, *_) = [span for span in collector.spans() if span.name == "call closed"]
    assert attributes(span)["ingest.outcome"] == "retried"
    assert span.status.code == 2  # an error
    assert not span.events
    sent = b"".join(collector.bodies)
    assert b"hush-hush" not in sent
    assert SECRET_ID.encode() not in sent


def test_collector_that_is_away_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    collector.server_close()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with running(tmp_path, **AT_ONCE) as service:
        service.ingest([1])
        service.wait_until_all_ended()
        service.send_signal(signal.SIGTERM)
        # Less than gunicorn would let it try before it kills it.
        assert service.process.wait(25) == 0
