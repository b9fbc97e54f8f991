"""The queue's verbs with database, source and clock at hand, and its rows as people see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, create_engine, select, text, update

from ingest_app import sqlite
from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.models import batches, dispatches, sources
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.columns import slot_of
from ingest_app.queue.pacing import Slot
from ingest_app.queue.recover import recover_expired_leases
from ingest_app.queue.refusing import Refusal
from ingest_app.queue.settle import (
    complete_batch,
    defer_batch,
    fail_batch,
    release_batch,
    retry_batch,
)
from ingest_app.queue.submit import submit_ingestion
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority, RecordOutcome
from tests.support.clocks import FakeClock

AnyRow = Row[Any]
TABLES = ("ingestions", "batches", "packed_batches", "sources", "dispatches", "records")


@contextmanager
def opened(path: Path | str, **options: Any) -> Iterator[Database]:
    """The database at `path`, closed afterwards."""
    engine = create_engine(f"sqlite:///{path}", **{**sqlite.engine_options(), **options})
    try:
        yield Database(engine)
    finally:
        engine.dispose()


def fetched(claim: Claim) -> Sequence[FetchedRecord]:
    """What an upstream that knows every ID returns for this claim."""
    return [FetchedRecord(item, RecordOutcome.FETCHED, data={"id": item}) for item in claim.ids]


@dataclass(frozen=True)
class Queue:
    """One source's queue on a real file."""

    database: Database
    source: SourceSettings
    clock: FakeClock

    def using(self, **settings: Any) -> Queue:
        """The same queue, its source set up differently."""
        return replace(self, source=replace(self.source, **settings))

    def submit(
        self,
        ids: Sequence[ItemId] = (1,),
        priority: Priority = Priority.MEDIUM,
        *,
        key: str | None = None,
        submitted_by: str | None = None,
        max_waiting_ids: int | None = None,
    ) -> str:
        return submit_ingestion(
            self.database,
            ids=list(ids),
            priority=priority,
            source=self.source,
            clock=self.clock,
            idempotency_key=key,
            submitted_by=submitted_by,
            max_waiting_ids=max_waiting_ids,
        )

    def ask(self, *, worker: str = "worker", clock: Clock | None = None) -> Claim | Refusal:
        return claim_next_batch(
            self.database, self.source, worker=worker, clock=clock or self.clock
        )

    def claim(self) -> Claim:
        """A claim that must be granted."""
        claim = self.ask()
        assert isinstance(claim, Claim), claim
        return claim

    def refused(self) -> Refusal:
        """A claim that must be refused."""
        refusal = self.ask()
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def claim_in_turn(self, *, worker: str = "worker") -> Claim:
        """The next claim, at the very instant its slot opens."""
        answer = self.ask(worker=worker)
        while isinstance(answer, Refusal):
            assert answer.wait_seconds is not None, answer
            self.clock.move(answer.wait_seconds)
            answer = self.ask(worker=worker)
        return answer

    def complete(self, claim: Claim, *, called: Moment | None = None) -> None:
        called = called or claim.claimed
        complete_batch(
            self.database, claim, fetched=fetched(claim), called=called, clock=self.clock
        )

    def retry(
        self,
        claim: Claim,
        delay_seconds: float = 2.0,
        error: str = "Boom: it broke",
        fetched: Sequence[FetchedRecord] = (),
        *,
        called: Moment | None = None,
    ) -> None:
        retry_batch(
            self.database,
            claim,
            error=error,
            delay_seconds=delay_seconds,
            jitter=0.0,
            called=called or claim.claimed,
            clock=self.clock,
            fetched=fetched,
        )

    def defer(
        self,
        claim: Claim,
        delay_seconds: float | None = 60.0,
        fetched: Sequence[FetchedRecord] = (),
    ) -> None:
        defer_batch(
            self.database,
            claim,
            error="HTTP 429 Too Many Requests",
            delay_seconds=delay_seconds,
            jitter=0.0,
            called=claim.claimed,
            clock=self.clock,
            fetched=fetched,
        )

    def fail(
        self,
        claim: Claim,
        error: str = "Boom: it broke",
        *,
        is_outage: bool = True,
        fetched: Sequence[FetchedRecord] = (),
        called: Moment | None = None,
    ) -> None:
        fail_batch(
            self.database,
            claim,
            error=error,
            is_outage=is_outage,
            jitter=0.0,
            called=called or claim.claimed,
            clock=self.clock,
            fetched=fetched,
        )

    def release(self, claim: Claim, *, called: Moment | None = None) -> None:
        release_batch(self.database, claim, reason="stopping", called=called, clock=self.clock)

    def recover(self) -> Sequence[int]:
        recovered = recover_expired_leases(self.database, self.source, clock=self.clock)
        return [batch.batch_id for batch in recovered]

    def lose(self, claim: Claim) -> None:
        """Let the worker of this claim die and its lease run out."""
        self.clock.move(self.source.lease_seconds)
        assert claim.batch_id in self.recover()

    def batch(self, batch_id: int) -> AnyRow:
        return self._one(select(batches).where(batches.c.id == batch_id))

    def dispatch(self, claim: Claim) -> AnyRow:
        return self._one(select(dispatches).where(dispatches.c.id == claim.dispatch_id))

    def ledger(self) -> Sequence[AnyRow]:
        with self.database.read() as connection:
            return connection.execute(select(dispatches).order_by(dispatches.c.id)).all()

    def source_row(self) -> AnyRow:
        return self._one(select(sources).where(sources.c.name == self.source.name))

    def slot(self) -> Slot:
        return slot_of(self.source_row())

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        """What a person sees who asks with `sqlite3`."""
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def change(self, sql: str, **values: object) -> None:
        """What a person does to the tables."""
        with self.database.write() as connection:
            connection.execute(text(sql), values)

    def set_source(self, **columns: object) -> None:
        """Change the source's row: pause it, defer it."""
        with self.database.write() as connection:
            row = update(sources).where(sources.c.name == self.source.name).values(columns)
            assert connection.execute(row).rowcount == 1

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables, to see whether anything has changed."""
        return {table: self.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}

    def _one(self, query: Any) -> AnyRow:
        with self.database.read() as connection:
            return connection.execute(query).one()


@contextmanager
def keeps_what_an_error_interrupts(self: Database) -> Iterator[Connection]:
    """A stand-in for `Database.write` whose transactions are not undone by an error."""
    with self.engine.connect() as connection, connection.begin() as transaction:
        try:
            yield connection
        except Exception:
            transaction.commit()
            raise
