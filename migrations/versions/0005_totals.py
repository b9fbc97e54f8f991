"""Running totals for the metrics: what the ledger and the requests add up to.

Revision: 0005, after 0004
Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OUTCOMES = "'completed', 'retried', 'failed', 'deferred', 'released', 'lost'"
IS_GIVEN_UP = sa.text("given_up_at IS NOT NULL")


def upgrade() -> None:
    create_dispatch_totals()
    create_dispatch_counting()
    create_request_totals()
    op.create_index(
        "ix_webhook_deliveries_given_up",
        "webhook_deliveries",
        ["given_up_at"],
        sqlite_where=IS_GIVEN_UP,
        postgresql_where=IS_GIVEN_UP,
    )


def create_dispatch_totals() -> None:
    op.create_table(
        "dispatch_totals",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("late_up_to", sa.Text(), nullable=False),
        sa.Column("dispatch_count", BIG_KEY, nullable=False),
        sa.Column("late_seconds", sa.Double(), nullable=False),
        sa.Column("slots_used", BIG_KEY, nullable=False),
        sa.Column("slots_wasted", BIG_KEY, nullable=False),
        sa.CheckConstraint(f"outcome IN ({OUTCOMES})", name=op.f("ck_dispatch_totals_outcome")),
        sa.CheckConstraint(
            "dispatch_count >= 0 AND late_seconds >= 0 AND slots_used >= 0 AND slots_wasted >= 0",
            name=op.f("ck_dispatch_totals_sums"),
        ),
        sa.PrimaryKeyConstraint("source", "outcome", "late_up_to", name=op.f("pk_dispatch_totals")),
    )


def create_dispatch_counting() -> None:
    op.create_table(
        "dispatch_counting",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("counted_up_to", BIG_KEY, nullable=False),
        sa.Column("step_count", BIG_KEY, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_dispatch_counting_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatch_counting")),
    )
    op.execute("INSERT INTO dispatch_counting (id, counted_up_to, step_count) VALUES (1, 0, 0)")
    op.create_table(
        "uncounted_dispatches",
        sa.Column("dispatch_id", BIG_KEY, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("dispatch_id", name=op.f("pk_uncounted_dispatches")),
    )


def create_request_totals() -> None:
    op.create_table(
        "request_totals",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("took_up_to", sa.Text(), nullable=False),
        sa.Column("request_count", BIG_KEY, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "request_count >= 0 AND seconds >= 0", name=op.f("ck_request_totals_sums")
        ),
        sa.PrimaryKeyConstraint(
            "route", "method", "status", "took_up_to", name=op.f("pk_request_totals")
        ),
    )


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_given_up", "webhook_deliveries")
    for table in ("request_totals", "uncounted_dispatches", "dispatch_counting", "dispatch_totals"):
        op.drop_table(table)
