"""An upstream that is not there: it takes its time and knows every ID."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.models import RecordOutcome


class SimulatedSource:
    """Answers after `latency_seconds` with `{"id": …}` for each ID."""

    def __init__(self, latency_seconds: float) -> None:
        """Every call takes `latency_seconds`."""
        self._latency_seconds = latency_seconds

    def fetch(self, ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
        """Fetch every ID, after the latency."""
        time.sleep(self._latency_seconds)
        return [FetchedRecord(item, RecordOutcome.FETCHED, data={"id": item}) for item in ids]
