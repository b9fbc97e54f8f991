"""The statements every dispatch runs, built once: to build one anew costs more than to run it.

Parameters that choose rows are named `the_…`; all other parameters of an UPDATE are the columns it
sets.
"""

from __future__ import annotations

from sqlalchemy import bindparam, exists, func, insert, or_, select, update

from ingest_app.models import batches, dispatches, ingestions, records, sources
from ingest_app.queue.columns import TRIGGERED, WAITING

_THE_SOURCE = batches.c.source == bindparam("the_source")
_THE_BATCH = batches.c.id == bindparam("the_batch")
_HELD = (_THE_BATCH, TRIGGERED, batches.c.claim_token == bindparam("the_token"))
_GOES_NOW = (_THE_SOURCE, WAITING, batches.c.not_before.is_(None))
_GOES_LATER = (_THE_SOURCE, WAITING, batches.c.not_before.is_not(None))

_HAS_RECORDS = exists().where(records.c.batch_id == batches.c.id).label("has_records")

SOURCE = select(sources).where(sources.c.name == bindparam("the_source")).with_for_update()
ADD_SOURCE = insert(sources).returning(*sources.c)
FORGET_FAILURES = (
    update(sources)
    .where(
        sources.c.name == bindparam("the_source"),
        or_(sources.c.failure_count > 0, sources.c.last_error.is_not(None)),
    )
    .values(failure_count=0, failed_batch_id=None, backoff_until=None, last_error=None)
)
UPDATE_SOURCE = update(sources).where(sources.c.name == bindparam("the_source"))

IN_FLIGHT_COUNT = select(func.count()).where(_THE_SOURCE, TRIGGERED)
ANY_IN_FLIGHT = select(batches.c.id).where(_THE_SOURCE, TRIGGERED).limit(1)
ANY_THAT_GOES_NOW = select(batches.c.id).where(*_GOES_NOW).limit(1)
NEXT_BATCH = (
    select(batches.c.id, batches.c.ids, batches.c.attempt_count, _HAS_RECORDS)
    .where(*_GOES_NOW)
    .order_by(batches.c.priority_rank, batches.c.created_at, batches.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
NEWEST_BATCH_ID = select(func.max(batches.c.id))
FIRST_RETRY_AT = select(func.min(batches.c.not_before)).where(*_GOES_LATER)
ADMIT_DUE_RETRIES = (
    update(batches)
    .where(
        *_GOES_LATER,
        (batches.c.not_before <= bindparam("the_present"))
        | (batches.c.not_before > bindparam("the_longest_wait")),
    )
    .values(not_before=None)
)

RECORDS_OF_BATCH = select(records.c.position, records.c.outcome).where(
    records.c.batch_id == bindparam("the_batch")
)

IS_CANCELLED = (
    select(ingestions.c.cancelled_at.is_not(None))
    .join(batches, batches.c.ingestion_id == ingestions.c.id)
    .where(_THE_BATCH)
)
UPDATE_BATCH = update(batches).where(_THE_BATCH)
UPDATE_HELD_BATCH = update(batches).where(*_HELD)
IS_HELD = select(batches.c.id).where(*_HELD)

ADD_DISPATCH = insert(dispatches).returning(dispatches.c.id)
UPDATE_DISPATCH = update(dispatches).where(dispatches.c.id == bindparam("the_dispatch"))
UPDATE_OPEN_DISPATCH = UPDATE_DISPATCH.where(dispatches.c.outcome.is_(None))
LAST_DISPATCH = select(func.max(dispatches.c.id)).where(
    dispatches.c.source == bindparam("the_source")
)
