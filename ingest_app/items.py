"""An ID a client asks for, and what was fetched for it."""

from __future__ import annotations

from dataclasses import dataclass

from ingest_app.states import RecordOutcome

ItemId = int | str


@dataclass(frozen=True)
class FetchedRecord:
    """What became of one ID of a batch.

    data: whatever the upstream returned for it, of types JSON has; None unless fetched.
    error: why there is none, a sentence; None when fetched.
    """

    item_id: ItemId
    outcome: RecordOutcome
    data: object = None
    error: str | None = None
