"""The service's own proof of its promises, run on a database file."""

from __future__ import annotations

from pathlib import Path

from ingest_app.clock import SystemClock
from ingest_app.database import open_for_reading
from ingest_app.verifying import Report, verify


def verified(path: Path) -> Report:
    """The report on a database; every promise must hold."""
    database = open_for_reading(path)
    try:
        report = verify(database, clock=SystemClock())
    finally:
        database.engine.dispose()
    assert report.findings == ()
    return report
