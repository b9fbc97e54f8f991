"""The tables of the queue, its ledger, and the two views.

Revision: 0001, after none
Date: 2026-11-24
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

INGESTION_STATUS = """
CREATE VIEW ingestion_status AS
SELECT
    counted.*,
    CASE
        WHEN yet_to_start_count = batch_count THEN 'yet_to_start'
        WHEN completed_count + failed_count + cancelled_count < batch_count THEN 'triggered'
        WHEN failed_count > 0 THEN 'failed'
        WHEN cancelled_count > 0 THEN 'cancelled'
        ELSE 'completed'
    END AS status
FROM (
    SELECT
        ingestion_id AS id,
        count(*) AS batch_count,
        count(CASE WHEN status = 'yet_to_start' THEN 1 END) AS yet_to_start_count,
        count(CASE WHEN status = 'triggered' THEN 1 END) AS triggered_count,
        count(CASE WHEN status = 'completed' THEN 1 END) AS completed_count,
        count(CASE WHEN status = 'failed' THEN 1 END) AS failed_count,
        count(CASE WHEN status = 'cancelled' THEN 1 END) AS cancelled_count,
        min(created_at) AS created_at,
        min(triggered_at) AS first_triggered_at,
        max(completed_at) AS last_completed_at
    FROM batches
    GROUP BY ingestion_id
) AS counted
"""

QUEUE = """
CREATE VIEW queue AS
SELECT
    source,
    ingestion_id || '-' || position AS batch_id,
    CASE priority_rank WHEN 0 THEN 'HIGH' WHEN 1 THEN 'MEDIUM' ELSE 'LOW' END AS priority,
    created_at,
    not_before,
    ids
FROM batches
WHERE status = 'yet_to_start'
ORDER BY source, priority_rank, created_at, id
"""


def where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def is_time(table: str, column: str) -> sa.CheckConstraint:
    digits = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2]) + " " + ":".join(["[0-9]" * 2] * 3)
    form = f"{column} GLOB '{digits}*' AND datetime({column}) IS NOT NULL"
    name = f"ck_{table}_{column}_is_time"
    return sa.CheckConstraint(f"{column} IS NULL OR ({form})", name=op.f(name))


def upgrade() -> None:
    op.create_table(
        "ingestions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("priority_rank", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id_count", sa.Integer(), nullable=False),
        sa.Column("batch_count", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(priority = 'HIGH' AND priority_rank = 0)"
            " OR (priority = 'MEDIUM' AND priority_rank = 1)"
            " OR (priority = 'LOW' AND priority_rank = 2)",
            name=op.f("ck_ingestions_priority"),
        ),
        sa.CheckConstraint("id_count >= 1 AND batch_count >= 1", name=op.f("ck_ingestions_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingestions")),
    )
    op.create_table(
        "sources",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_slot_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_slot_boot_seconds", sa.Double(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("slot_interval_seconds", sa.Double(), nullable=True),
        sa.Column("slot_margin_seconds", sa.Double(), nullable=True),
        sa.Column("deferred_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "next_slot_at IS NULL"
            " OR (slot_interval_seconds IS NOT NULL AND slot_margin_seconds IS NOT NULL)",
            name=op.f("ck_sources_slot"),
        ),
        is_time("sources", "next_slot_at"),
        is_time("sources", "deferred_until"),
        is_time("sources", "paused_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sources")),
    )
    op.create_table(
        "batches",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ids", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority_rank", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("triggered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_token", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_boot_seconds", sa.Double(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status <> 'triggered' OR (claim_token IS NOT NULL AND lease_expires_at IS NOT NULL)",
            name=op.f("ck_batches_triggered_is_leased"),
        ),
        sa.CheckConstraint(
            "status IN ('yet_to_start', 'triggered', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_batches_status"),
        ),
        sa.CheckConstraint("attempt_count >= 0", name=op.f("ck_batches_attempt_count")),
        sa.CheckConstraint(
            "json_valid(ids) AND json_type(ids) = 'array'", name=op.f("ck_batches_ids")
        ),
        is_time("batches", "not_before"),
        sa.CheckConstraint("position >= 1", name=op.f("ck_batches_position")),
        sa.CheckConstraint("priority_rank IN (0, 1, 2)", name=op.f("ck_batches_priority_rank")),
        sa.ForeignKeyConstraint(
            ["ingestion_id"],
            ["ingestions.id"],
            name=op.f("fk_batches_ingestion_id_ingestions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("ingestion_id", "position", name=op.f("uq_batches_ingestion_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_batches_for_claim",
        "batches",
        ["source", "priority_rank", "created_at", "id"],
        **where("status = 'yet_to_start' AND not_before IS NULL"),
    )
    op.create_index(
        "ix_batches_for_recovery",
        "batches",
        ["source", "lease_expires_at"],
        **where("status = 'triggered'"),
    )
    op.create_index(
        "ix_batches_for_retry",
        "batches",
        ["source", "not_before"],
        **where("status = 'yet_to_start' AND not_before IS NOT NULL"),
    )
    op.create_table(
        "dispatches",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("batch_id", BIG_KEY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("slot_opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interval_seconds", sa.Double(), nullable=False),
        sa.Column("margin_seconds", sa.Double(), nullable=False),
        sa.Column("newest_batch_id", BIG_KEY, nullable=False),
        sa.Column("dispatched_boot_seconds", sa.Double(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('completed', 'retried', 'failed', 'released', 'lost')",
            name=op.f("ck_dispatches_outcome"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (finished_at IS NULL)", name=op.f("ck_dispatches_finished")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
            name=op.f("fk_dispatches_batch_id_batches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dispatches_by_batch", "dispatches", ["batch_id"])
    op.create_index("ix_dispatches_by_source", "dispatches", ["source", "id"])
    op.create_table(
        "records",
        sa.Column("batch_id", BIG_KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('fetched', 'missing', 'error')", name=op.f("ck_records_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
            name=op.f("fk_records_batch_id_batches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("pk_records")),
        sqlite_with_rowid=False,
    )
    op.execute(INGESTION_STATUS)
    op.execute(QUEUE)


def downgrade() -> None:
    op.execute("DROP VIEW queue")
    op.execute("DROP VIEW ingestion_status")
    for table in ("records", "dispatches", "batches", "sources", "ingestions"):
        op.drop_table(table)
