"""What operating needs: keys, sessions, owners, the end of ingestions, webhooks.

Revision: 0004, after 0003
Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
HAS_SUBMITTER = sa.text("submitted_by IS NOT NULL")
IS_UNDER_WAY = sa.text("ended_at IS NULL AND submitted_by IS NOT NULL")
HAS_ENDED = sa.text("ended_at IS NOT NULL")
HAS_KEY = sa.text("idempotency_key IS NOT NULL")
IS_ANONYMOUS = sa.text("idempotency_key IS NOT NULL AND submitted_by IS NULL")
IS_DUE = sa.text("next_attempt_at IS NOT NULL")

NOTE_ENDS = """
UPDATE ingestions SET ended_at = (
    SELECT s.last_completed_at FROM ingestion_status s
    WHERE s.id = ingestions.id AND s.status IN ('completed', 'failed', 'cancelled')
)
"""

# What is half deleted would be shown again; foreign keys are off here.
PRUNED = "(SELECT id FROM ingestions WHERE pruned_at IS NOT NULL)"
PRUNED_BATCHES = f"(SELECT id FROM batches WHERE ingestion_id IN {PRUNED})"
FINISH_PRUNING = (
    f"DELETE FROM records WHERE batch_id IN {PRUNED_BATCHES}",
    f"DELETE FROM dispatches WHERE batch_id IN {PRUNED_BATCHES}",
    f"DELETE FROM batches WHERE ingestion_id IN {PRUNED}",
    f"DELETE FROM packed_batches WHERE ingestion_id IN {PRUNED}",
    "DELETE FROM ingestions WHERE pruned_at IS NOT NULL",
)

# Of several submitters with the same key the first keeps it.
ONE_INGESTION_A_KEY = """
UPDATE ingestions SET idempotency_key = NULL WHERE EXISTS (
    SELECT 1 FROM ingestions o
    WHERE o.idempotency_key = ingestions.idempotency_key
      AND (o.created_at, o.id) < (ingestions.created_at, ingestions.id)
)
"""


def is_time(column: str) -> str:
    digits = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2]) + " " + ":".join(["[0-9]" * 2] * 3)
    form = f"{column} GLOB '{digits}*' AND datetime({column}) IS NOT NULL"
    return f"{column} IS NULL OR ({form})"


def upgrade() -> None:
    extend_ingestions()
    create_api_keys()
    create_browser_sessions()
    create_webhook_endpoints()
    create_webhook_deliveries()


def extend_ingestions() -> None:
    op.drop_index("ix_ingestions_by_idempotency_key", "ingestions")
    with op.batch_alter_table("ingestions") as batch:
        batch.add_column(sa.Column("submitted_by", sa.Text(), nullable=True))
        for column in ("ended_at", "pruned_at"):
            batch.add_column(sa.Column(column, TIME, nullable=True))
            batch.create_check_constraint(op.f(f"ck_ingestions_{column}_is_time"), is_time(column))
    op.execute(NOTE_ENDS)
    index(
        "ix_ingestions_by_submitter",
        "ingestions",
        ["submitted_by", "created_at", "id"],
        HAS_SUBMITTER,
    )
    under_way = ["submitted_by", "ended_at", "id_count"]
    index("ix_ingestions_under_way", "ingestions", under_way, IS_UNDER_WAY)
    index("ix_ingestions_for_pruning", "ingestions", ["ended_at"], HAS_ENDED)
    key = ["idempotency_key", "submitted_by"]
    index("ix_ingestions_by_idempotency_key", "ingestions", key, HAS_KEY, unique=True)
    index(
        "ix_ingestions_by_anonymous_idempotency_key",
        "ingestions",
        key[:1],
        IS_ANONYMOUS,
        unique=True,
    )


def index(
    name: str,
    table: str,
    columns: list[str],
    where: sa.TextClause | None = None,
    *,
    unique: bool = False,
) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("max_waiting_ids", sa.Integer(), nullable=True),
        sa.Column("max_requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint(
            "role IN ('reader', 'submitter', 'operator')", name=op.f("ck_api_keys_role")
        ),
        sa.CheckConstraint("max_waiting_ids >= 1", name=op.f("ck_api_keys_max_waiting_ids")),
        sa.CheckConstraint(
            "max_requests_per_minute >= 1", name=op.f("ck_api_keys_max_requests_per_minute")
        ),
        sa.CheckConstraint(is_time("revoked_at"), name=op.f("ck_api_keys_revoked_at_is_time")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_keys")),
    )
    index("ix_api_keys_by_prefix", "api_keys", ["prefix"], unique=True)


def create_browser_sessions() -> None:
    op.create_table(
        "browser_sessions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("key_prefix", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["key_prefix"],
            ["api_keys.prefix"],
            name=op.f("fk_browser_sessions_key_prefix_api_keys"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_browser_sessions")),
    )
    index("ix_browser_sessions_by_end", "browser_sessions", ["expires_at"])


def create_webhook_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed_delivery_id", BIG_KEY, nullable=True),
        sa.Column("backoff_until", TIME, nullable=True),
        sa.CheckConstraint("failure_count >= 0", name=op.f("ck_webhook_endpoints_failure_count")),
        sa.CheckConstraint(
            is_time("backoff_until"), name=op.f("ck_webhook_endpoints_backoff_until_is_time")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_webhook_endpoints")),
    )


def create_webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", BIG_KEY, nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("ended_at", TIME, nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=True),
        sa.Column("claim_token", sa.Text(), nullable=True),
        sa.Column("delivered_at", TIME, nullable=True),
        sa.Column("given_up_at", TIME, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("attempt_count >= 0", name=op.f("ck_webhook_deliveries_attempt_count")),
        sa.CheckConstraint(
            "(next_attempt_at IS NULL) = (delivered_at IS NOT NULL OR given_up_at IS NOT NULL)",
            name=op.f("ck_webhook_deliveries_next_attempt_at"),
        ),
        sa.CheckConstraint(
            "claim_token IS NULL OR next_attempt_at IS NOT NULL",
            name=op.f("ck_webhook_deliveries_claim_is_leased"),
        ),
        sa.CheckConstraint(
            is_time("next_attempt_at"), name=op.f("ck_webhook_deliveries_next_attempt_at_is_time")
        ),
        sa.ForeignKeyConstraint(
            ["ingestion_id"],
            ["ingestions.id"],
            name=op.f("fk_webhook_deliveries_ingestion_id_ingestions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sqlite_autoincrement=True,
    )
    index("ix_webhook_deliveries_due", "webhook_deliveries", ["next_attempt_at"], IS_DUE)
    index("ix_webhook_deliveries_by_ingestion", "webhook_deliveries", ["ingestion_id"])


def downgrade() -> None:
    for statement in (*FINISH_PRUNING, ONE_INGESTION_A_KEY):
        op.execute(statement)
    for table in ("webhook_deliveries", "webhook_endpoints", "browser_sessions", "api_keys"):
        op.drop_table(table)
    for name in (
        "ix_ingestions_by_anonymous_idempotency_key",
        "ix_ingestions_by_idempotency_key",
        "ix_ingestions_for_pruning",
        "ix_ingestions_under_way",
        "ix_ingestions_by_submitter",
    ):
        op.drop_index(name, "ingestions")
    with op.batch_alter_table("ingestions") as batch:
        for column in ("ended_at", "pruned_at"):
            batch.drop_constraint(op.f(f"ck_ingestions_{column}_is_time"), type_="check")
        for column in ("pruned_at", "ended_at", "submitted_by"):
            batch.drop_column(column)
    op.create_index(
        "ix_ingestions_by_idempotency_key", "ingestions", ["idempotency_key"], unique=True
    )
