"""How many slots passed unused before a dispatch, while work waited for them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, literal_column, or_, select

from ingest_app.models import batches, dispatches, packed_batches
from ingest_app.prepared import fetch_value
from ingest_app.queue.columns import PACKED_WAITING, WAITING
from ingest_app.sqlite import along
from ingest_app.states import Priority

LOOK_AHEAD = 64
"""Among so many rows of the ledger after a late one is one looked for that had waited, too."""

_later = dispatches.alias("later")
_before = dispatches.alias("before")
_waiter = batches.alias("waiter")
_RANKS: list[ColumnElement[int]] = [literal_column(str(priority.rank)) for priority in Priority]


def _is_first(row: Any) -> ColumnElement[bool]:
    return ~exists().where(_before.c.batch_id == row.c.batch_id, _before.c.id < row.c.id)


# Itself, or one that went after it, as when a HIGH one came last and went first; or that still
# waits.
_WENT = exists().where(
    _later.c.source == dispatches.c.source,
    _later.c.id >= dispatches.c.id,
    _later.c.id <= dispatches.c.id + LOOK_AHEAD,
    _waiter.c.id == _later.c.batch_id,
    _waiter.c.created_at <= dispatches.c.slot_opened_at,
    _is_first(_later),
)
_WAITS = exists().where(
    batches.c.source == dispatches.c.source,
    WAITING,
    batches.c.not_before.is_(None),
    batches.c.priority_rank.in_(_RANKS),
    batches.c.created_at <= dispatches.c.slot_opened_at,
    batches.c.attempt_count == 0,
)
_WAITS_PACKED = (
    select(packed_batches.c.first_batch_id)
    .where(
        packed_batches.c.source == dispatches.c.source,
        PACKED_WAITING,
        packed_batches.c.priority_rank.in_(_RANKS),
        packed_batches.c.created_at <= dispatches.c.slot_opened_at,
    )
    # With statistics SQLite would rather read the table, and with it the IDs.
    .with_hint(packed_batches, along("ix_packed_batches_for_claim"))
    .exists()
)
_WORK_WAITED = select(or_(_WENT, _WAITS, _WAITS_PACKED)).where(
    dispatches.c.id == bindparam("the_dispatch")
)


def count_wasted_slots(
    connection: Connection,
    dispatch_id: int,
    *,
    late_seconds: float | None,
    interval_seconds: float,
) -> int:
    """The whole intervals from the opening of its slot to its call, if work waited over them.

    That is a batch which was never dispatched before, and there before the slot opened; see
    `verifying.pace`, which says the same of a whole ledger. late_seconds: None without a call.
    """
    if late_seconds is None or not 0 < interval_seconds <= late_seconds:
        return 0
    waited = fetch_value(connection, _WORK_WAITED, {"the_dispatch": dispatch_id})
    return int(late_seconds // interval_seconds) if waited else 0
