"""How the queue stands at this moment."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import Connection

from ingest_app.queue.backlog import (
    Deliveries,
    count_deliveries,
    count_in_flight,
    find_oldest,
)
from ingest_app.queue.source_states import SourceState, known_sources, state_of
from ingest_app.runtime import Runtime
from ingest_app.states import Priority

_BY_PRIORITY = ("source", "priority")
_FILES = {"main": "", "wal": "-wal"}


@dataclass(frozen=True)
class _Line:
    state: SourceState
    in_flight: Mapping[Priority, int]
    oldest: Mapping[Priority, datetime | None]


@dataclass(frozen=True)
class QueueGauges:
    """What was seen in one snapshot at `now`."""

    now: datetime
    lines: Sequence[_Line]
    deliveries: Deliveries

    def families(self) -> Iterator[Metric]:
        """The metrics of it."""
        yield from self._backlog()
        yield from self._sources()
        yield _gauge(
            "ingest_webhook_deliveries_waiting",
            "Ends of ingestions that a webhook is still to be told of.",
            {(): self.deliveries.waiting},
        )
        yield _gauge(
            "ingest_webhook_deliveries_given_up",
            "Ends of ingestions that a webhook could not be told of, until they are deleted.",
            {(): self.deliveries.given_up},
        )

    def _backlog(self) -> Iterator[Metric]:
        each = [(line, priority) for line in self.lines for priority in Priority]
        yield _gauge(
            "ingest_waiting_batches",
            "Batches that wait; near the truth only where more than 20,000 do.",
            {(i.state.name, p.value): i.state.waiting[p] for i, p in each},
            _BY_PRIORITY,
        )
        yield _gauge(
            "ingest_in_flight_batches",
            "Batches whose call is being made.",
            {(i.state.name, p.value): i.in_flight[p] for i, p in each},
            _BY_PRIORITY,
        )
        yield _gauge(
            "ingest_oldest_waiting_seconds",
            "How long ago the oldest batch that waits was submitted; 0 when none waits.",
            {(i.state.name, p.value): self._age(i.oldest[p]) for i, p in each},
            _BY_PRIORITY,
        )

    def _sources(self) -> Iterator[Metric]:
        states = [line.state for line in self.lines]
        yield _flag(
            "ingest_source_paused",
            "1 while a person has paused the source.",
            {state.name: state.paused_at is not None for state in states},
        )
        yield _flag(
            "ingest_source_deferred",
            "1 while the upstream has asked for a pause.",
            {state.name: self._is_ahead(state.deferred_until) for state in states},
        )
        yield _flag(
            "ingest_source_backing_off",
            "1 while calls wait since others failed.",
            {state.name: self._is_ahead(state.backoff_until) for state in states},
        )
        yield _gauge(
            "ingest_source_failures",
            "Failures of different batches since the last success.",
            {(state.name,): state.failure_count for state in states},
            ("source",),
        )
        yield _gauge(
            "ingest_interval_seconds",
            "The least time between the starts of two calls of the source.",
            {
                (state.name,): state.interval_seconds
                for state in states
                if state.interval_seconds is not None
            },
            ("source",),
        )

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self.now - since).total_seconds())

    def _is_ahead(self, until: datetime | None) -> bool:
        return until is not None and until > self.now


def look_at_queue(connection: Connection, runtime: Runtime) -> QueueGauges:
    """How all sources stand."""
    now, configured = runtime.clock.read(), runtime.settings.sources
    lines = [
        _Line(
            state_of(connection, name, configured.get(name), now),
            count_in_flight(connection, name),
            find_oldest(connection, name),
        )
        for name in known_sources(connection, configured)
    ]
    return QueueGauges(now.at, lines, count_deliveries(connection))


def file_families(database: Path) -> Iterator[Metric]:
    """How large the database's files are, and how much room there is for them."""
    yield _gauge(
        "ingest_database_bytes",
        "The size of the database file, and of its write-ahead log.",
        {(name,): _size(Path(f"{database}{suffix}")) for name, suffix in _FILES.items()},
        ("file",),
    )
    yield _gauge(
        "ingest_database_disk_free_bytes",
        "The room that is left on the disk of the database.",
        {(): shutil.disk_usage(database.parent).free},
    )


def build_families() -> Iterator[Metric]:
    """What runs."""
    build = {"version": version("ingest-app"), "python": platform.python_version()}
    yield InfoMetricFamily("ingest_build", "The version of the service.", build)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _flag(name: str, told: str, values: Mapping[str, bool]) -> Metric:
    return _gauge(name, told, {(key,): int(value) for key, value in values.items()}, ("source",))


def _gauge(
    name: str,
    told: str,
    values: Mapping[tuple[str, ...], float],
    labels: Sequence[str] = (),
) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
