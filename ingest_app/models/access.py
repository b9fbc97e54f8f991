"""The tables of those who may use the service."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ingest_app.column_types import is_time, one_of
from ingest_app.models.base import Base
from ingest_app.states import Role


class ApiKey(Base):
    """Who may use the service; of the key itself only its prefix and SHA-256 digest (hex) are kept.

    `owner` is whose ingestions it sees: several keys may share one, as when they are exchanged.
    Where a limit is NULL, the settings' holds. A row that is there closes the service to those
    who have no key, also when it was revoked.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(one_of("role", Role), name="role"),
        CheckConstraint("max_waiting_ids >= 1", name="max_waiting_ids"),
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
    """Somebody who signed in with a key on the page, by the SHA-256 digest (hex) of the cookie.

    It is of that very key: a name may come again, by hand, with other rights.
    """

    __tablename__ = "browser_sessions"
    __table_args__ = (Index("ix_browser_sessions_by_end", "expires_at"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    key_prefix: Mapped[str] = mapped_column(ForeignKey("api_keys.prefix", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
