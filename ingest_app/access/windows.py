"""How often something may happen in any minute: the rule, which touches nothing.

What happened is counted by whole seconds, at most 61 numbers a bucket, and all of a second counts
until a minute after the last of it. So no minute, wherever it begins, holds more than the limit,
and nobody waits for longer than a minute. One number a bucket (GCRA) would do for a steady pace,
but whoever has been idle could then do twice as much in one minute; and a count that starts anew
each minute lets through twice as much across its edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_SECONDS = 60

Spent = Sequence[tuple[float, int]]
"""How much was taken in each second of the wall clock, after the time of the last of it (seconds
since 1970, ascending)."""


@dataclass(frozen=True)
class Decision:
    """Whether one more is allowed.

    remaining: how many more are allowed just now, after this one.
    wait_seconds: until more are allowed than just now; 0 when nothing was taken.
    """

    is_allowed: bool
    limit: int
    remaining: int
    wait_seconds: float


def look(spent: Spent, limit: int, now_seconds: float) -> Decision:
    """Whether one more would be allowed; it is not taken."""
    counting = still_counting(spent, now_seconds)
    left = limit - _total(counting)
    return Decision(left > 0, limit, max(0, left), _wait_seconds(counting, limit, now_seconds))


def take(spent: Spent, limit: int, now_seconds: float) -> tuple[Decision, Spent]:
    """The decision on one more, and what has been taken then; what is refused is not taken."""
    counting = still_counting(spent, now_seconds)
    if _total(counting) >= limit:
        return look(counting, limit, now_seconds), counting
    taken = _one_more(counting, now_seconds)
    left = limit - _total(taken)
    return Decision(True, limit, left, _wait_seconds(taken, limit, now_seconds)), taken


def still_counting(spent: Spent, now_seconds: float) -> Spent:
    """What counts at this time: a second that is yet to come, as after a step back, does not."""
    second = math.floor(now_seconds)
    return [
        (at, count)
        for at, count in spent
        if math.floor(at) <= second and now_seconds < at + WINDOW_SECONDS
    ]


def forgotten_at(spent: Spent) -> int:
    """The whole second from which nothing of this counts any more; it may not be empty."""
    return math.ceil(spent[-1][0]) + WINDOW_SECONDS


def _total(spent: Spent) -> int:
    return sum(count for _, count in spent)


def _one_more(spent: Spent, now_seconds: float) -> Spent:
    if spent and math.floor(spent[-1][0]) == math.floor(now_seconds):
        at, count = spent[-1]
        return [*spent[:-1], (max(at, now_seconds), count + 1)]
    return [*spent, (now_seconds, 1)]


def _wait_seconds(spent: Spent, limit: int, now_seconds: float) -> float:
    # A limit that was lowered may be exceeded by more than the oldest second brings back.
    excess = max(1, _total(spent) - limit + 1)
    for at, count in spent:
        excess -= count
        if excess <= 0 or at == spent[-1][0]:
            return at + WINDOW_SECONDS - now_seconds
    return 0.0
