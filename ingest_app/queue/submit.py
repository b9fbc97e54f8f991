"""Take in an ingestion: all of its batches or nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blinker import Signal
from sqlalchemy import Connection

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.errors import IdempotencyKeyReused, MoreThanMayWait, TooManyWaiting
from ingest_app.items import ItemId
from ingest_app.prepared import change, fetch_first, fetch_value
from ingest_app.queue.packing import Pack, add_packs, pack
from ingest_app.queue.statements import (
    ADD_BATCHES,
    ADD_INGESTION,
    IDEMPOTENT_INGESTION,
    UNDER_WAY_ID_COUNT,
)
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority

work_arrived = Signal()
"""Sent after the commit, by the database it was stored in, with `source`: its name. Receivers must
not raise.
"""

_ID_BYTES = 15  # 120 bits: 24 characters of base32 without padding, and not to be guessed


def submit_ingestion(
    database: Database,
    *,
    ids: Sequence[ItemId],
    priority: Priority,
    source: SourceSettings,
    clock: Clock,
    idempotency_key: str | None = None,
    submitted_by: str | None = None,
    max_waiting_ids: int | None = None,
) -> str:
    """Store an ingestion with all its batches and return its id; when this returns, it is on disk.

    idempotency_key: names the submission; when it comes again from the same submitter, the id of
        the first is returned and nothing is stored.
    submitted_by: the owner of the API key; None without one.
    max_waiting_ids: the most IDs of its owner's ingestions that have not ended, this one
        included; None for any number.

    Raises IdempotencyKeyReused when the key came with another submission, TooManyWaiting,
    MoreThanMayWait, and DatabaseError; then nothing is stored.
    """
    packs = pack(ids, source.batch_size)
    ingestion: dict[str, object] = {
        **_described(ids, priority, source.name),
        "batch_count": sum(pack.batch_count for pack in packs),
        "idempotency_key": idempotency_key,
        "submitted_by": submitted_by,
        "request_digest": idempotency_key and _digest(ids, priority, source.name),
    }

    def store(connection: Connection) -> str | None:
        # The key is looked up under the write lock: of two requests at once the second finds the
        # first.
        stored_id = _stored_before(connection, ingestion)
        if stored_id is None:
            _check_waiting(connection, ingestion, max_waiting_ids)
            ingestion["created_at"] = clock.read().at
            change(connection, ADD_INGESTION, ingestion)
            _add_batches(connection, ingestion, packs)
        return stored_id

    # A large one for itself: several in one transaction would hold up everybody.
    stored_id = _alone(database, store) if len(packs) > 1 else database.write_together(store)
    if stored_id is not None:
        return stored_id
    work_arrived.send(database, source=source.name)
    return str(ingestion["id"])


def _described(ids: Sequence[ItemId], priority: Priority, source_name: str) -> Mapping[str, object]:
    return {
        "id": base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower(),
        "source": source_name,
        "priority": priority.value,
        "priority_rank": priority.rank,
        "id_count": len(ids),
    }


def _alone(database: Database, store: Callable[[Connection], str | None]) -> str | None:
    with database.write() as connection:
        return store(connection)


def _digest(ids: Sequence[ItemId], priority: Priority, source_name: str) -> str:
    # Of what was asked for alone: how it is cut into batches is a setting, which may change.
    asked = json.dumps([ids, priority.value, source_name], separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()


def _stored_before(connection: Connection, ingestion: Mapping[str, object]) -> str | None:
    key = ingestion["idempotency_key"]
    if key is None:
        return None
    named = {"the_key": key, "the_submitter": ingestion["submitted_by"]}
    stored = fetch_first(connection, IDEMPOTENT_INGESTION, named)
    if stored is not None and stored.request_digest != ingestion["request_digest"]:
        raise IdempotencyKeyReused(str(key), stored.id)
    return None if stored is None else str(stored.id)


def _check_waiting(connection: Connection, ingestion: Mapping[str, Any], limit: int | None) -> None:
    if limit is None:
        return
    asked_count = ingestion["id_count"]
    if asked_count > limit:
        raise MoreThanMayWait(limit, asked_count=asked_count)
    whose = {"the_submitter": ingestion["submitted_by"]}
    under_way_count = fetch_value(connection, UNDER_WAY_ID_COUNT, whose)
    if under_way_count + asked_count > limit:
        raise TooManyWaiting(limit, under_way_count=under_way_count, asked_count=asked_count)


def _add_batches(
    connection: Connection, ingestion: Mapping[str, object], packs: Sequence[Pack]
) -> None:
    if len(packs) > 1:
        add_packs(connection, ingestion, packs)
        return
    # One statement over one bound array: five times faster than a row at a time, in a fifth
    # of the memory.
    added = {
        "the_ingestion": ingestion["id"],
        "the_source": ingestion["source"],
        "the_rank": ingestion["priority_rank"],
        "the_time": ingestion["created_at"],
        "the_chunks": packs[0].ids,
    }
    change(connection, ADD_BATCHES, added)
