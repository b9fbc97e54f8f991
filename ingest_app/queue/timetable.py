"""When the slots to come open, and which of them a waiting batch gets. Pure.

At each slot the first of the batches that may go then does, so those behind a batch do not matter
to it. Slots follow each other at the source's pace while anything may go; where only retries are
left, whose time has not come, the next slot is used when the first of them may go.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

_ROUNDING = 1e-9


class _Run(NamedTuple):
    """Slots that follow each other at the pace: the first one's number and its time."""

    first_slot: int
    at_seconds: float


class Timetable:
    """The slots of one source, numbered from 0, in seconds from now."""

    def __init__(
        self,
        *,
        first_seconds: float,
        pace_seconds: float,
        ready_count: int,
        releases: Sequence[float],
    ) -> None:
        """Lay out the slots of all that waits.

        first_seconds: when the next slot opens. pace_seconds: from one slot to the next, over 0.
        ready_count: how many batches may go at once. releases: when each of the others may.
        """
        self._pace_seconds = pace_seconds
        self._runs = [_Run(0, first_seconds)]
        for slot, release in enumerate(sorted(releases), start=ready_count):
            if release > self.seconds_of(slot):
                self._runs.append(_Run(slot, release))

    def seconds_of(self, slot: int) -> float:
        """When a slot opens."""
        run = self._runs[bisect_right(self._runs, slot, key=lambda run: run.first_slot) - 1]
        return run.at_seconds + (slot - run.first_slot) * self._pace_seconds

    def slot_at(self, seconds: float) -> int:
        """The first slot that opens then or later."""
        index = bisect_right(self._runs, seconds, key=lambda run: run.at_seconds) - 1
        if index < 0:
            return 0
        run = self._runs[index]
        slot_count = math.ceil((seconds - run.at_seconds) / self._pace_seconds - _ROUNDING)
        following = self._runs[index + 1 :]
        slot = run.first_slot + slot_count
        return min(slot, following[0].first_slot) if following else slot


def slot_for(ready_ahead_count: int, released_ahead: Sequence[int], released: int = 0) -> int:
    """The slot that a batch gets.

    ready_ahead_count: how many batches before it in the order may go at once. released_ahead: from
        which slot on each of the others before it may go, ascending. released: from which on it may
        itself.
    """
    taken = ready_ahead_count  # all slots before this one
    for release in released_ahead:
        slot = max(taken, release)
        if slot > max(taken, released):
            break  # there is a free one before those that are left need any
        taken = slot + 1
    return max(taken, released)
