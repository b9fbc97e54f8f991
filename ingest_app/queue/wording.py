"""Why a source dispatches nothing now, in a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ingest_app.queue.columns import AnyRow
from ingest_app.queue.refusing import Refusal, Wait
from ingest_app.queue.retrying import breaker_is_open

NOTHING_WAITS = "Nothing waits."
NOT_CONFIGURED = "It is not configured any more; what waits goes on when it is configured again."


@dataclass(frozen=True)
class _Facts:
    refused: Refusal
    row: AnyRow
    in_flight_count: int


def sentence(refused: Refusal, row: AnyRow, *, in_flight_count: int) -> str:
    """Say what a claim was refused for; `row` is the source's."""
    facts = _Facts(refused, row, in_flight_count)
    return _SENTENCES.get(refused.reason, _something)(facts)


def _paused(facts: _Facts) -> str:
    return f"Paused since {_time(facts.row.paused_at)}."


def _deferred(facts: _Facts) -> str:
    until = f"until {_time(facts.row.deferred_until)}"
    if breaker_is_open(facts.row.failure_count):
        what = f"Left alone {until} after {facts.row.failure_count} failures on end"
    else:
        what = f"The upstream asked for a pause {until}"
    return _because(what, facts.row.last_error)


def _slot(facts: _Facts) -> str:
    return f"The next slot opens in {_duration(facts.refused)}."


def _retry(facts: _Facts) -> str:
    return f"What failed may go again in {_duration(facts.refused)}."


def _in_flight(facts: _Facts) -> str:
    count, row = facts.in_flight_count, facts.row
    what = f"{count} {'batch is' if count == 1 else 'batches are'} in flight, as many as may be"
    if not breaker_is_open(row.failure_count):
        return f"{what}."
    return _because(f"{what} after {row.failure_count} failures on end", row.last_error)


def _something(facts: _Facts) -> str:
    return f"It waits: {facts.refused.reason}."


_SENTENCES: dict[Wait, Callable[[_Facts], str]] = {
    Wait.EMPTY: lambda _: NOTHING_WAITS,
    Wait.PAUSED: _paused,
    Wait.DEFERRED: _deferred,
    Wait.SLOT: _slot,
    Wait.RETRY: _retry,
    Wait.IN_FLIGHT: _in_flight,
}


def _because(what: str, error: str | None) -> str:
    return f"{what}: {error}" if error else f"{what}."


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _duration(refused: Refusal) -> str:
    seconds = refused.wait_seconds or 0.0
    return f"{max(seconds, 0.1):.1f} s" if seconds < 10 else f"{seconds:.0f} s"
