"""What to do after a failed attempt. Pure: it decides, `settle` records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
_LARGEST_EXPONENT = 30  # keeps 2**n a number that a float holds


@dataclass(frozen=True)
class Retry:
    """Let the batch wait so many seconds, then try again."""

    delay_seconds: float


@dataclass(frozen=True)
class GiveUp:
    """The attempts are used up."""


def decide(attempt: int, *, max_attempts: int, jitter: float) -> Retry | GiveUp:
    """Retry or give up after failed attempt number `attempt` (from 1).

    The delay doubles with each attempt up to a cap; `jitter`, from 0 to 1, takes up to half of it
    off, so that what failed together does not come back together.
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    if attempt >= max_attempts:
        return GiveUp()
    doubled = FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, _LARGEST_EXPONENT)
    return Retry(min(doubled, LONGEST_DELAY_SECONDS) * (1 - jitter / 2))


def wait_seconds(not_before: datetime, now: datetime) -> float:
    """Seconds until a retry is due, 0 when it is.

    One that is further away than the longest delay was recorded before the wall clock was set back:
    it is due.
    """
    wait = (not_before - now).total_seconds()
    return wait if 0 < wait <= LONGEST_DELAY_SECONDS else 0.0
