"""What the columns hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects.sqlite import dialect

from ingest_app.column_types import UTCDateTime
from ingest_app.states import Priority

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_priorities_rank_from_high_to_low() -> None:
    assert [Priority(name).rank for name in ("HIGH", "MEDIUM", "LOW")] == [0, 1, 2]


def test_time_without_a_zone_is_not_stored() -> None:
    with pytest.raises(ValueError, match="zone"):
        UTCDateTime().process_bind_param(NOON.replace(tzinfo=None), dialect())


def test_time_of_another_zone_is_stored_as_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    stored = UTCDateTime().process_bind_param(elsewhere, dialect())
    assert (stored, stored.tzinfo) == (NOON, UTC)


def test_time_is_read_as_utc() -> None:
    read = UTCDateTime().process_result_value(NOON.replace(tzinfo=None), dialect())
    assert (read, read.tzinfo) == (NOON, UTC)


def test_no_time_stays_none() -> None:
    column = UTCDateTime()
    assert column.process_bind_param(None, dialect()) is None
    assert column.process_result_value(None, dialect()) is None
