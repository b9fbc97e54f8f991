"""The statements every submission and dispatch runs, built once and run by `prepared`.

Parameters that choose rows are named `the_…`; all other parameters of an UPDATE are the columns it
sets.
"""

from __future__ import annotations

from sqlalchemy import (
    Integer,
    Text,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from ingest_app.models import batches, dispatches, ingestions, packed_batches, records, sources
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.sqlite import array_elements, newest_id
from ingest_app.states import BatchStatus

_THE_SOURCE = batches.c.source == bindparam("the_source")
_THE_BATCH = batches.c.id == bindparam("the_batch")
_HELD = (_THE_BATCH, TRIGGERED, batches.c.claim_token == bindparam("the_token"))
_GOES_NOW = (_THE_SOURCE, WAITING, batches.c.not_before.is_(None))
_GOES_LATER = (_THE_SOURCE, WAITING, batches.c.not_before.is_not(None))

# A literal: SQLite plans a statement anew whenever a LIMIT in it is bound, which takes ten times as
# long as to run it.
_ONE = literal_column("1", Integer)

_PACKED = (packed_batches.c.source == bindparam("the_source"), PACKED_WAITING)
_PACKED_GOES_FIRST = (
    exists()
    .where(
        *_PACKED,
        tuple_(
            packed_batches.c.priority_rank,
            packed_batches.c.created_at,
            packed_batches.c.first_batch_id,
        )
        < tuple_(batches.c.priority_rank, batches.c.created_at, batches.c.id),
    )
    .label("packed_goes_first")
)
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
ANY_IN_FLIGHT = select(batches.c.id).where(_THE_SOURCE, TRIGGERED).limit(_ONE)
ANY_THAT_GOES_NOW = select(
    func.coalesce(
        select(batches.c.id).where(*_GOES_NOW).limit(_ONE).scalar_subquery(),
        select(packed_batches.c.first_batch_id).where(*_PACKED).limit(_ONE).scalar_subquery(),
    )
)
NEXT_BATCH = (
    select(
        batches.c.id,
        batches.c.ingestion_id,
        batches.c.ids,
        batches.c.attempt_count,
        _HAS_RECORDS,
        _PACKED_GOES_FIRST,
    )
    .where(*_GOES_NOW)
    .order_by(batches.c.priority_rank, batches.c.created_at, batches.c.id)
    .limit(_ONE)
    .with_for_update(skip_locked=True)
)
_CHUNK = array_elements(bindparam("the_chunks", type_=Text))
ADD_BATCHES = insert(batches).from_select(
    ["ingestion_id", "position", "source", "ids", "status", "priority_rank", "created_at"],
    select(
        bindparam("the_ingestion", type_=Text),
        _CHUNK.c.key + 1,
        bindparam("the_source", type_=Text),
        _CHUNK.c.value,
        literal_column(f"'{BatchStatus.YET_TO_START}'"),
        bindparam("the_rank", type_=Integer),
        bindparam("the_time", type_=batches.c.created_at.type),
    ),
)
NEWEST_BATCH_ID = newest_id(batches.name)
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

ADD_RECORD = insert(records)
RECORDS_OF_BATCH = select(records.c.position, records.c.outcome).where(
    records.c.batch_id == bindparam("the_batch")
)

ADD_INGESTION = insert(ingestions)
IDEMPOTENT_INGESTION = select(ingestions.c.id, ingestions.c.request_digest).where(
    ingestions.c.idempotency_key == bindparam("the_key"),
    ingestions.c.submitted_by.is_not_distinct_from(bindparam("the_submitter", type_=Text)),
)
UNDER_WAY_ID_COUNT = select(func.coalesce(func.sum(ingestions.c.id_count), 0)).where(
    ingestions.c.submitted_by == bindparam("the_submitter", type_=Text),
    ingestions.c.ended_at.is_(None),
)
IS_PRUNED = select(ingestions.c.id).where(
    ingestions.c.id == bindparam("the_ingestion", type_=Text), ingestions.c.pruned_at.is_not(None)
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
BRING_SLOT_FORWARD = UPDATE_SOURCE.where(
    sources.c.boot_id == bindparam("the_boot"),
    sources.c.next_slot_boot_seconds > bindparam("the_boot_seconds"),
    LAST_DISPATCH.scalar_subquery() == bindparam("the_dispatch"),
)
