"""The tables of what metrics add up to: they stay when what was counted is deleted."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ingest_app.column_types import BigKey, one_of
from ingest_app.models.base import Base
from ingest_app.states import DispatchOutcome


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
