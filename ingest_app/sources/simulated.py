"""An upstream that is not there: it takes its time and knows every ID."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from marshmallow import Schema

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.setting_fields import seconds
from ingest_app.settings import SourceSettings
from ingest_app.sources.base import SourceKind
from ingest_app.states import RecordOutcome


class SimulatedOptions(Schema):
    """How long a call takes."""

    simulated_latency_seconds = seconds(
        0, 3_600, load_default=1.0, says="How long a call of the simulated source takes."
    )


class SimulatedSource(SourceKind):
    """Answers after `simulated_latency_seconds` with `{"id": …}` for each ID."""

    options = SimulatedOptions

    def __init__(self, settings: SourceSettings) -> None:
        """Take the latency from the settings."""
        self._latency_seconds: float = settings.options["simulated_latency_seconds"]

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:
        """Fetch every ID, after the latency."""
        start()
        time.sleep(self._latency_seconds)
        return [FetchedRecord(item, RecordOutcome.FETCHED, data={"id": item}) for item in ids]
