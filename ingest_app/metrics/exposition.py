"""One scrape, as text."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.metrics.counters import dispatch_families
from ingest_app.metrics.gauges import build_families, file_families, look_at_queue
from ingest_app.metrics.request_totals import read_request_totals, request_families
from ingest_app.queue.totals import SourceTotals, count_dispatches, read_totals
from ingest_app.runtime import Runtime

_COUNTING_SECONDS = 0.5
"""How long a scrape counts what is new in the ledger; the next one goes on."""

_NO_VERSION = re.compile(r"version=(?!\d{1,9}(?:\.\d{1,9})*\s*(?:[;,]|$))", re.ASCII)

_log = logging.getLogger(__name__)


class _Found(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def expose(runtime: Runtime, accept: str, *, is_writable: bool = True) -> tuple[bytes, str]:
    """All metrics in the form that the header `accept` asks for, and its content type.

    The plain form where it asks for a version that is none.

    is_writable: False to leave the ledger uncounted, as when the database was just found locked:
        to wait for it again would take longer than a scrape may.
    Raises DatabaseError when the database cannot be read.
    """
    is_counted = not is_writable or _count_dispatches(runtime)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(list(_collect(runtime, is_counted=is_counted))))
    encode, content_type = _encoder(accept)
    return encode(registry), content_type


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    # The library fails at what is no version, or repeats it in the content type.
    return choose_encoder("" if _NO_VERSION.search(accept) else accept)


def _collect(runtime: Runtime, *, is_counted: bool) -> Iterator[Metric]:
    with runtime.database.read() as connection:
        gauges = look_at_queue(connection, runtime)
        totals = read_totals(connection)
        requests = read_request_totals(connection)
    yield from gauges.families()
    # Half counted they would look like a burst of dispatches; without a value, like nothing.
    if is_counted:
        none_yet = {name: SourceTotals() for name in runtime.settings.sources}
        yield from dispatch_families({**none_yet, **totals})
    yield from request_families(requests)
    yield from file_families(Path(str(runtime.database.engine.url.database)))
    yield from build_families()


def _count_dispatches(runtime: Runtime) -> bool:
    """False when there is more to count than a scrape has time for."""
    try:
        return count_dispatches(runtime.database, within_seconds=_COUNTING_SECONDS)
    except DatabaseError as error:
        # Of a disk that is full or read-only one wants to know the rest all the same; these
        # counters stand still.
        emit(_log, "dispatches_not_counted", level=logging.WARNING, reason=error)
        return True
