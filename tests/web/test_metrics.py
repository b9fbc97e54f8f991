"""`/metrics`: what Prometheus is told, and that the documentation tells of all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse
from sqlalchemy import text

from ingest_app.clock import SystemClock
from ingest_app.database import Database
from ingest_app.errors import DatabaseBusy, DatabaseFull, DatabaseUnavailable
from ingest_app.metrics import exposition
from ingest_app.metrics.request_times import request_times_of
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.control import pause_source
from ingest_app.queue.recover import recover_expired_leases
from ingest_app.queue.settle import complete_batch
from ingest_app.runtime import runtime_of

from .conftest import check_problem

DOCS = Path(__file__).parents[2] / "docs"
NAME = re.compile(r"\bingest_[a-z_]+")
Labels = tuple[tuple[str, str], ...]


def scrape(client: FlaskClient) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and sorted labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(answer.text)
        for sample in family.samples
    }


def value(client: FlaskClient, name: str, **labels: str) -> float:
    return scrape(client)[name, tuple(sorted(labels.items()))]


def claim(app: Flask) -> Claim:
    runtime = runtime_of(app)
    source = runtime.settings.source("default")
    found = claim_next_batch(runtime.database, source, worker="worker", clock=SystemClock())
    assert isinstance(found, Claim)
    return found


def complete(app: Flask, held: Claim) -> None:
    runtime = runtime_of(app)
    complete_batch(runtime.database, held, fetched=(), called=held.claimed, clock=runtime.clock)


def _cannot_be_written(_: Database) -> NoReturn:
    raise DatabaseFull("no room")


def _cannot_be_read(_: Database) -> NoReturn:
    raise DatabaseUnavailable("no such file")


def test_backlog_is_told_by_source_and_priority(app: Flask, client: FlaskClient) -> None:
    client.post("/ingest", json={"ids": list(range(7)), "priority": "HIGH"})
    client.post("/ingest", json={"ids": [1], "priority": "LOW", "source": "catalog"})
    claim(app)
    found = scrape(client)

    def of(name: str, source: str, priority: str) -> float:
        return found[name, (("priority", priority), ("source", source))]

    assert of("ingest_waiting_batches", "default", "HIGH") == 2
    assert of("ingest_waiting_batches", "catalog", "LOW") == 1
    assert of("ingest_in_flight_batches", "default", "HIGH") == 1
    assert of("ingest_oldest_waiting_seconds", "default", "HIGH") > 0
    assert of("ingest_oldest_waiting_seconds", "default", "LOW") == 0


def test_source_that_is_stopped_is_told(app: Flask, client: FlaskClient) -> None:
    assert value(client, "ingest_source_paused", source="default") == 0
    client.post("/ingest", json={"ids": [1], "priority": "LOW"})
    claim(app)
    runtime = runtime_of(app)
    pause_source(runtime.database, "default", clock=runtime.clock)
    with runtime.database.write() as connection:
        connection.execute(text("UPDATE sources SET deferred_until = '2999-01-01 00:00:00.000000'"))
    assert value(client, "ingest_source_paused", source="default") == 1
    assert value(client, "ingest_source_deferred", source="default") == 1
    assert value(client, "ingest_source_backing_off", source="default") == 0


def test_counters_begin_with_zero(client: FlaskClient) -> None:
    # Else Prometheus would not see the first of them as an increase.
    for source in ("default", "catalog"):
        labels = {"source": source}
        assert value(client, "ingest_dispatches_total", outcome="completed", **labels) == 0
        assert value(client, "ingest_slots_used_total", **labels) == 0
        assert value(client, "ingest_slots_wasted_total", **labels) == 0
        assert value(client, "ingest_recovered_leases_total", **labels) == 0
        assert value(client, "ingest_slot_lateness_seconds_count", **labels) == 0


def test_dispatches_are_counted_when_they_have_ended(app: Flask, client: FlaskClient) -> None:
    client.post("/ingest", json={"ids": [1], "priority": "LOW"})
    held = claim(app)
    ended = {"source": "default", "outcome": "completed"}
    assert value(client, "ingest_dispatches_total", **ended) == 0
    complete(app, held)
    assert value(client, "ingest_dispatches_total", **ended) == 1
    assert value(client, "ingest_slots_used_total", source="default") == 1


def test_recovered_leases_are_counted(app: Flask, client: FlaskClient) -> None:
    client.post("/ingest", json={"ids": [1], "priority": "LOW"})
    claim(app)
    runtime = runtime_of(app)
    source = runtime.settings.source("default")
    recovered = recover_expired_leases(
        runtime.database, source, clock=runtime.clock, is_dead=lambda _worker: True
    )
    assert len(recovered) == 1
    assert value(client, "ingest_recovered_leases_total", source="default") == 1


def test_requests_are_told_by_rule_and_class_of_status(client: FlaskClient) -> None:
    client.get("/status/no-such-ingestion")
    client.get("/status/nor-this-one?secret=1")
    client.get("/nowhere")
    client.open("/healthz", method="BREW")
    name = "ingest_request_duration_seconds_count"
    status = {"route": "/status/<ingestion_id>", "method": "GET", "status": "4xx"}
    assert value(client, name, **status) == 2
    assert value(client, name, route="none", method="GET", status="4xx") == 1
    assert value(client, name, route="none", method="other", status="4xx") == 1
    assert value(client, name, route="/metrics", method="GET", status="2xx") == 3


def test_buckets_of_a_histogram_add_up(client: FlaskClient) -> None:
    for _ in range(3):
        client.get("/healthz")
    found = scrape(client)
    labels = (("method", "GET"), ("route", "/healthz"), ("status", "2xx"))
    whole = (*labels, ("le", "+Inf"))
    assert found["ingest_request_duration_seconds_bucket", tuple(sorted(whole))] == 3
    assert 0 < found["ingest_request_duration_seconds_sum", labels] < 60


def test_sizes_are_those_of_the_files(app: Flask, client: FlaskClient) -> None:
    path = Path(str(runtime_of(app).database.engine.url.database))
    size = value(client, "ingest_database_bytes", file="main")
    assert size == path.stat().st_size
    assert value(client, "ingest_database_bytes", file="wal") > 0
    assert value(client, "ingest_database_disk_free_bytes") > 0


def test_long_ledger_is_left_out_until_it_is_counted(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "count_dispatches", lambda *_, **__: False)
    names = {name for name, _ in scrape(client)}
    assert "ingest_dispatches_total" not in names
    assert "ingest_waiting_batches" in names


@pytest.mark.parametrize("has_requests", [True, False], ids=["requests", "dispatches alone"])
def test_full_disk_leaves_the_gauges(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, has_requests: bool
) -> None:
    client.post("/ingest", json={"ids": list(range(6)), "priority": "HIGH"})
    complete(app, claim(app))
    if not has_requests:
        request_times_of(app).flush()
    monkeypatch.setattr(Database, "write", _cannot_be_written)
    waiting = {"source": "default", "priority": "HIGH"}
    assert value(client, "ingest_waiting_batches", **waiting) == 1
    assert value(client, "ingest_slots_used_total", source="default") == 0


def test_locked_database_is_waited_for_once_in_a_scrape(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/ingest", json={"ids": [1], "priority": "LOW"})
    complete(app, claim(app))
    tries: list[str] = []

    def locked(_: Database) -> NoReturn:
        tries.append("write")
        raise DatabaseBusy("locked")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", locked)
        assert value(client, "ingest_slots_used_total", source="default") == 0
    assert tries == ["write"]
    assert value(client, "ingest_slots_used_total", source="default") == 1


def test_database_that_cannot_be_read_is_a_503(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "read", _cannot_be_read)
    answer = client.get("/metrics")
    check_problem(answer, 503)
    assert answer.headers["Retry-After"]


ODD_ACCEPT = [
    "text/plain; version=x",
    "text/plain; version=",
    "text/plain;version=1.0.0\xff",
    "text/plain; version=" + "9" * 5_000,
    "application/openmetrics-text; version=1.x.0",
    "application/openmetrics-text; version=1.1.made-up",
    'application/openmetrics-text; version="1.0.0"',
    "application/openmetrics-text; version=\xff",
    "application/openmetrics-text; version=\xb2",  # a digit to Python, and no number
]


@pytest.mark.parametrize("accept", ODD_ACCEPT)
def test_plain_form_is_answered_to_who_asks_for_no_version(
    client: FlaskClient, accept: str
) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert list(parse(answer.text))


@pytest.mark.parametrize(
    "accept",
    [*ODD_ACCEPT, "", ";", ",", "*", "q=x", "text/html;q=\xff", "*/*;q=-1", "\x80" * 4_000],
)
def test_no_route_fails_at_an_odd_accept_header(
    app: Flask, client: FlaskClient, accept: str
) -> None:
    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()):
            path = re.sub(r"<[^>]*>", "x", rule.rule)
            answer = client.get(path, headers={"Accept": accept})
            assert answer.status_code < 500, path


def test_openmetrics_is_answered_to_who_asks_for_it(client: FlaskClient) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_open(answer.text)}  # type: ignore[no-untyped-call]
    assert {"ingest_dispatches", "ingest_build", "ingest_waiting_batches"} <= names
    plain = client.get("/metrics")
    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_documentation_tells_of_every_metric_its_type_and_its_labels(client: FlaskClient) -> None:
    client.get("/healthz")
    table = re.findall(
        r"^\| `(ingest_\w+)` \| (\w+) \| ([^|]*) \|",
        (DOCS / "observability.md").read_text(),
        re.MULTILINE,
    )
    told = {name: (kind, tuple(sorted(re.findall(r"\w+", labels)))) for name, kind, labels in table}
    assert told == {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            tuple(sorted({label for each in family.samples for label in each.labels} - {"le"})),
        )
        for family in parse(client.get("/metrics").text)
    }


@pytest.mark.parametrize("file", ["alerts.yml", "alerts_test.yml", "dashboard.json"])
def test_rules_and_dashboard_name_only_metrics_that_there_are(
    client: FlaskClient, file: str
) -> None:
    client.get("/healthz")
    there = {name for name, _ in scrape(client)}
    named = set(NAME.findall((DOCS / "monitoring" / file).read_text()))
    assert named - there == set()
    assert len(named) > 10


def test_dashboard_has_an_expression_on_every_panel() -> None:
    board = json.loads((DOCS / "monitoring/dashboard.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])
