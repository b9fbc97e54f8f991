"""What real upstreams need: deferral in the ledger, failures of a source, cancelling, keys.

Revision: 0002, after 0001
Date: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OUTCOMES = ("completed", "retried", "failed", "deferred", "released", "lost")


def is_time(column: str) -> str:
    digits = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2]) + " " + ":".join(["[0-9]" * 2] * 3)
    form = f"{column} GLOB '{digits}*' AND datetime({column}) IS NOT NULL"
    return f"{column} IS NULL OR ({form})"


def allow_outcomes(outcomes: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{outcome}'" for outcome in outcomes)
    with op.batch_alter_table("dispatches", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("ck_dispatches_outcome"), type_="check")
        batch.create_check_constraint(
            op.f("ck_dispatches_outcome"), f"outcome IS NULL OR outcome IN ({listed})"
        )


# So that each ID of a batch that has failed has a record, as from now on.
RECORD_FAILED_IDS = """
INSERT INTO records (batch_id, position, item_id, outcome, error, fetched_at)
SELECT b.id, one.key + 1, json_quote(one.value), 'error', b.last_error,
       coalesce(b.completed_at, b.created_at)
FROM batches b, json_each(b.ids) one
WHERE b.status = 'failed' AND NOT EXISTS (SELECT 1 FROM records r WHERE r.batch_id = b.id)
"""


def upgrade() -> None:
    op.execute(RECORD_FAILED_IDS)
    allow_outcomes(OUTCOMES)
    with op.batch_alter_table("sources") as batch:
        batch.add_column(
            sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False)
        )
        batch.add_column(sa.Column("failed_batch_id", BIG_KEY, nullable=True))
        batch.add_column(sa.Column("backoff_until", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("last_error", sa.Text(), nullable=True))
        batch.create_check_constraint(op.f("ck_sources_failure_count"), "failure_count >= 0")
        batch.create_check_constraint(
            op.f("ck_sources_backoff_until_is_time"), is_time("backoff_until")
        )
    with op.batch_alter_table("ingestions") as batch:
        batch.add_column(sa.Column("idempotency_key", sa.Text(), nullable=True))
        batch.add_column(sa.Column("request_digest", sa.Text(), nullable=True))
        batch.add_column(sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))
        batch.create_check_constraint(
            op.f("ck_ingestions_cancelled_at_is_time"), is_time("cancelled_at")
        )
    op.create_index("ix_ingestions_by_age", "ingestions", ["created_at", "id"])
    op.create_index(
        "ix_ingestions_by_idempotency_key", "ingestions", ["idempotency_key"], unique=True
    )


def downgrade() -> None:
    op.drop_index("ix_ingestions_by_idempotency_key", "ingestions")
    op.drop_index("ix_ingestions_by_age", "ingestions")
    with op.batch_alter_table("ingestions") as batch:
        batch.drop_constraint(op.f("ck_ingestions_cancelled_at_is_time"), type_="check")
        for column in ("cancelled_at", "request_digest", "idempotency_key"):
            batch.drop_column(column)
    with op.batch_alter_table("sources") as batch:
        batch.drop_constraint(op.f("ck_sources_backoff_until_is_time"), type_="check")
        batch.drop_constraint(op.f("ck_sources_failure_count"), type_="check")
        for column in ("last_error", "backoff_until", "failed_batch_id", "failure_count"):
            batch.drop_column(column)
    op.execute("UPDATE dispatches SET outcome = 'released' WHERE outcome = 'deferred'")
    allow_outcomes(tuple(outcome for outcome in OUTCOMES if outcome != "deferred"))
