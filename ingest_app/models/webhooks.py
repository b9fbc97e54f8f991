"""The tables of whom to tell when an ingestion has ended, and of what is to be told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from ingest_app.column_types import BigKey, is_time
from ingest_app.models.base import Base


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
