"""Small checkers: calls too close to each other, batches dispatched twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tests.support.queues import AnyRow

_ROUNDING_SECONDS = 5e-6  # times are stored to the microsecond


def slots_too_close(ledger: Sequence[AnyRow], interval_seconds: float) -> list[float]:
    """The gaps between dispatches of one source that are less than its interval."""
    # A call that would have been too late was not made, and has no time.
    called = [row.dispatched_boot_seconds for row in ledger if row.dispatched_at is not None]
    times = sorted(called)
    return too_close(times, interval_seconds)


def too_close(times: Sequence[float], interval_seconds: float) -> list[float]:
    """The gaps between successive times that are less than the interval."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return [gap for gap in gaps if gap < interval_seconds - _ROUNDING_SECONDS]


def dispatched_twice(ledger: Sequence[AnyRow]) -> list[int]:
    """The batches that were dispatched more than once."""
    count = Counter(row.batch_id for row in ledger)
    return [batch_id for batch_id, times in count.items() if times > 1]
