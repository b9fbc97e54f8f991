"""Large ingestions wait in few rows: packed when they are submitted, unpacked as their turn comes.

One row for many batches makes a submission of a million IDs a short transaction. Whoever reads what
waits reads both tables.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from ingest_app.clock import Moment
from ingest_app.events import emit
from ingest_app.items import ItemId
from ingest_app.models import batches, packed_batches
from ingest_app.prepared import change, change_each, fetch_value, run_plainly
from ingest_app.queue.columns import PACKED_WAITING
from ingest_app.queue.ending import note_end
from ingest_app.sqlite import array_elements, reserve_ids
from ingest_app.states import BatchStatus

_log = logging.getLogger(__name__)

PACK_SIZE = 500
"""How many batches a row has at most. The claim that unpacks them pays for them all."""

_MOST_IDS = 50_000
"""How many IDs a row has at most, unless it is a single batch."""

_THE_PACK = packed_batches.c.first_batch_id == bindparam("the_pack", type_=Integer)
_NEXT = (
    select(packed_batches.c.first_batch_id)
    .where(packed_batches.c.source == bindparam("the_source"), PACKED_WAITING)
    .order_by(
        packed_batches.c.priority_rank,
        packed_batches.c.created_at,
        packed_batches.c.first_batch_id,
    )
    .limit(literal_column("1", Integer))  # bound, SQLite plans it anew each time
)
_OF = select(packed_batches.c.ingestion_id).where(_THE_PACK)
_BATCH = array_elements(packed_batches.c.ids)
_UNPACK = insert(batches).from_select(
    ["id", "ingestion_id", "position", "source", "ids", "status", "priority_rank", "created_at"],
    select(
        packed_batches.c.first_batch_id + _BATCH.c.key,
        packed_batches.c.ingestion_id,
        packed_batches.c.first_position + _BATCH.c.key,
        packed_batches.c.source,
        _BATCH.c.value,
        packed_batches.c.status,
        packed_batches.c.priority_rank,
        packed_batches.c.created_at,
    )
    .join_from(packed_batches, _BATCH, true())
    .where(_THE_PACK),
)
_REMOVE = delete(packed_batches).where(_THE_PACK)
_SET_ASIDE = update(packed_batches).where(_THE_PACK)
_ADD = insert(packed_batches)


class Pack(NamedTuple):
    """Consecutive batches; `ids` is a JSON array with the array of each."""

    batch_count: int
    ids: str


def pack(ids: Sequence[ItemId], batch_size: int) -> Sequence[Pack]:
    """Cut a submission into batches, and these into packs, a pack at a time to save memory."""
    size = max(1, min(PACK_SIZE, _MOST_IDS // batch_size)) * batch_size
    return [_pack(ids[start : start + size], batch_size) for start in range(0, len(ids), size)]


def add_packs(connection: Connection, ingestion: Mapping[str, Any], packs: Sequence[Pack]) -> None:
    """Store the batches of an ingestion that is being submitted, packed, with their ids reserved.

    ingestion: its columns.
    """
    first_id = reserve_ids(connection, batches.name, sum(pack.batch_count for pack in packs))
    kept = ("source", "priority_rank", "created_at")
    of_each = {
        "ingestion_id": ingestion["id"],
        "status": BatchStatus.YET_TO_START.value,
        **{name: ingestion[name] for name in kept},
    }
    rows, before = [], 0
    for batch_count, ids in packs:
        place = {"first_batch_id": first_id + before, "first_position": 1 + before}
        rows.append({**of_each, **place, "batch_count": batch_count, "ids": ids})
        before += batch_count
    change_each(connection, _ADD, rows)


def unpack_next(connection: Connection, source_name: str, now: Moment) -> bool:
    """Give the batches of the source's next pack a row each; False when it has none.

    A pack that cannot be unpacked, as a person's edit may make it, is taken out of the queue.
    """
    first_id = fetch_value(connection, _NEXT, {"the_source": source_name})
    if first_id is None:
        return False
    run_plainly(connection, "SAVEPOINT unpacking")
    try:
        change(connection, _UNPACK, {"the_pack": first_id})
        change(connection, _REMOVE, {"the_pack": first_id})
    except IntegrityError as error:
        run_plainly(connection, "ROLLBACK TO unpacking")
        cancelled = {"status": BatchStatus.CANCELLED.value, "completed_at": now.at}
        change(connection, _SET_ASIDE, {"the_pack": first_id, **cancelled})
        note_end(connection, fetch_value(connection, _OF, {"the_pack": first_id}), now.at)
        emit(
            _log, "pack_set_aside", level=logging.ERROR, first_batch_id=first_id, reason=error.orig
        )
    run_plainly(connection, "RELEASE unpacking")
    return True


def _pack(ids: Sequence[ItemId], batch_size: int) -> Pack:
    chunks = [ids[start : start + batch_size] for start in range(0, len(ids), batch_size)]
    return Pack(len(chunks), json.dumps(chunks, ensure_ascii=False, separators=(",", ":")))
