"""What becomes of a batch when its call has ended: the verb of the queue that records it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ingest_app.errors import UpstreamError
from ingest_app.items import FetchedRecord
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim
from ingest_app.queue.settle import complete_batch, defer_batch, fail_batch, retry_batch, write_off
from ingest_app.settings import SourceSettings
from ingest_app.sources.veil import Veil


@dataclass(frozen=True)
class Outcome:
    """How a batch ended.

    record: takes database, claim, `called` and `clock`, as the verbs in `queue.settle` do.
    told: what the log says of it, in `event`.
    """

    record: Callable[..., None]
    told: Mapping[str, str] = field(default_factory=dict)
    event: str = "batch_settled"
    level: int = logging.INFO


def completed(fetched: Sequence[FetchedRecord]) -> Outcome:
    """All of its IDs were answered."""
    return Outcome(partial(complete_batch, fetched=fetched), {"outcome": "completed"})


def failed(error: Exception, claim: Claim, *, settings: SourceSettings, veil: Veil) -> Outcome:
    """Its call raised this, or what it returned cannot be stored; another attempt may follow."""
    jitter = random.random()
    said = veil.over(_described(error))
    facts: dict[str, Any] = {
        "error": said,
        "fetched": error.fetched if isinstance(error, UpstreamError) else (),
        "jitter": jitter,
    }
    max_attempts = settings.max_attempts
    match retrying.decide(error, claim.attempt, max_attempts=max_attempts, jitter=jitter):
        case retrying.Retry(delay_seconds):
            outcome, record = "retried", partial(retry_batch, delay_seconds=delay_seconds, **facts)
        case retrying.Defer(delay_seconds):
            outcome, record = "deferred", partial(defer_batch, delay_seconds=delay_seconds, **facts)
        case retrying.GiveUp(is_outage):
            outcome, record = "failed", partial(fail_batch, is_outage=is_outage, **facts)
    return Outcome(record, {"outcome": outcome, "reason": said}, level=logging.WARNING)


def lost() -> Outcome:
    """The batch was taken away from this worker."""
    return Outcome(write_off, event="claim_lost", level=logging.WARNING)


def _described(error: Exception) -> str:
    try:
        return (
            str(error) if isinstance(error, UpstreamError) else f"{type(error).__name__}: {error}"
        )
    except Exception:
        return type(error).__name__
