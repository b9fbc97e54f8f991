"""Ask how far ingestions are, again and again, until all have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest_app.client import Client
from ingest_app.client_answers import ENDED_STATES, Entry, Forecast, ended_count
from ingest_app.errors import RequestFailed

PATIENCE_SECONDS = 60.0
"""How long the service may give no answer; a restart takes less."""


@dataclass(frozen=True)
class Snapshot:
    """How far an ingestion is, and when it will be done."""

    entry: Entry
    forecast: Forecast

    @property
    def has_ended(self) -> bool:
        """True when nothing more will come."""
        return self.entry["status"] in ENDED_STATES

    @property
    def ended_count(self) -> int:
        """How many of its batches have ended."""
        return ended_count(self.entry)


def follow(
    client: Client,
    ingestion_ids: Sequence[str],
    *,
    tell_silence: Callable[[RequestFailed], None],
    interval_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Snapshot]:
    """Snapshots of those that have not ended, in turn, and one of each when it has.

    tell_silence: told when there is no answer; RequestFailed is raised when that lasts, or when the
        service says no.
    """
    going, answered_at = list(dict.fromkeys(ingestion_ids)), monotonic()
    while going:
        for ingestion_id in tuple(going):
            try:
                snapshot = Snapshot(client.ingestion(ingestion_id), client.forecast(ingestion_id))
            except RequestFailed as failure:
                if failure.is_refusal or monotonic() - answered_at > PATIENCE_SECONDS:
                    raise
                tell_silence(failure)
                break
            answered_at = monotonic()
            if snapshot.has_ended:
                going.remove(ingestion_id)
            yield snapshot
        if going:
            sleep(interval_seconds)
