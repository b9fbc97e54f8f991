"""When an ingestion will be done, in words: a sentence, one with less room, and facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ingest_app.cli.wording import brief_moment, duration, moment
from ingest_app.client_answers import ENDED_STATES, Forecast


def in_a_line(forecast: Forecast) -> str:
    """When it will be done, or why that is not known."""
    return _sentence(forecast, pace="a batch every", at=lambda ends: str(moment(ends)))


def beside_a_bar(forecast: Forecast) -> str:
    """The same where there is little room."""
    now = datetime.now().astimezone()
    return _sentence(forecast, pace="one in", at=lambda ends: brief_moment(ends, now))


def as_facts(forecast: Forecast) -> dict[str, str | None]:
    """The same at length, under names; what is not known is None."""
    ends = forecast["finishes_at"]
    if forecast["status"] in ENDED_STATES:
        return {"ended": moment(ends)}
    pace = forecast["pace_seconds"]
    return {
        "next batch": moment(forecast["next_starts_at"]),
        "finishes": ends and f"{_about(forecast)}{moment(ends)}",
        "takes": _takes(forecast),
        "pace": None if pace is None else f"a batch every {duration(pace)}",
        "waits for": forecast["waits_for"],
    }


def _sentence(forecast: Forecast, *, pace: str, at: Callable[[str], str]) -> str:
    ends, gap_seconds = forecast["finishes_at"], forecast["pace_seconds"]
    if ends is None:
        return forecast["waits_for"] or "no forecast"
    every = "" if gap_seconds is None else f"{pace} {duration(gap_seconds)}, "
    left = duration(forecast["remaining_seconds"] or 0)
    return f"{every}done {_about(forecast)}{at(ends)}, in {left}"


def _takes(forecast: Forecast) -> str | None:
    remaining = forecast["remaining_seconds"]
    if remaining is None:
        return None
    return duration(remaining) + ("" if forecast["finishes_at"] else " once it goes on")


def _about(forecast: Forecast) -> str:
    return "about " if forecast["approximate"] else ""
