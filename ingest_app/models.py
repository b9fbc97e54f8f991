"""The tables. People read them directly: plain words, readable UTC times, no blobs."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    column,
    table,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from ingest_app.column_types import BigKey, UTCDateTime, is_time, one_of
from ingest_app.states import BatchStatus, DispatchOutcome, Priority, RecordOutcome, Role


class Base(DeclarativeBase):
    """All tables of the service."""

    registry = registry(
        metadata=MetaData(
            naming_convention={
                "ix": "ix_%(table_name)s_%(column_0_name)s",
                "uq": "uq_%(table_name)s_%(column_0_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
                "pk": "pk_%(table_name)s",
            }
        ),
        type_annotation_map={datetime: UTCDateTime, str: Text},
    )


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
        # How much a submitter has under way is a sum over this index alone, with ended_at in it,
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


class ApiKey(Base):
    """Who may use the service; of the key itself only its prefix and SHA-256 digest (hex) are kept.

    `owner` is whose ingestions it sees: several keys may share one, as when they are exchanged.
    Where a limit is NULL, the settings' holds. A row that is there closes the service to those
    who have no key, also when it was revoked.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(one_of("role", Role), name="role"),
        CheckConstraint("max_waiting_ids >= 0", name="max_waiting_ids"),
        CheckConstraint("max_requests_per_minute >= 1", name="max_requests_per_minute"),
        is_time("revoked_at"),
        Index("ix_api_keys_by_prefix", "prefix", unique=True),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str]
    role: Mapped[str]
    max_waiting_ids: Mapped[int | None]
    max_requests_per_minute: Mapped[int | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class BrowserSession(Base):
    """Somebody who signed in with a key on the page, by the SHA-256 digest (hex) of the cookie."""

    __tablename__ = "browser_sessions"
    __table_args__ = (Index("ix_browser_sessions_by_end", "expires_at"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    key_name: Mapped[str] = mapped_column(ForeignKey("api_keys.name", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class WebhookEndpoint(Base):
    """Whom to tell of ingestions that end from now on; the settings have its address and secret.

    `failure_count` counts the failures of different deliveries since the last success, of which
    `failed_delivery_id` is the last; nothing is sent before `backoff_until`.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("failure_count >= 0", name="failure_count"),
        is_time("backoff_until"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    failure_count: Mapped[int] = mapped_column(server_default="0")
    failed_delivery_id: Mapped[int | None] = mapped_column(BigKey)
    backoff_until: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One end of an ingestion to tell an endpoint of, kept until it was told.

    `ended_at` is the ingestion's then: when it was retried since, there is nothing to tell. It is
    tried at `next_attempt_at`, NULL when there is nothing left to do: it was delivered, or given
    up. Who tries holds it by `claim_token`, until another may at `next_attempt_at`.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("attempt_count >= 0", name="attempt_count"),
        CheckConstraint(
            "(next_attempt_at IS NULL) = (delivered_at IS NOT NULL OR given_up_at IS NOT NULL)",
            name="next_attempt_at",
        ),
        CheckConstraint(
            "claim_token IS NULL OR next_attempt_at IS NOT NULL", name="claim_is_leased"
        ),
        is_time("next_attempt_at"),
        Index(
            "ix_webhook_deliveries_due",
            "next_attempt_at",
            sqlite_where=text("next_attempt_at IS NOT NULL"),
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_by_ingestion", "ingestion_id"),
        Index(
            "ix_webhook_deliveries_given_up",
            "given_up_at",
            sqlite_where=text("given_up_at IS NOT NULL"),
            postgresql_where=text("given_up_at IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    endpoint: Mapped[str]
    ingestion_id: Mapped[str] = mapped_column(ForeignKey("ingestions.id", ondelete="CASCADE"))
    ended_at: Mapped[datetime]
    attempt_count: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    claim_token: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class DispatchTotal(Base):
    """What the counted rows of the ledger add up to; it stays when they are deleted.

    `late_up_to` is the bucket of the slot's lateness: its upper bound in seconds, "+Inf" for the
    last, "unknown" where there was no call, or no slot before. `late_seconds` is their sum.
    """

    __tablename__ = "dispatch_totals"
    __table_args__ = (
        CheckConstraint(one_of("outcome", DispatchOutcome), name="outcome"),
        CheckConstraint(
            "dispatch_count >= 0 AND late_seconds >= 0 AND slots_used >= 0 AND slots_wasted >= 0",
            name="sums",
        ),
    )

    source: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    late_up_to: Mapped[str] = mapped_column(primary_key=True)
    dispatch_count: Mapped[int] = mapped_column(BigKey)
    late_seconds: Mapped[float]
    slots_used: Mapped[int] = mapped_column(BigKey)
    slots_wasted: Mapped[int] = mapped_column(BigKey)


class DispatchCounting(Base):
    """How far the ledger is counted: up to this id, but for `uncounted_dispatches`.

    `step_count` tells who counts whether another has counted meanwhile.
    """

    __tablename__ = "dispatch_counting"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    counted_up_to: Mapped[int] = mapped_column(BigKey)
    step_count: Mapped[int] = mapped_column(BigKey)


class UncountedDispatch(Base):
    """A row of the ledger that had no outcome yet when those around it were counted."""

    __tablename__ = "uncounted_dispatches"

    dispatch_id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)


class RequestTotal(Base):
    """How many requests were answered, and how long that took together.

    `route` is the rule, not the path; `status` a class such as "2xx". `took_up_to` is the bucket:
    its upper bound in seconds, or "+Inf".
    """

    __tablename__ = "request_totals"
    __table_args__ = (CheckConstraint("request_count >= 0 AND seconds >= 0", name="sums"),)

    route: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    took_up_to: Mapped[str] = mapped_column(primary_key=True)
    request_count: Mapped[int] = mapped_column(BigKey)
    seconds: Mapped[float]


# The queue's statements are written on the tables: without the ORM's work they cost half.
ingestions = cast(Table, Ingestion.__table__)
batches = cast(Table, Batch.__table__)
packed_batches = cast(Table, PackedBatch.__table__)
sources = cast(Table, Source.__table__)
dispatches = cast(Table, Dispatch.__table__)
records = cast(Table, Record.__table__)
api_keys = cast(Table, ApiKey.__table__)
browser_sessions = cast(Table, BrowserSession.__table__)
webhook_endpoints = cast(Table, WebhookEndpoint.__table__)
webhook_deliveries = cast(Table, WebhookDelivery.__table__)
dispatch_totals = cast(Table, DispatchTotal.__table__)
dispatch_counting = cast(Table, DispatchCounting.__table__)
uncounted_dispatches = cast(Table, UncountedDispatch.__table__)
request_totals = cast(Table, RequestTotal.__table__)

# A view made by the migrations; it is not in the metadata, so that no migration tries to make it
# a table.
ingestion_status = table(
    "ingestion_status",
    column("id", Text),
    column("status", Text),
    column("batch_count", Integer),
    *(column(f"{status}_count", Integer) for status in BatchStatus),
    column("first_triggered_at", UTCDateTime()),
    column("last_completed_at", UTCDateTime()),
)
