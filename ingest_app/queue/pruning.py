"""Delete what ended long ago, in transactions so short that dispatching does not notice.

First an ingestion is marked (`prunable`); then its rows go portion by portion, its own row last.
What is left half done when a process ends is finished by whoever prunes next.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    select,
)

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.models import (
    batches,
    dispatches,
    ingestions,
    packed_batches,
    records,
    webhook_deliveries,
)
from ingest_app.prepared import Row, change, fetch_all
from ingest_app.queue.prunable import mark_ended, marked
from ingest_app.queue.totals import count_dispatches
from ingest_app.sqlite import array_elements

Wait = Callable[[float], bool]
"""Waits for so many seconds; True when there is no time for more, as `threading.Event.wait`."""

ROOM = 300
"""How many rows, or pages of 4 KB where they are larger, go in one transaction."""

LEAST_PAUSE_SECONDS = 0.01
_PAUSE_FACTOR = 9
"""The write lock is left alone for so many times as long as it was held."""

_PAGE_BYTES = 4096
_LOOKED_AT = 100  # batches of an ingestion: one with three records and a start takes room for five

_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_THE_BATCH = bindparam("the_batch", type_=Integer)
_THE_MOST = bindparam("the_most", type_=Integer)


def _pages(text: ColumnElement[str]) -> ColumnElement[int]:
    return func.coalesce(func.length(text), 0) // _PAGE_BYTES


_RECORDS = (
    select(func.count()).where(records.c.batch_id == batches.c.id).correlate(batches)
).scalar_subquery()
_RECORD_PAGES = (
    select(func.coalesce(func.sum(_pages(records.c.data)), 0))
    .where(records.c.batch_id == batches.c.id)
    .correlate(batches)
).scalar_subquery()
_STARTS = (
    select(func.count()).where(dispatches.c.batch_id == batches.c.id).correlate(batches)
).scalar_subquery()
_BATCHES = (
    select(
        batches.c.id,
        _RECORDS.label("record_count"),
        _STARTS.label("dispatch_count"),
        (_RECORD_PAGES + _pages(batches.c.ids)).label("page_count"),
    )
    .where(batches.c.ingestion_id == _THE_INGESTION)
    .order_by(batches.c.position)
    .limit(literal_column(str(_LOOKED_AT)))
)
_PACKS = (
    select(packed_batches.c.first_batch_id, _pages(packed_batches.c.ids).label("page_count"))
    .where(packed_batches.c.ingestion_id == _THE_INGESTION)
    .order_by(packed_batches.c.first_position)
    .limit(literal_column(str(_LOOKED_AT)))
)


def _is_of(column: ColumnElement[int] | ColumnElement[str]) -> ColumnElement[bool]:
    # One statement, whatever the number: SQLite would plan each length of a list anew.
    return column.in_(select(array_elements(bindparam("these", type_=Text)).c.value))


_DISPATCHES = select(dispatches.c.id).where(_is_of(dispatches.c.batch_id)).order_by(dispatches.c.id)
_SOME_DISPATCHES = (
    select(dispatches.c.id)
    .where(dispatches.c.batch_id == _THE_BATCH)
    .order_by(dispatches.c.id)
    .limit(_THE_MOST)
)
_DELETE_DISPATCHES = delete(dispatches).where(_is_of(dispatches.c.id))
_DELETE_RECORDS = delete(records).where(_is_of(records.c.batch_id))
_SOME_RECORDS = (
    select(records.c.position)
    .where(records.c.batch_id == _THE_BATCH)
    .order_by(records.c.position)
    .limit(_THE_MOST)
)
_DELETE_SOME_RECORDS = delete(records).where(
    records.c.batch_id == _THE_BATCH, records.c.position.in_(_SOME_RECORDS)
)
_DELETE_BATCHES = delete(batches).where(_is_of(batches.c.id))
_DELETE_PACKS = delete(packed_batches).where(_is_of(packed_batches.c.first_batch_id))
_DELETE_DELIVERIES = delete(webhook_deliveries).where(_is_of(webhook_deliveries.c.ingestion_id))
_DELETE_INGESTIONS = delete(ingestions).where(_is_of(ingestions.c.id))


@dataclass
class Pruned:
    """What is gone.

    longest_lock_seconds: how long a single transaction held the write lock, at most.
    was_interrupted: True when there was more to delete, which the next run does.
    """

    ingestion_count: int = 0
    batch_count: int = 0
    dispatch_count: int = 0
    record_count: int = 0
    longest_lock_seconds: float = 0.0
    was_interrupted: bool = False


def prune(database: Database, before: datetime, *, clock: Clock, wait: Wait) -> Pruned:
    """Delete the ingestions that ended before this time, with all that belongs to them.

    Those that an endpoint is still to be told of stay. Any number of processes may do this at once.
    Raises DatabaseError; what is not done yet then is left to the next run.
    """
    sweep = _Sweep(database, clock, wait)
    with database.read() as connection:
        left_over = marked(connection)
    sweep.clear(left_over)
    for ids in mark_ended(database, before, clock=clock):
        if ids:
            sweep.clear(ids)
        else:
            sweep.rest(0.0)
        if sweep.done.was_interrupted:
            break
    return sweep.done


def pause_seconds_after(held_seconds: float) -> float:
    """How long to leave the write lock to others that was held for so long."""
    return max(LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * held_seconds)


class _Sweep:
    """Deletes the rows of ingestions that are marked."""

    def __init__(self, database: Database, clock: Clock, wait: Wait) -> None:
        self.done = Pruned()
        self._database = database
        self._clock = clock
        self._wait = wait

    def clear(self, ingestion_ids: Iterable[str]) -> None:
        """Delete all rows of these, unless there is no time for it."""
        left = deque(ingestion_ids)
        # All of their dispatches have an outcome, so none of them is left to be counted after.
        count_dispatches(self._database)
        while left and not self.done.was_interrupted:
            with self._database.read() as connection:
                portion = _next_portion(connection, left)
            for _ in portion.ingestion_ids:
                left.popleft()
            self._delete(portion)

    def _delete(self, portion: _Portion) -> None:
        with self._database.write() as connection:
            began = self._clock.read()
            portion.delete(connection, self.done)
        held_seconds = max(0.0, self._clock.read().seconds_since(began))
        self.done.longest_lock_seconds = max(self.done.longest_lock_seconds, held_seconds)
        self.rest(held_seconds)

    def rest(self, held_seconds: float) -> None:
        """Leave the write lock to others that was held for so long."""
        self.done.was_interrupted = self._wait(pause_seconds_after(held_seconds))


@dataclass
class _Portion:
    """What goes in one transaction: nothing else changes these rows, so it is chosen before."""

    room: int = ROOM
    batch_ids: list[int] = field(default_factory=list)
    pack_ids: list[int] = field(default_factory=list)
    ingestion_ids: list[str] = field(default_factory=list)
    thinned: Row | None = None

    def take_from(self, connection: Connection, ingestion_id: str) -> bool:
        """Take what there is room for; True when that is all of the ingestion."""
        the_ingestion = {"the_ingestion": ingestion_id}
        found = fetch_all(connection, _BATCHES, the_ingestion)
        if not all(self._takes_batch(batch) for batch in found) or len(found) == _LOOKED_AT:
            return False
        packs = fetch_all(connection, _PACKS, the_ingestion)
        if not all(self._takes_pack(pack) for pack in packs) or len(packs) == _LOOKED_AT:
            return False
        if self._has_room_for(1):
            self.ingestion_ids.append(ingestion_id)
            return True
        return False

    def _takes_batch(self, batch: Row) -> bool:
        row_count = batch.record_count + batch.dispatch_count
        size = 1 + row_count + batch.page_count
        if size > ROOM and row_count > 1:
            self.thinned = batch if self.room == ROOM else None
            return False
        takes = self._has_room_for(size)
        if takes:
            self.batch_ids.append(batch.id)
        return takes

    def _takes_pack(self, pack: Row) -> bool:
        takes = self._has_room_for(1 + pack.page_count)
        if takes:
            self.pack_ids.append(pack.first_batch_id)
        return takes

    def _has_room_for(self, size: int) -> bool:
        has_room = size <= self.room or self.room == ROOM  # what is larger goes alone
        if has_room:
            self.room -= size
        return has_room

    def delete(self, connection: Connection, done: Pruned) -> None:
        """Delete it, and count what is gone."""
        if self.thinned is not None:
            _thin_out(connection, self.thinned, done)
            return
        these = {"these": json.dumps(self.batch_ids)}
        done.dispatch_count += _delete_dispatches(
            connection, [row.id for row in fetch_all(connection, _DISPATCHES, these)]
        )
        done.record_count += change(connection, _DELETE_RECORDS, these)
        done.batch_count += change(connection, _DELETE_BATCHES, these)
        change(connection, _DELETE_PACKS, {"these": json.dumps(self.pack_ids)})
        these = {"these": json.dumps(self.ingestion_ids)}
        change(connection, _DELETE_DELIVERIES, these)
        done.ingestion_count += change(connection, _DELETE_INGESTIONS, these)


def _next_portion(connection: Connection, ingestion_ids: Iterable[str]) -> _Portion:
    portion = _Portion()
    for ingestion_id in ingestion_ids:
        if not portion.take_from(connection, ingestion_id):
            break
    return portion


def _thin_out(connection: Connection, batch: Row, done: Pruned) -> None:
    """Delete some of the rows of a batch that has too many for one transaction."""
    share = ROOM / (1 + batch.record_count + batch.dispatch_count + batch.page_count)
    some = {"the_batch": batch.id, "the_most": int(1 + share * batch.dispatch_count)}
    done.dispatch_count += _delete_dispatches(
        connection, [row.id for row in fetch_all(connection, _SOME_DISPATCHES, some)]
    )
    some["the_most"] = int(1 + share * batch.record_count)
    done.record_count += change(connection, _DELETE_SOME_RECORDS, some)


def _delete_dispatches(connection: Connection, dispatch_ids: Sequence[int]) -> int:
    """The one place where rows leave the ledger; they are in its totals already."""
    return change(connection, _DELETE_DISPATCHES, {"these": json.dumps(dispatch_ids)})
