"""The disk of the counters is full: requests are let through, and counted again with space."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_app.access.counters import Counters
from ingest_app.clock import SystemClock
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.faults

MOST_BUCKETS = 100_000
"""What a page that is left of the file has room for, many times over."""


def test_full_disk_lets_through_and_counting_resumes_with_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk.folder / "ingest.db"
        path.touch()
        counters = Counters(path, SystemClock(), patience_seconds=1.0)
        assert counters.take("key a", 10) is not None
        disk.fill()
        names = (f"address {number}" for number in range(MOST_BUCKETS))
        assert None in (counters.take(name, 10) for name in names)
        assert "limits_unavailable" in caplog.text
        assert "full" in caplog.text
        disk.empty()
        assert counters.take("key b", 10) is not None
        counters.close()
