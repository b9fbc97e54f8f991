"""What a person decides: cancel, retry, pause, resume. Each may be done twice as well as once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, literal_column, select, update

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import batches, ingestions, packed_batches, records
from ingest_app.prepared import Row, change, fetch_first
from ingest_app.queue.columns import PACKED_WAITING, TRIGGERED, WAITING
from ingest_app.queue.ending import note_end
from ingest_app.queue.statements import ADD_SOURCE, SOURCE, UPDATE_SOURCE
from ingest_app.queue.submit import work_arrived
from ingest_app.states import BatchStatus, RecordOutcome

# A literal as those in `columns`, so that the plan does not depend on what is bound.
_FAILED = batches.c.status == literal_column(f"'{BatchStatus.FAILED}'")


_GOES_ON = {"paused_at": None, "deferred_until": None, "backoff_until": None}


def cancel_ingestion(database: Database, ingestion_id: str, *, clock: Clock) -> None:
    """Cancel the batches that wait; those in flight end by themselves, and do not wait again.

    Nothing changes when all have ended already. Raises UnknownIngestion.
    """
    with database.write() as connection:
        ingestion = _ingestion(connection, ingestion_id)
        now = clock.read().at
        was_waiting = _cancel_waiting(connection, ingestion, now)
        if ingestion.cancelled_at is None and (was_waiting or _is_in_flight(connection, ingestion)):
            _set(connection, ingestion_id, cancelled_at=now)
        if was_waiting:
            note_end(connection, ingestion_id, now)


def retry_ingestion(database: Database, ingestion_id: str, *, all_ids: bool = False) -> None:
    """Let the failed batches wait again at their old place, with all their attempts before them.

    all_ids: False asks again for those of their IDs alone whose record is an error; True forgets
        all of their records. Batches that were cancelled stay so. Nothing changes when none has
        failed. Raises UnknownIngestion.
    """
    with database.write() as connection:
        ingestion = _ingestion(connection, ingestion_id)
        _forget_records(connection, ingestion_id, all_ids=all_ids)
        waits = {
            "status": BatchStatus.YET_TO_START.value,
            "attempt_count": 0,
            "not_before": None,
            "last_error": None,
            "completed_at": None,
        }
        went_back = _change_batches(connection, ingestion, _FAILED, waits) > 0
        if went_back:
            _set(connection, ingestion_id, cancelled_at=None, ended_at=None)
    if went_back:
        work_arrived.send(database, source=ingestion.source)


def pause_source(database: Database, source_name: str, *, clock: Clock) -> None:
    """Claim nothing of the source from now on; what is in flight ends by itself."""
    with database.write() as connection:
        paused = {"paused_at": clock.read().at}
        state = fetch_first(connection, SOURCE, {"the_source": source_name})
        if state is None:
            change(connection, ADD_SOURCE, {"name": source_name, **paused})
        elif state.paused_at is None:
            change(connection, UPDATE_SOURCE, {"the_source": source_name, **paused})


def resume_source(database: Database, source_name: str) -> None:
    """Let the source go on at its next slot, whatever it waits for: a deferral ends too."""
    with database.write() as connection:
        change(connection, UPDATE_SOURCE, {"the_source": source_name, **_GOES_ON})
    work_arrived.send(database, source=source_name)


def _ingestion(connection: Connection, ingestion_id: str) -> Row:
    is_it = ingestions.c.id == ingestion_id
    query = select(ingestions).where(is_it, ingestions.c.pruned_at.is_(None))
    ingestion = connection.execute(query).first()
    if ingestion is None:
        raise UnknownIngestion(ingestion_id)
    return ingestion


def _cancel_waiting(connection: Connection, ingestion: Row, now: datetime) -> bool:
    cancelled = {"status": BatchStatus.CANCELLED.value, "completed_at": now}
    packed = update(packed_batches).where(
        packed_batches.c.ingestion_id == ingestion.id, PACKED_WAITING
    )
    pack_count = connection.execute(packed.values(cancelled)).rowcount
    never_again = {**cancelled, "not_before": None}
    return _change_batches(connection, ingestion, WAITING, never_again) + pack_count > 0


def _change_batches(
    connection: Connection, ingestion: Row, which: Any, values: dict[str, Any]
) -> int:
    of_it = batches.c.ingestion_id == ingestion.id
    return connection.execute(update(batches).where(of_it, which).values(values)).rowcount


def _is_in_flight(connection: Connection, ingestion: Row) -> bool:
    # The source leads to the few batches that are in flight, past the ingestion's many.
    query = select(batches.c.id).where(
        batches.c.source == ingestion.source, TRIGGERED, batches.c.ingestion_id == ingestion.id
    )
    return connection.scalar(query.limit(1)) is not None


def _set(connection: Connection, ingestion_id: str, **values: Any) -> None:
    the_ingestion = update(ingestions).where(ingestions.c.id == ingestion_id)
    connection.execute(the_ingestion.values(values))


def _forget_records(connection: Connection, ingestion_id: str, *, all_ids: bool) -> None:
    failed = _failed_batches(ingestion_id)
    unwanted = delete(records).where(records.c.batch_id.in_(failed))
    if not all_ids:
        unwanted = unwanted.where(records.c.outcome == RecordOutcome.ERROR.value)
    connection.execute(unwanted)


def _failed_batches(ingestion_id: str) -> Select[Any]:
    return select(batches.c.id).where(batches.c.ingestion_id == ingestion_id, _FAILED)
