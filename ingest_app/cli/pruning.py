"""What `ingest prune` does; apart, because what it needs takes a second to import."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from ingest_app.application import configured_database, configured_store
from ingest_app.cli.exits import Unusable
from ingest_app.clock import SystemClock
from ingest_app.database import Database
from ingest_app.queue.prunable import count_prunable
from ingest_app.retention import Swept, sweep


def count(days: float | None) -> Mapping[str, int]:
    """How many ingestions, batches and IDs would go."""
    with _opened(days) as (database, term), database.read() as connection:
        before = SystemClock().read().at - timedelta(days=term)
        counted = count_prunable(connection, before)
        return {name: int(getattr(counted, name)) for name in counted._fields}


def sweep_file(days: float | None) -> Swept | None:
    """Delete them; None while another process is at it."""
    with _opened(days) as (database, term):
        return sweep(database, term, clock=SystemClock(), wait=_pause)


@contextmanager
def _opened(days: float | None) -> Iterator[tuple[Database, float]]:
    term = configured_store()[1].retention_days if days is None else days
    if term is None:
        raise Unusable("Say --days, or set retention_days.")
    with configured_database() as database:
        yield database, term


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
