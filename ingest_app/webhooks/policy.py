"""What follows from the answer of an endpoint. Pure: it decides, `queue.deliveries` records."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from ingest_app.queue.deliveries import LONGEST_DELAY_SECONDS
from ingest_app.queue.retrying import backoff_seconds

FIRST_DELAY_SECONDS = 5.0
MAX_ATTEMPTS = 29
"""With the delays between them about three days, more than four without any jitter."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    status: None when nothing did. words: the same for people, without anything of the endpoint's.
    pause_seconds: for how long it asked to be left alone; 0 when it did not.
    """

    status: int | None
    words: str
    pause_seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """True when the endpoint has taken it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class PutOff:
    """Try it again in so many seconds, and nothing at all within the pause."""

    delay_seconds: float
    pause_seconds: float


@dataclass(frozen=True)
class GiveUp:
    """The endpoint will not be told of it."""


def decide(answer: Answer, attempt: int, *, jitter: float) -> PutOff | GiveUp | None:
    """What follows from the answer to attempt number `attempt` (from 1); None when it was told.

    jitter: from 0 to 1; see `retrying`.
    """
    if answer.is_success:
        return None
    if answer.status == HTTPStatus.GONE or attempt >= MAX_ATTEMPTS:
        return GiveUp()
    pause_seconds = min(answer.pause_seconds, LONGEST_DELAY_SECONDS)
    backoff = backoff_seconds(
        attempt,
        jitter=jitter,
        first_seconds=FIRST_DELAY_SECONDS,
        longest_seconds=LONGEST_DELAY_SECONDS,
    )
    return PutOff(max(backoff, pause_seconds), pause_seconds)
