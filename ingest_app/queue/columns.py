"""How instants are kept in columns: on the wall clock and, beside it, on the boot clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, literal_column

from ingest_app.clock import Moment
from ingest_app.models import batches, packed_batches
from ingest_app.prepared import Row
from ingest_app.queue.pacing import UNUSED, Slot
from ingest_app.states import BatchStatus

# Literals, not parameters: only then does SQLite see that a partial index fits.
WAITING: ColumnElement[bool] = batches.c.status == literal_column(f"'{BatchStatus.YET_TO_START}'")
PACKED_WAITING: ColumnElement[bool] = packed_batches.c.status == literal_column(
    f"'{BatchStatus.YET_TO_START}'"
)
TRIGGERED: ColumnElement[bool] = batches.c.status == literal_column(f"'{BatchStatus.TRIGGERED}'")

NO_LEASE: dict[str, Any] = {
    "claim_token": None,
    "lease_expires_at": None,
    "lease_boot_seconds": None,
    "boot_id": None,
}


def lease_columns(now: Moment, seconds: float) -> dict[str, Any]:
    """A batch's columns for a lease of so many seconds from `now`."""
    ends = now.later(seconds)
    return {
        "lease_expires_at": ends.at,
        "lease_boot_seconds": ends.boot_seconds,
        "boot_id": ends.boot_id,
    }


def lease_is_over(now: Moment, seconds: float) -> ColumnElement[bool]:
    """True of a triggered batch whose lease has run out.

    Of another boot (or host) the wall clock decides; an end further away than a whole lease of
    `seconds` is then taken for a wall clock that was set back.
    """
    ends_at = batches.c.lease_expires_at
    by_wall = (ends_at <= now.at) | (ends_at > now.later(seconds).at)
    if now.boot_id is None:
        return by_wall
    by_boot = batches.c.lease_boot_seconds <= now.boot_seconds
    return case((batches.c.boot_id == now.boot_id, by_boot), else_=by_wall)


def slot_columns(slot: Slot) -> dict[str, Any]:
    """A source's columns for the slot; it must have a time."""
    assert slot.opens is not None
    return {
        "next_slot_at": slot.opens.at,
        "next_slot_boot_seconds": slot.opens.boot_seconds,
        "boot_id": slot.opens.boot_id,
        "slot_interval_seconds": slot.interval_seconds,
        "slot_margin_seconds": slot.margin_seconds,
    }


def slot_of(state: Row) -> Slot:
    """The slot in a row of `sources`."""
    if state.next_slot_at is None:
        return UNUSED
    opens = Moment(state.next_slot_at, state.next_slot_boot_seconds, state.boot_id)
    return Slot(opens, state.slot_interval_seconds, state.slot_margin_seconds)


def dispatch_columns(moment: Moment | None) -> dict[str, Any]:
    """The ledger's columns for the time of a call; None when it was not made."""
    return {
        "dispatched_at": moment and moment.at,
        "dispatched_boot_seconds": moment and moment.boot_seconds,
        "boot_id": moment and moment.boot_id,
    }
