"""Why a source dispatches nothing now, in a sentence for people. Pure."""

from __future__ import annotations

from datetime import datetime

from ingest_app.prepared import Row
from ingest_app.queue.refusing import Refusal, Wait
from ingest_app.queue.retrying import breaker_is_open

NOTHING_WAITS = "Nothing waits."
NOT_CONFIGURED = "It is not configured any more; what waits goes on when it is configured again."


def reason(  # noqa: PLR0911
    refused: Refusal, row: Row, *, until: datetime | None, in_flight_count: int
) -> str:
    """Say what a claim was refused for, without the source's last error, which may name IDs.

    row: the source's. until: when it is worth asking again; None when only an event can tell.
    """
    match refused.reason:
        case Wait.EMPTY:
            return NOTHING_WAITS
        case Wait.PAUSED:
            return f"Paused since {_time(row.paused_at)}."
        case Wait.DEFERRED:
            return f"The upstream asked to be left alone until {_time(row.deferred_until)}."
        case Wait.BACKOFF:
            return f"Left alone until {_time(row.backoff_until)} after {_failures(row)}."
        case Wait.SLOT:
            return f"The next slot opens at {_time(until)}."
        case Wait.RETRY:
            return f"What failed may go again at {_time(until)}."
        case Wait.IN_FLIGHT:
            return _in_flight(row, in_flight_count)


def _in_flight(row: Row, count: int) -> str:
    what = f"{count} {'batch is' if count == 1 else 'batches are'} in flight, as many as may be"
    if not breaker_is_open(row.failure_count):
        return f"{what}."
    return f"{what} after {_failures(row)}."


def _failures(row: Row) -> str:
    count = row.failure_count
    return "a failure" if count == 1 else f"{count} failures on end"


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
