"""What the service answers, as its clients see it; times are text (RFC 3339), durations seconds."""

from __future__ import annotations

from typing import TypedDict

ENDED_STATES = ("completed", "failed", "cancelled")
"""Of batches and ingestions: nothing more comes of them by itself."""


class Eta(TypedDict):
    """When an ingestion goes on and ends; what is not known is None."""

    batches_ahead: int
    next_starts_at: str | None
    finishes_at: str | None
    remaining_seconds: float | None
    approximate: bool


class Forecast(Eta):
    """The forecast of one ingestion, with its reasons."""

    ingestion_id: str
    status: str
    source: str
    waiting_count: int
    pace_seconds: float | None
    waits_for: str | None
    caveats: list[str]


class Entry(TypedDict):
    """An ingestion without its batches; `counts` says how many are in each state."""

    ingestion_id: str
    status: str
    priority: str
    source: str
    created_at: str
    id_count: int
    batch_count: int
    counts: dict[str, int]
    first_triggered_at: str | None
    last_completed_at: str | None
    cancelled_at: str | None


class ListedEntry(Entry):
    """An ingestion in a list; it has no forecast once it has ended."""

    forecast: Eta | None


class Listed(TypedDict):
    """A page of a list."""

    ingestions: list[ListedEntry]


class Stored(TypedDict):
    """What is said of a submission that is stored."""

    ingestion_id: str


class Delays(TypedDict):
    """How many ingestions would wait longer, and how much longer each at most: None if unknown."""

    ingestion_count: int
    seconds: float | None


class AtPriority(TypedDict):
    """What would become of a submission at one priority; what is not known is None."""

    batches_ahead: int
    starts_at: str | None
    finishes_at: str | None
    remaining_seconds: float | None
    delays: Delays


class Preview(TypedDict):
    """What would become of a submission that has not been made."""

    source: str
    id_count: int
    batch_count: int
    pace_seconds: float | None
    waits_for: str | None
    approximate: bool
    caveats: list[str]
    priorities: dict[str, AtPriority]


class SourceState(TypedDict):
    """A source: its pace, what waits for it, and why nothing goes now."""

    name: str
    kind: str | None
    configured: bool
    interval_seconds: float | None
    batch_size: int | None
    next_slot_at: str | None
    waiting: dict[str, int]
    waiting_is_estimated: bool
    in_flight_count: int
    paused_at: str | None
    deferred_until: str | None
    backoff_until: str | None
    failure_count: int
    last_error: str | None
    waits_for: str | None


class Sources(TypedDict):
    """All sources."""

    sources: list[SourceState]


def ended_count(entry: Entry) -> int:
    """How many batches of an ingestion have ended."""
    return sum(entry["counts"].get(state, 0) for state in ENDED_STATES)
