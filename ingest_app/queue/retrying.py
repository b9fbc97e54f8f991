"""What to do after a failed attempt. Pure: it decides, `settle` records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest_app.errors import UpstreamBusy, UpstreamRejected

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
BREAKER_FAILURE_COUNT = 5
"""After so many failures of different batches on end it is the source that fails."""

_LARGEST_EXPONENT = 30  # keeps 2**n a number that a float holds


@dataclass(frozen=True)
class Retry:
    """Let the batch wait so many seconds, then try again."""

    delay_seconds: float


@dataclass(frozen=True)
class GiveUp:
    """The batch has failed.

    is_outage: False when the upstream answered, and said no.
    """

    is_outage: bool


@dataclass(frozen=True)
class Defer:
    """Let the whole source wait, at no cost for the batch; None to back off by the failures."""

    delay_seconds: float | None


def decide(
    error: Exception, attempt: int, *, max_attempts: int, jitter: float
) -> Retry | GiveUp | Defer:
    """What follows from the `error` of attempt number `attempt` (from 1).

    jitter: from 0 to 1; see `backoff_seconds`.
    """
    if isinstance(error, UpstreamBusy):
        return Defer(error.retry_after_seconds or None)  # no time at all would go round at once
    if isinstance(error, UpstreamRejected):
        return GiveUp(is_outage=False)
    if attempt >= max_attempts:
        return GiveUp(is_outage=True)
    return Retry(backoff_seconds(attempt, jitter=jitter))


def backoff_seconds(
    failure_count: int,
    *,
    jitter: float,
    first_seconds: float = FIRST_DELAY_SECONDS,
    longest_seconds: float = LONGEST_DELAY_SECONDS,
) -> float:
    """How long to wait after so many failures on end (from 1).

    The delay doubles with each failure up to a cap; `jitter`, from 0 to 1, takes up to half of it
    off, so that what failed together does not come back together.
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    doubled = first_seconds * 2.0 ** min(failure_count - 1, _LARGEST_EXPONENT)
    return min(doubled, longest_seconds) * (1 - jitter / 2)


def breaker_is_open(failure_count: int) -> bool:
    """True when a source has failed so often on end that one call at a time is enough."""
    return failure_count >= BREAKER_FAILURE_COUNT


def breaker_seconds(failure_count: int, *, jitter: float) -> float:
    """How long a source that fails is left alone after its failure; 0 while the breaker is shut."""
    if not breaker_is_open(failure_count):
        return 0.0
    return backoff_seconds(failure_count - BREAKER_FAILURE_COUNT + 1, jitter=jitter)


def wait_seconds(
    not_before: datetime | None, now: datetime, *, longest_seconds: float = LONGEST_DELAY_SECONDS
) -> float:
    """Seconds until a retry is due, 0 when it is; not_before: None when nothing is waited for.

    One that is further away than the longest delay was recorded before the wall clock was set back:
    it is due.
    """
    wait = 0.0 if not_before is None else (not_before - now).total_seconds()
    return wait if 0 < wait <= longest_seconds else 0.0


def pause_until(
    until: datetime | None,
    now: datetime,
    delay_seconds: float,
    *,
    longest_seconds: float = LONGEST_DELAY_SECONDS,
) -> datetime | None:
    """When a pause ends that is to last so long from now: never before the one that holds already.

    until: when that one ends; None for none. longest_seconds: more than any pause lasts; see
        `wait_seconds`. None when there is no pause.
    """
    seconds = max(delay_seconds, wait_seconds(until, now, longest_seconds=longest_seconds))
    return now + timedelta(seconds=seconds) if seconds else None
