"""Workers that claim, decide over what they claim from, and go on claiming, all at once.

Each runs in a thread or a process of its own, on real time, with a source that has no interval.
"""

from __future__ import annotations

from pathlib import Path

from ingest_app.clock import SystemClock
from ingest_app.database import Database
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.control import (
    cancel_ingestion,
    pause_source,
    resume_source,
    retry_ingestion,
)
from ingest_app.queue.settle import complete_batch
from ingest_app.queue.submit import submit_ingestion
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.queues import fetched, opened

CLAIMS_BEFORE = 3
"""How much each claims before it decides, so that all are in the middle of it."""

SOURCE = SourceSettings(interval_seconds=0, max_in_flight=64, batch_size=1)
_CLOCK = SystemClock()


def claim_some(database: Database, count: int | None = None) -> list[Claim]:
    """Claim up to so many batches, or until nothing may be claimed."""
    claims: list[Claim] = []
    while count is None or len(claims) < count:
        answer = claim_next_batch(database, SOURCE, worker="racer", clock=_CLOCK)
        if not isinstance(answer, Claim):
            break
        claims.append(answer)
    return claims


def cancel_amid_claims(path: Path, ingestion_id: str) -> int:
    """Cancel what is being claimed; how many claims were granted afterwards."""
    with opened(path) as database:
        claim_some(database, CLAIMS_BEFORE)
        cancel_ingestion(database, ingestion_id, clock=_CLOCK)
        return len(claim_some(database))


def retry_amid_claims(path: Path, ingestion_id: str) -> None:
    """Retry what is being claimed and completed, again and again until it has ended."""
    with opened(path) as database:
        retry_ingestion(database, ingestion_id)
        while claims := claim_some(database, 1):
            retry_ingestion(database, ingestion_id)
            complete_batch(
                database,
                claims[0],
                fetched=fetched(claims[0]),
                called=claims[0].claimed,
                clock=_CLOCK,
            )


def pause_amid_claims(path: Path) -> int:
    """Pause what is being claimed from, and go on; the last dispatch when it was paused."""
    with opened(path) as database:
        claim_some(database, CLAIMS_BEFORE)
        pause_source(database, SOURCE.name, clock=_CLOCK)
        with database.read() as connection:
            last = connection.exec_driver_sql("SELECT max(id) FROM dispatches").scalar_one()
        claim_some(database)
        return int(last)


def resume_and_claim(path: Path) -> None:
    """Resume what all want to claim from, and claim until nothing is left."""
    with opened(path) as database:
        resume_source(database, SOURCE.name)
        claim_some(database)


def submit_with_key(path: Path, key: str, ids: list[int]) -> str:
    """Submit IDs under a key."""
    with opened(path) as database:
        return submit_ingestion(
            database,
            ids=list(ids),
            priority=Priority.LOW,
            source=SOURCE,
            clock=_CLOCK,
            idempotency_key=key,
        )
