"""What a database file says about the promises: read from the tables alone, with nothing of the
service's own code.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

ENDED = frozenset({"completed", "failed", "cancelled"})

_ROUNDING_SECONDS = 1e-6
_CALL_TIME_UNKNOWN = frozenset({None, "lost"})
_BACK_AT_ITS_PLACE = frozenset({"released", "lost"})


@dataclass(frozen=True)
class Dispatch:
    """A row of `dispatches`.

    dispatched_at, boot_seconds: the call's start, or the claim's while no outcome that knows it is
        recorded; None when the batch was handed back without a call.
    """

    id: int
    batch_id: int
    attempt: int
    worker: str
    dispatched_at: datetime | None
    interval_seconds: float
    margin_seconds: float
    source: str = "default"
    boot_seconds: float | None = None
    boot_id: str | None = None
    slot_opened_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Batch:
    """A row of `batches`; `fetched` are the IDs of its records, in their order."""

    id: int
    ingestion_id: str
    position: int
    ids: tuple[object, ...]
    status: str
    priority_rank: int
    created_at: datetime
    source: str = "default"
    triggered_at: datetime | None = None
    fetched: tuple[object, ...] = ()

    @property
    def turn(self) -> tuple[int, datetime, int]:
        """Its place in the queue: the lowest goes first."""
        return self.priority_rank, self.created_at, self.id


@dataclass(frozen=True)
class Gap:
    """Between two calls of a source that follow each other, by the ids of their dispatches.

    seconds: the least there can have been between the two calls.
    """

    earlier: int
    later: int
    seconds: float
    interval_seconds: float

    @property
    def is_short(self) -> bool:
        """True when the later call came too early."""
        return self.seconds < self.interval_seconds - _ROUNDING_SECONDS


@dataclass(frozen=True)
class Ledger:
    """One consistent picture of a database; dispatches and batches by their ids."""

    dispatches: tuple[Dispatch, ...]
    batches: tuple[Batch, ...]

    def of_source(self, source: str) -> Ledger:
        """What concerns one source."""
        return Ledger(
            tuple(dispatch for dispatch in self.dispatches if dispatch.source == source),
            tuple(batch for batch in self.batches if batch.source == source),
        )

    def violations(self) -> list[str]:
        """Everything that may never be, whatever happened to the processes; a sentence each."""
        return [
            *(f"{gap} is short" for gap in self.gaps() if gap.is_short),
            *self.order_violations(),
            *self.doubled(),
            *self.without_right_records(),
        ]

    def gaps(self) -> list[Gap]:
        """All gaps, source by source."""
        return [
            _gap(earlier, later)
            for source in sorted({dispatch.source for dispatch in self.dispatches})
            for earlier, later in pairwise(self._in_order_of_time(source))
        ]

    def _in_order_of_time(self, source: str) -> list[Dispatch]:
        # Not by id: two calls too close to each other may have been recorded in any order.
        mine = [dispatch for dispatch in self.calls() if dispatch.source == source]
        one_boot = len({dispatch.boot_id for dispatch in mine}) == 1 and mine[0].boot_id
        return sorted(mine, key=lambda one: one.boot_seconds if one_boot else one.id)

    def calls(self) -> list[Dispatch]:
        """Dispatches whose call was made, or may have been when its worker died."""
        return [dispatch for dispatch in self.dispatches if dispatch.dispatched_at]

    def dispatched_again(self) -> dict[int, tuple[str | None, ...]]:
        """Batches that were called several times, with the outcomes of all calls but the last."""
        outcomes: dict[int, list[str | None]] = {}
        for dispatch in self.calls():
            outcomes.setdefault(dispatch.batch_id, []).append(dispatch.outcome)
        return {
            batch_id: tuple(found[:-1]) for batch_id, found in outcomes.items() if len(found) > 1
        }

    def not_ended(self) -> list[Batch]:
        """Batches that wait or are under way."""
        return [batch for batch in self.batches if batch.status not in ENDED]

    def in_state(self, status: str) -> list[Batch]:
        """Batches in this state."""
        return [batch for batch in self.batches if batch.status == status]

    def in_flight(self) -> list[Dispatch]:
        """Dispatches without an outcome."""
        return [dispatch for dispatch in self.dispatches if dispatch.outcome is None]

    def workers(self) -> set[int]:
        """The process ids of all that ever dispatched."""
        return {pid_of(dispatch) for dispatch in self.dispatches}

    def ids_in_order(self) -> list[list[object]]:
        """The IDs of every call, in the order of the claims."""
        ids = {batch.id: list(batch.ids) for batch in self.batches}
        return [ids[dispatch.batch_id] for dispatch in self.calls()]

    def fetched(self, ingestion_id: str) -> list[object]:
        """The IDs of an ingestion of which there are records, in their order."""
        mine = [batch for batch in self.batches if batch.ingestion_id == ingestion_id]
        return [item for batch in sorted(mine, key=_position) for item in batch.fetched]

    def order_violations(self) -> list[str]:
        """Dispatches that were made while a batch waited whose turn came before.

        A batch that failed waits for a time of its own and may be passed over.
        """
        return [
            f"dispatch {dispatch.id} of batch {chosen.id} passed over batch {passed.id}"
            for dispatch, chosen, claimed_at in self._claims()
            for passed in self.batches
            if passed.source == chosen.source
            and passed.turn < chosen.turn
            and self._waited(passed, dispatch, claimed_at)
        ]

    def _claims(self) -> Iterator[tuple[Dispatch, Batch, datetime]]:
        """Every dispatch with its batch and a time that is not after its claim."""
        by_batch = self._by_batch()
        batches = {batch.id: batch for batch in self.batches}
        for dispatch in self.dispatches:
            batch = batches[dispatch.batch_id]
            is_last = by_batch[batch.id][-1] is dispatch
            # Of an earlier claim only the call is recorded, which may have been made later.
            at = batch.triggered_at if is_last else dispatch.slot_opened_at
            if at is not None:
                yield dispatch, batch, at

    def _waited(self, batch: Batch, dispatch: Dispatch, claimed_at: datetime) -> bool:
        before = [one for one in self._by_batch()[batch.id] if one.id < dispatch.id]
        if not before:
            return batch.status != "cancelled" and batch.created_at < claimed_at
        last = before[-1]
        return last.outcome in _BACK_AT_ITS_PLACE and last.finished_at < claimed_at

    def doubled(self) -> list[str]:
        """Batches completed twice, or dispatched while an earlier dispatch of theirs was open."""
        found = []
        for batch_id, dispatches in self._by_batch().items():
            completed = [one for one in dispatches if one.outcome == "completed"]
            if len(completed) > 1:
                found.append(f"batch {batch_id} was completed {len(completed)} times")
            found += [
                f"dispatch {later.id} of batch {batch_id} began while {earlier.id} was open"
                for earlier, later in pairwise(dispatches)
                if earlier.finished_at is None
                or (later.dispatched_at and earlier.finished_at > later.dispatched_at)
            ]
        return found

    def without_right_records(self) -> list[str]:
        """Records of a batch that is not completed, and completed batches without theirs."""
        completers = {one.batch_id for one in self.dispatches if one.outcome == "completed"}
        found = []
        for batch in self.batches:
            expected = batch.ids if batch.status == "completed" else ()
            if batch.fetched != expected:
                found.append(f"batch {batch.id}, {batch.status}, has records of {batch.fetched}")
            if (batch.status == "completed") != (batch.id in completers):
                found.append(f"batch {batch.id} is {batch.status}, but not by its dispatches")
        return found

    def _by_batch(self) -> Mapping[int, list[Dispatch]]:
        found: dict[int, list[Dispatch]] = {batch.id: [] for batch in self.batches}
        for dispatch in self.dispatches:
            found[dispatch.batch_id].append(dispatch)
        return found


def read_ledger(path: Path) -> Ledger:
    """The ledger of a database file, which may be in use; empty while there is none."""
    if not path.exists():
        return Ledger((), ())
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'dispatches'")
        if tables.fetchone() is None:
            return Ledger((), ())
        return Ledger(tuple(_read_dispatches(connection)), tuple(_read_batches(connection)))


def pid_of(dispatch: Dispatch) -> int:
    """The process that made a dispatch; the name of its worker begins with `host:pid`."""
    return int(dispatch.worker.partition(":")[2].partition("/")[0])


def _position(batch: Batch) -> int:
    return batch.position


def _gap(earlier: Dispatch, later: Dispatch) -> Gap:
    if earlier.boot_id and earlier.boot_id == later.boot_id:
        seconds = later.boot_seconds - earlier.boot_seconds
    else:
        seconds = (later.dispatched_at - earlier.dispatched_at).total_seconds()
    if earlier.outcome in _CALL_TIME_UNKNOWN:  # the call may have come this much after the claim
        seconds -= earlier.margin_seconds
    return Gap(earlier.id, later.id, seconds, later.interval_seconds)


def _read_dispatches(connection: sqlite3.Connection) -> Iterator[Dispatch]:
    for row in connection.execute("SELECT * FROM dispatches ORDER BY id"):
        yield Dispatch(
            id=row["id"],
            batch_id=row["batch_id"],
            attempt=row["attempt"],
            worker=row["worker"],
            dispatched_at=_time(row["dispatched_at"]),
            interval_seconds=row["interval_seconds"],
            margin_seconds=row["margin_seconds"],
            source=row["source"],
            boot_seconds=row["dispatched_boot_seconds"],
            boot_id=row["boot_id"],
            slot_opened_at=_time(row["slot_opened_at"]),
            finished_at=_time(row["finished_at"]),
            outcome=row["outcome"],
        )


def _read_batches(connection: sqlite3.Connection) -> Iterator[Batch]:
    fetched: dict[int, list[object]] = {}
    for row in connection.execute("SELECT * FROM records ORDER BY batch_id, position"):
        fetched.setdefault(row["batch_id"], []).append(json.loads(row["item_id"]))
    for row in connection.execute("SELECT * FROM batches ORDER BY id"):
        yield Batch(
            id=row["id"],
            ingestion_id=row["ingestion_id"],
            position=row["position"],
            ids=tuple(json.loads(row["ids"])),
            status=row["status"],
            priority_rank=row["priority_rank"],
            created_at=_time(row["created_at"]),
            source=row["source"],
            triggered_at=_time(row["triggered_at"]),
            fetched=tuple(fetched.get(row["id"], ())),
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
