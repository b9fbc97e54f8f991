"""What a source is: anything that turns IDs into records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ingest_app.items import FetchedRecord, ItemId


class Source(Protocol):
    """An upstream API. One instance serves all threads of a process."""

    def fetch(self, ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
        """Call the upstream for one batch: one record per ID, in the order of `ids`.

        Any exception counts as a failed attempt of the whole batch, which is retried later.
        """
