"""The tables of the queue: what was handed over, what became of it, and each source's pace."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ingest_app.column_types import BigKey, is_time, one_of
from ingest_app.models.base import Base
from ingest_app.states import BatchStatus, DispatchOutcome, Priority, RecordOutcome


class Ingestion(Base):
    """One accepted request.

    `request_digest` tells whether a request with the same `idempotency_key` is the same request.
    Once `cancelled_at` is set, batches that come back are cancelled instead of waiting again.
    `submitted_by` is the owner of the API key it came with, NULL when it came without one.
    `ended_at` is when the last of its batches ended, NULL while one waits or is in flight; its
    state is derived from them all the same. Once `pruned_at` is set it is being deleted, and is
    shown to nobody.
    """

    __tablename__ = "ingestions"
    __table_args__ = (
        CheckConstraint(
            " OR ".join(f"(priority = '{p}' AND priority_rank = {p.rank})" for p in Priority),
            name="priority",
        ),
        CheckConstraint("id_count >= 1 AND batch_count >= 1", name="counts"),
        is_time("cancelled_at"),
        is_time("ended_at"),
        is_time("pruned_at"),
        Index("ix_ingestions_by_age", "created_at", "id"),
        Index(
            "ix_ingestions_by_submitter",
            "submitted_by",
            "created_at",
            "id",
            sqlite_where=text("submitted_by IS NOT NULL"),
            postgresql_where=text("submitted_by IS NOT NULL"),
        ),
        # The IDs of an owner's ingestions that have not ended: a sum over this index alone. With
        # ended_at in it,
        # or SQLite would look each row up to see that it is NULL.
        Index(
            "ix_ingestions_under_way",
            "submitted_by",
            "ended_at",
            "id_count",
            sqlite_where=text("ended_at IS NULL AND submitted_by IS NOT NULL"),
            postgresql_where=text("ended_at IS NULL AND submitted_by IS NOT NULL"),
        ),
        Index(
            "ix_ingestions_for_pruning",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
        Index(
            "ix_ingestions_by_idempotency_key",
            "idempotency_key",
            "submitted_by",
            unique=True,
            sqlite_where=text("idempotency_key IS NOT NULL"),
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        # For an index NULLs differ from each other.
        Index(
            "ix_ingestions_by_anonymous_idempotency_key",
            "idempotency_key",
            unique=True,
            sqlite_where=text("idempotency_key IS NOT NULL AND submitted_by IS NULL"),
            postgresql_where=text("idempotency_key IS NOT NULL AND submitted_by IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    priority: Mapped[str]
    priority_rank: Mapped[int]
    created_at: Mapped[datetime]
    id_count: Mapped[int]
    batch_count: Mapped[int]
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str | None]
    cancelled_at: Mapped[datetime | None]
    submitted_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    pruned_at: Mapped[datetime | None]


class Batch(Base):
    """Up to `batch_size` IDs of one ingestion, the unit that is dispatched.

    `source`, `priority_rank` and `created_at` repeat the ingestion's for the claiming index.
    `boot_id` and `lease_boot_seconds` keep the lease's end on the clock that cannot be set, see
    `clock`.
    """

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("ingestion_id", "position"),
        CheckConstraint(one_of("status", BatchStatus), name="status"),
        CheckConstraint("priority_rank IN (0, 1, 2)", name="priority_rank"),
        CheckConstraint("position >= 1", name="position"),
        CheckConstraint("attempt_count >= 0", name="attempt_count"),
        CheckConstraint("json_valid(ids) AND json_type(ids) = 'array'", name="ids"),
        is_time("not_before"),
        CheckConstraint(
            "status <> 'triggered' OR (claim_token IS NOT NULL AND lease_expires_at IS NOT NULL)",
            name="triggered_is_leased",
        ),
        Index(
            "ix_batches_for_claim",
            "source",
            "priority_rank",
            "created_at",
            "id",
            sqlite_where=text("status = 'yet_to_start' AND not_before IS NULL"),
            postgresql_where=text("status = 'yet_to_start' AND not_before IS NULL"),
        ),
        Index(
            "ix_batches_for_retry",
            "source",
            "not_before",
            sqlite_where=text("status = 'yet_to_start' AND not_before IS NOT NULL"),
            postgresql_where=text("status = 'yet_to_start' AND not_before IS NOT NULL"),
        ),
        Index(
            "ix_batches_for_recovery",
            "source",
            "lease_expires_at",
            sqlite_where=text("status = 'triggered'"),
            postgresql_where=text("status = 'triggered'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    ingestion_id: Mapped[str] = mapped_column(ForeignKey("ingestions.id", ondelete="CASCADE"))
    position: Mapped[int]
    source: Mapped[str]
    ids: Mapped[str]
    status: Mapped[str]
    priority_rank: Mapped[int]
    created_at: Mapped[datetime]
    triggered_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    attempt_count: Mapped[int] = mapped_column(server_default="0")
    not_before: Mapped[datetime | None]
    claim_token: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    lease_boot_seconds: Mapped[float | None]
    boot_id: Mapped[str | None]
    last_error: Mapped[str | None]


class PackedBatch(Base):
    """Consecutive batches of a large ingestion that have never been dispatched, in one row.

    `ids` is a JSON array with the array of each batch. `first_batch_id` is the id that the first of
    them has in the queue's order and will have in `batches`; the others follow it. They are
    unpacked into `batches` when their turn comes. `ids` is last, since it is read seldom.
    """

    __tablename__ = "packed_batches"
    __table_args__ = (
        UniqueConstraint("ingestion_id", "first_position"),
        CheckConstraint("status IN ('yet_to_start', 'cancelled')", name="status"),
        CheckConstraint("priority_rank IN (0, 1, 2)", name="priority_rank"),
        CheckConstraint("first_position >= 1 AND batch_count >= 1", name="counts"),
        CheckConstraint("json_valid(ids) AND json_array_length(ids) = batch_count", name="ids"),
        Index(
            "ix_packed_batches_for_claim",
            "source",
            "priority_rank",
            "created_at",
            "first_batch_id",
            "batch_count",
            sqlite_where=text("status = 'yet_to_start'"),
            postgresql_where=text("status = 'yet_to_start'"),
        ),
    )

    first_batch_id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    ingestion_id: Mapped[str] = mapped_column(ForeignKey("ingestions.id", ondelete="CASCADE"))
    source: Mapped[str]
    status: Mapped[str]
    priority_rank: Mapped[int]
    created_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    first_position: Mapped[int]
    batch_count: Mapped[int]
    ids: Mapped[str]


class Source(Base):
    """An upstream's pace: when its next slot opens, for all workers and across restarts.

    `slot_interval_seconds` and `slot_margin_seconds` are what the slot was computed with, so that a
    changed setting moves the slot; `next_slot_boot_seconds` and `boot_id` are the same instant on
    the clock that cannot be set. `failure_count` counts the failures of different batches since
    the last success; `failed_batch_id` is the last of them. `deferred_until` is what the upstream
    asked for, `backoff_until` what follows from failures.
    """

    __tablename__ = "sources"
    __table_args__ = (
        CheckConstraint(
            "next_slot_at IS NULL"
            " OR (slot_interval_seconds IS NOT NULL AND slot_margin_seconds IS NOT NULL)",
            name="slot",
        ),
        CheckConstraint("failure_count >= 0", name="failure_count"),
        is_time("next_slot_at"),
        is_time("deferred_until"),
        is_time("backoff_until"),
        is_time("paused_at"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    next_slot_at: Mapped[datetime | None]
    next_slot_boot_seconds: Mapped[float | None]
    boot_id: Mapped[str | None]
    slot_interval_seconds: Mapped[float | None]
    slot_margin_seconds: Mapped[float | None]
    deferred_until: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    failure_count: Mapped[int] = mapped_column(server_default="0")
    failed_batch_id: Mapped[int | None] = mapped_column(BigKey)
    backoff_until: Mapped[datetime | None]
    last_error: Mapped[str | None]


class Dispatch(Base):
    """The ledger: one row for every start of a batch, written before the call is made.

    `dispatched_at` is first the time of the claim, which the call follows by at most
    `margin_seconds`. When the outcome is recorded it becomes the time of the call itself, or NULL
    if no call was made. `slot_opened_at` is NULL for a source's first slot. `newest_batch_id` tells
    which batches the claim could choose from: those up to this one.
    """

    __tablename__ = "dispatches"
    __table_args__ = (
        CheckConstraint(f"outcome IS NULL OR {one_of('outcome', DispatchOutcome)}", name="outcome"),
        CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="finished"),
        Index("ix_dispatches_by_source", "source", "id"),
        Index("ix_dispatches_by_batch", "batch_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    source: Mapped[str]
    batch_id: Mapped[int] = mapped_column(BigKey, ForeignKey("batches.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    worker: Mapped[str]
    dispatched_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]
    slot_opened_at: Mapped[datetime | None]
    interval_seconds: Mapped[float]
    margin_seconds: Mapped[float]
    newest_batch_id: Mapped[int] = mapped_column(BigKey)
    dispatched_boot_seconds: Mapped[float | None]
    boot_id: Mapped[str | None]


class Record(Base):
    """What was fetched for one ID; `item_id` and `data` are JSON text."""

    __tablename__ = "records"
    __table_args__ = (
        CheckConstraint(one_of("outcome", RecordOutcome), name="outcome"),
        {"sqlite_with_rowid": False},
    )

    batch_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[str]
    outcome: Mapped[str]
    data: Mapped[str | None]
    error: Mapped[str | None]
    fetched_at: Mapped[datetime]
