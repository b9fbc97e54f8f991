"""Kinds of columns and checks that the tables share."""

from __future__ import annotations

import enum
from datetime import UTC, datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, Integer, TypeDecorator

BigKey = BigInteger().with_variant(Integer, "sqlite")


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite keeps none of the zone, so it is checked in and put back out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Store as UTC; a naive time is a mistake of the caller (ValueError)."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read as UTC."""
        return value and value.replace(tzinfo=UTC)


def one_of(column: str, values: type[enum.StrEnum]) -> str:
    """SQL for a CHECK that `column` holds one of the enumeration's values."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


def is_time(column: str) -> CheckConstraint:
    """A CHECK that a person has written a time as it is stored here."""
    digits = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2]) + " " + ":".join(["[0-9]" * 2] * 3)
    form = f"{column} GLOB '{digits}*' AND datetime({column}) IS NOT NULL"
    return CheckConstraint(f"{column} IS NULL OR ({form})", name=f"{column}_is_time")
