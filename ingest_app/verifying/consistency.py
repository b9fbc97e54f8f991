"""Do the tables contradict each other? What they must agree on follows from the promises."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text

from ingest_app import sqlite
from ingest_app.clock import Moment
from ingest_app.models import batches, dispatches, packed_batches
from ingest_app.queue.columns import TRIGGERED, lease_is_over
from ingest_app.source_sections import LONGEST_LEASE_SECONDS
from ingest_app.verifying.findings import DAMAGED, ENDED_OTHERWISE, ORPHANED, Finding

_OVERDUE_SECONDS = 60.0
"""So long after its end a lease should have been taken back by any running service."""

_LONGEST_LEASE_SECONDS = LONGEST_LEASE_SECONDS + _OVERDUE_SECONDS


class _Rule(NamedTuple):
    promise: str
    what: str
    query: str


_COUNTED_RECORDS = """
        LEFT JOIN (SELECT batch_id, count(*) AS record_count FROM records GROUP BY batch_id) r
          ON r.batch_id = b.id
"""

# What is being deleted is half there.
_IS_KEPT = "b.ingestion_id NOT IN (SELECT id FROM ingestions WHERE pruned_at IS NOT NULL)"

_RULES = (
    _Rule(
        "P1",
        "An ingestion does not have all its batches and IDs.",
        """
        SELECT 'ingestion ' || i.id FROM ingestions i
        LEFT JOIN (
            SELECT ingestion_id, sum(batch_count) AS batch_count,
                   max(last_position) AS last_position, sum(id_count) AS id_count
            FROM (
                SELECT ingestion_id, 1 AS batch_count, position AS last_position,
                       json_array_length(ids) AS id_count
                FROM batches
                UNION ALL
                SELECT ingestion_id, batch_count, first_position + batch_count - 1,
                       (SELECT sum(CASE type WHEN 'array' THEN json_array_length(value) END)
                        FROM json_each(packed_batches.ids))
                FROM packed_batches
            ) GROUP BY ingestion_id
        ) b ON b.ingestion_id = i.id
        WHERE i.pruned_at IS NULL
          AND (b.batch_count IS NULL OR b.batch_count <> i.batch_count
               OR b.last_position <> i.batch_count OR b.id_count <> i.id_count)
        """,
    ),
    _Rule(
        "P1",
        "A packed batch has the place of another batch.",
        """
        SELECT 'packed batch ' || p.first_batch_id FROM packed_batches p
        WHERE EXISTS (
                SELECT 1 FROM batches b WHERE b.ingestion_id = p.ingestion_id
                AND b.position BETWEEN p.first_position AND p.first_position + p.batch_count - 1)
           OR EXISTS (
                SELECT 1 FROM batches b
                WHERE b.id BETWEEN p.first_batch_id AND p.first_batch_id + p.batch_count - 1)
           OR EXISTS (
                SELECT 1 FROM packed_batches q WHERE q.ingestion_id = p.ingestion_id
                AND q.first_position > p.first_position
                AND q.first_position < p.first_position + p.batch_count)
           OR EXISTS (
                SELECT 1 FROM packed_batches q WHERE q.first_batch_id > p.first_batch_id
                AND q.first_batch_id < p.first_batch_id + p.batch_count)
        """,
    ),
    _Rule(
        "P1",
        "A packed batch does not have the batches it is said to have.",
        """
        SELECT 'packed batch ' || first_batch_id FROM packed_batches
        WHERE json_array_length(ids) <> batch_count
           OR EXISTS (SELECT 1 FROM json_each(ids) WHERE type <> 'array')
        """,
    ),
    _Rule(
        "P6",
        "A batch that is not triggered has a dispatch without an end.",
        """
        SELECT 'dispatch ' || d.id FROM dispatches d JOIN batches b ON b.id = d.batch_id
        WHERE d.outcome IS NULL AND b.status <> 'triggered'
        """,
    ),
    _Rule(
        "P7",
        "A batch was given to two workers at once.",
        """
        SELECT 'batch ' || batch_id FROM dispatches WHERE outcome IS NULL
        GROUP BY batch_id HAVING count(*) > 1
        """,
    ),
    _Rule(
        "P7",
        "A batch was dispatched again after it had ended.",
        """
        SELECT 'dispatch ' || later.id FROM dispatches earlier
        JOIN dispatches later ON later.batch_id = earlier.batch_id AND later.id > earlier.id
        WHERE earlier.outcome = 'completed'
        """,
    ),
    _Rule(
        "P2",
        "A batch is triggered or completed without a dispatch that says so.",
        f"""
        SELECT 'batch ' || b.id FROM batches b
        WHERE {_IS_KEPT} AND (
            (b.status = 'completed' AND NOT EXISTS (
                SELECT 1 FROM dispatches d WHERE d.batch_id = b.id AND d.outcome = 'completed'))
            OR (b.status = 'triggered' AND NOT EXISTS (
                SELECT 1 FROM dispatches d WHERE d.batch_id = b.id AND d.outcome IS NULL)))
        """,
    ),
    _Rule(
        "P8",
        ENDED_OTHERWISE,
        """
        SELECT 'ingestion ' || i.id FROM ingestions i
        WHERE i.pruned_at IS NULL AND (i.ended_at IS NULL) <> (
            EXISTS (
                SELECT 1 FROM batches b WHERE b.ingestion_id = i.id
                AND b.status IN ('yet_to_start', 'triggered'))
            OR EXISTS (
                SELECT 1 FROM packed_batches p WHERE p.ingestion_id = i.id
                AND p.status = 'yet_to_start'))
        """,
    ),
    _Rule(
        "P9",
        "A batch that is completed or has failed does not have one record for each of its IDs.",
        f"""
        SELECT 'batch ' || b.id FROM batches b {_COUNTED_RECORDS}
        WHERE b.status IN ('completed', 'failed') AND {_IS_KEPT}
          AND coalesce(record_count, 0) <> json_array_length(b.ids)
        """,
    ),
    _Rule(
        "P9",
        "A batch is to go again though each of its IDs has a record.",
        f"""
        SELECT 'batch ' || b.id FROM batches b {_COUNTED_RECORDS}
        WHERE b.status IN ('yet_to_start', 'triggered')
          AND record_count >= json_array_length(b.ids)
        """,
    ),
    _Rule(
        "P9",
        "A batch has records though none of its calls was settled.",
        f"""
        SELECT 'batch ' || b.id FROM batches b
        WHERE {_IS_KEPT} AND EXISTS (SELECT 1 FROM records r WHERE r.batch_id = b.id)
          AND NOT EXISTS (
            SELECT 1 FROM dispatches d
            WHERE d.batch_id = b.id
              AND d.outcome IN ('completed', 'retried', 'deferred', 'failed', 'lost'))
        """,
    ),
)


def find_contradictions(connection: Connection, now: Moment) -> list[Finding]:
    """What SQLite finds in the file, or else every row that breaks a rule, and stuck batches.

    now: when to judge leases.
    """
    damage = sqlite.find_damage(connection)
    if damage:
        return [Finding("file", DAMAGED, where) for where in damage]
    broken = [
        Finding(rule.promise, rule.what, where)
        for rule in _RULES
        for where in connection.scalars(text(rule.query))
    ]
    orphans = sqlite.find_orphans(connection)
    referring = [Finding("P8", ORPHANED, where) for where in orphans]
    return [*broken, *referring, *_stuck(connection, now)]


def newest_time(connection: Connection) -> datetime | None:
    """The last thing that happened in this database; None when nothing did."""
    times = (
        batches.c.created_at,
        packed_batches.c.created_at,
        dispatches.c.dispatched_at,
        dispatches.c.finished_at,
    )
    found = [connection.scalar(select(func.max(time))) for time in times]
    return max((time for time in found if time is not None), default=None)


def _stuck(connection: Connection, now: Moment) -> list[Finding]:
    over = lease_is_over(now.later(-_OVERDUE_SECONDS), _LONGEST_LEASE_SECONDS)
    stuck = select(batches.c.id).where(TRIGGERED, over)
    what = "A batch is triggered, but its lease has run out and nothing takes it back."
    return [Finding("P6", what, f"batch {batch_id}") for batch_id in connection.scalars(stuck)]
