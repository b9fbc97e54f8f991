"""Large ingestions wait in few rows, and the views show them as before.

Revision: 0003, after 0002
Date: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

OF_IT = "FROM packed_batches p WHERE p.ingestion_id = b.ingestion_id"

# Aggregates one level deep, so that the id of one ingestion leads into the index of each table.
INGESTION_STATUS = f"""
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
        count(*) + (SELECT coalesce(sum(batch_count), 0) {OF_IT}) AS batch_count,
        count(CASE WHEN status = 'yet_to_start' THEN 1 END)
            + (SELECT coalesce(sum(batch_count), 0) {OF_IT} AND p.status = 'yet_to_start')
            AS yet_to_start_count,
        count(CASE WHEN status = 'triggered' THEN 1 END) AS triggered_count,
        count(CASE WHEN status = 'completed' THEN 1 END) AS completed_count,
        count(CASE WHEN status = 'failed' THEN 1 END) AS failed_count,
        count(CASE WHEN status = 'cancelled' THEN 1 END)
            + (SELECT coalesce(sum(batch_count), 0) {OF_IT} AND p.status = 'cancelled')
            AS cancelled_count,
        min(created_at) AS created_at,
        min(triggered_at) AS first_triggered_at,
        nullif(
            max(
                coalesce(max(completed_at), ''),
                (SELECT coalesce(max(p.completed_at), '') {OF_IT})
            ),
            ''
        ) AS last_completed_at
    FROM batches b
    GROUP BY ingestion_id
    UNION ALL
    SELECT
        ingestion_id,
        sum(batch_count),
        sum(CASE WHEN status = 'yet_to_start' THEN batch_count ELSE 0 END),
        0,
        0,
        0,
        sum(CASE WHEN status = 'cancelled' THEN batch_count ELSE 0 END),
        min(created_at),
        NULL,
        max(completed_at)
    FROM packed_batches p
    WHERE NOT EXISTS (SELECT 1 FROM batches b WHERE b.ingestion_id = p.ingestion_id)
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
FROM (
    SELECT source, priority_rank, created_at, id, ingestion_id, position, not_before, ids
    FROM batches
    WHERE status = 'yet_to_start'
    UNION ALL
    SELECT
        p.source, p.priority_rank, p.created_at, p.first_batch_id + one.key,
        p.ingestion_id, p.first_position + one.key, NULL, one.value
    FROM packed_batches p, json_each(p.ids) one
    WHERE p.status = 'yet_to_start'
) AS waiting
ORDER BY source, priority_rank, created_at, id
"""

INGESTION_STATUS_BEFORE = """
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

QUEUE_BEFORE = """
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

UNPACK_ALL = """
INSERT INTO batches (
    id, ingestion_id, position, source, ids, status, priority_rank, created_at, completed_at
)
SELECT p.first_batch_id + one.key, p.ingestion_id, p.first_position + one.key, p.source, one.value,
       p.status, p.priority_rank, p.created_at, p.completed_at
FROM packed_batches p, json_each(p.ids) one
"""


def replace_views(*views: str) -> None:
    op.execute("DROP VIEW IF EXISTS queue")
    op.execute("DROP VIEW IF EXISTS ingestion_status")
    for view in views:
        op.execute(view)


def upgrade() -> None:
    op.create_table(
        "packed_batches",
        sa.Column("first_batch_id", BIG_KEY, autoincrement=False, nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority_rank", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_position", sa.Integer(), nullable=False),
        sa.Column("batch_count", sa.Integer(), nullable=False),
        sa.Column("ids", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('yet_to_start', 'cancelled')", name=op.f("ck_packed_batches_status")
        ),
        sa.CheckConstraint(
            "priority_rank IN (0, 1, 2)", name=op.f("ck_packed_batches_priority_rank")
        ),
        sa.CheckConstraint(
            "first_position >= 1 AND batch_count >= 1", name=op.f("ck_packed_batches_counts")
        ),
        sa.CheckConstraint(
            "json_valid(ids) AND json_array_length(ids) = batch_count",
            name=op.f("ck_packed_batches_ids"),
        ),
        sa.ForeignKeyConstraint(
            ["ingestion_id"],
            ["ingestions.id"],
            name=op.f("fk_packed_batches_ingestion_id_ingestions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("first_batch_id", name=op.f("pk_packed_batches")),
        sa.UniqueConstraint(
            "ingestion_id", "first_position", name=op.f("uq_packed_batches_ingestion_id")
        ),
    )
    op.create_index(
        "ix_packed_batches_for_claim",
        "packed_batches",
        ["source", "priority_rank", "created_at", "first_batch_id", "batch_count"],
        sqlite_where=sa.text("status = 'yet_to_start'"),
        postgresql_where=sa.text("status = 'yet_to_start'"),
    )
    replace_views(INGESTION_STATUS, QUEUE)


def downgrade() -> None:
    op.execute(UNPACK_ALL)
    replace_views(INGESTION_STATUS_BEFORE, QUEUE_BEFORE)
    op.drop_table("packed_batches")
