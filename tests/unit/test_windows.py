"""The rule of the limits, on a clock moved by hand."""

from __future__ import annotations

import math
import random

import pytest

from ingest_app.access.windows import WINDOW_SECONDS, Decision, Spent, look, take

LIMIT = 5
NOON = 28_333_334 * 60.0


def taken_at(times: list[float], limit: int = LIMIT) -> tuple[list[float], Spent]:
    """Which of these attempts are allowed, and what is kept after them."""
    spent: Spent = ()
    allowed = []
    for at in times:
        decision, spent = take(spent, limit, at)
        if decision.is_allowed:
            allowed.append(at)
    return allowed, spent


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(1 for at in times if begin <= at < begin + 60) for begin in times)


def test_limit_may_be_spent_at_once_and_not_more() -> None:
    allowed, spent = taken_at([NOON] * 8)
    assert len(allowed) == LIMIT
    assert spent == [(NOON, LIMIT)]


def test_decision_says_how_much_is_left_and_when_there_is_more() -> None:
    decision, spent = take([], LIMIT, NOON + 0.25)
    assert decision == Decision(True, LIMIT, LIMIT - 1, 60)
    _, spent = take(spent, LIMIT, NOON + 10)
    assert look(spent, LIMIT, NOON + 20) == Decision(True, LIMIT, LIMIT - 2, 40.25)


def test_what_was_taken_first_comes_back_first() -> None:
    _, spent = taken_at([NOON, NOON, NOON + 30, NOON + 30, NOON + 30])
    assert not look(spent, LIMIT, NOON + 59.999).is_allowed
    assert look(spent, LIMIT, NOON + 60).remaining == 2
    assert look(spent, LIMIT, NOON + 90).remaining == LIMIT


def test_all_of_a_second_comes_back_a_minute_after_the_last_of_it() -> None:
    _, spent = taken_at([NOON + 0.25, NOON + 0.75])
    assert look(spent, LIMIT, NOON + 60.5).remaining == LIMIT - 2
    assert look(spent, LIMIT, NOON + 60.75).remaining == LIMIT


@pytest.mark.parametrize("seed", range(5))
def test_nobody_waits_for_longer_than_the_window(seed: int) -> None:
    rng = random.Random(seed)
    spent: Spent = ()
    for at in sorted(NOON + rng.uniform(0, 300) for _ in range(400)):
        decision, spent = take(spent, 20, at)
        assert 0 < decision.wait_seconds <= WINDOW_SECONDS
        assert look(spent, 20, at + math.ceil(decision.wait_seconds)).remaining > decision.remaining


def test_waiting_as_told_is_long_enough_and_not_longer() -> None:
    _, spent = taken_at([NOON + 0.7] * LIMIT)
    refused, kept = take(spent, LIMIT, NOON + 7)
    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert kept == spent
    opens = NOON + 7 + refused.wait_seconds
    assert look(spent, LIMIT, opens).is_allowed
    assert not look(spent, LIMIT, opens - 0.001).is_allowed


@pytest.mark.parametrize("seed", range(5))
def test_no_minute_has_more_than_the_limit(seed: int) -> None:
    rng = random.Random(seed)
    times = sorted(NOON + rng.uniform(0, 300) for _ in range(400))
    allowed, spent = taken_at(times, limit=20)
    assert most_in_a_minute(allowed) <= 20
    assert len(allowed) >= 20 * 4  # and it is not refused for nothing
    assert len(spent) <= 61


def test_counting_anew_each_minute_would_let_through_too_much() -> None:
    """The negative control of the test above."""
    times = [NOON + 59.5] * LIMIT + [NOON + 60.5] * LIMIT
    by_minute: dict[int, int] = {}
    allowed = []
    for at in times:
        by_minute[int(at // 60)] = by_minute.get(int(at // 60), 0) + 1
        if by_minute[int(at // 60)] <= LIMIT:
            allowed.append(at)
    assert most_in_a_minute(allowed) > LIMIT
    assert most_in_a_minute(taken_at(times)[0]) <= LIMIT


def test_steady_pace_just_below_the_limit_is_never_refused() -> None:
    times = [NOON + 61 / 60 * number for number in range(300)]
    assert taken_at(times, limit=60)[0] == times


def test_clock_that_is_set_back_locks_nobody_out() -> None:
    _, spent = taken_at([NOON] * LIMIT)
    assert not look(spent, LIMIT, NOON + 1).is_allowed
    back = NOON - 3600
    assert look(spent, LIMIT, back).remaining == LIMIT
    decision, spent = take(spent, LIMIT, back)
    assert decision.is_allowed
    assert spent == [(back, 1)]  # what seemed to be ahead is gone


def test_clock_that_is_set_back_within_a_second_gives_nothing_away() -> None:
    _, spent = taken_at([NOON + 0.9, NOON + 0.3])
    assert spent == [(NOON + 0.9, 2)]


def test_limit_that_was_lowered_waits_until_enough_has_come_back() -> None:
    _, spent = taken_at([NOON, NOON + 10, NOON + 10, NOON + 20])
    refused = look(spent, 2, NOON + 30)
    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert refused.wait_seconds == 40  # with the two of second 10
    assert look(spent, 2, NOON + 70).is_allowed
