"""Prove or refute the promises from a database alone, live or a copy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import MigrationError
from ingest_app.migrating import schema_is_current
from ingest_app.models import dispatches
from ingest_app.verifying.consistency import find_contradictions, newest_time
from ingest_app.verifying.findings import Finding
from ingest_app.verifying.order import find_order_violations
from ingest_app.verifying.pace import PaceFigures, measure_pace

__all__ = ["Finding", "PaceFigures", "Report", "verify"]


@dataclass(frozen=True)
class Report:
    """What was found.

    sources: the pace of every source that was ever dispatched.
    findings: the violations; none when every promise holds.
    """

    sources: tuple[PaceFigures, ...]
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """True when nothing speaks against a promise."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The report as types that JSON has."""
        return {
            "holds": self.holds,
            "sources": [asdict(figures) for figures in self.sources],
            "findings": [asdict(finding) for finding in self.findings],
        }


def verify(database: Database, *, clock: Clock | None = None) -> Report:
    """Check everything in one consistent snapshot; nothing is written.

    clock: judges leases of a database on which a service runs; None for a copy or a stopped
        service, whose leases are judged by the newest time in the file.
    Raises DatabaseError, and MigrationError when the schema is not the one this version reads.
    """
    if not schema_is_current(database):
        raise MigrationError(
            "The database has the schema of another version (ingest db upgrade brings an older one"
            " to this one's), or is not ours."
        )
    with database.read() as connection:
        findings = find_contradictions(connection, _present(connection, clock))
        if any(finding.promise == "file" for finding in findings):
            return Report((), tuple(findings))
        sources = []
        for source in _sources(connection):
            figures, too_close = measure_pace(connection, source)
            sources.append(figures)
            findings += [*too_close, *find_order_violations(connection, source)]
    return Report(tuple(sources), tuple(findings))


def _present(connection: Connection, clock: Clock | None) -> Moment:
    if clock is not None:
        return clock.read()
    return Moment(newest_time(connection) or datetime.fromtimestamp(0, UTC))


def _sources(connection: Connection) -> list[str]:
    query = select(dispatches.c.source).distinct().order_by(dispatches.c.source)
    return list(connection.scalars(query))
