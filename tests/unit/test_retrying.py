"""How long what failed waits, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_app.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from ingest_app.queue import retrying
from ingest_app.queue.retrying import Defer, GiveUp, Retry, decide

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NO_END = 10**9
OUTAGE = ConnectionError("no route")


def delay(attempt: int, jitter: float = 0.0, max_attempts: int = NO_END) -> float:
    decision = decide(OUTAGE, attempt, max_attempts=max_attempts, jitter=jitter)
    assert isinstance(decision, Retry)
    return decision.delay_seconds


@pytest.mark.parametrize(
    ("attempt", "delay_seconds"),
    [
        pytest.param(1, 1.0, id="the first"),
        pytest.param(2, 2.0, id="doubled"),
        pytest.param(3, 4.0, id="and doubled"),
        pytest.param(9, 256.0, id="the last below the cap"),
        pytest.param(10, 300.0, id="capped"),
        pytest.param(1_000, 300.0, id="2**999 is more than a float holds comfortably"),
        pytest.param(10**8, 300.0, id="2**(10**8) overflows a float"),
    ],
)
def test_delay_doubles_up_to_a_cap(attempt: int, delay_seconds: float) -> None:
    assert delay(attempt) == delay_seconds


@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_jitter_takes_off_up_to_half(attempt: int) -> None:
    assert delay(attempt, jitter=1.0) == delay(attempt, jitter=0.0) / 2


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(1, 10**6), st.floats(0, 1))
def test_delay_lies_between_half_the_first_and_the_cap(attempt: int, jitter: float) -> None:
    lowest, highest = retrying.FIRST_DELAY_SECONDS / 2, retrying.LONGEST_DELAY_SECONDS
    assert lowest <= delay(attempt, jitter) <= highest


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "gives_up"),
    [
        pytest.param(4, 5, False, id="one is left"),
        pytest.param(5, 5, True, id="the last one failed"),
        pytest.param(6, 5, True, id="the limit was lowered meanwhile"),
        pytest.param(1, 1, True, id="one attempt only"),
    ],
)
def test_used_up_attempts_are_given_up(attempt: int, max_attempts: int, gives_up: bool) -> None:
    decision = decide(OUTAGE, attempt, max_attempts=max_attempts, jitter=0.5)
    assert (decision == GiveUp(is_outage=True)) is gives_up


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        pytest.param(UpstreamBusy("429", retry_after_seconds=9), Defer(9), id="a pause"),
        pytest.param(UpstreamBusy("429"), Defer(None), id="a pause of unknown length"),
        pytest.param(
            UpstreamBusy("429", retry_after_seconds=0.0), Defer(None), id="0 would go round at once"
        ),
        pytest.param(UpstreamRejected("403"), GiveUp(is_outage=False), id="never"),
    ],
)
@pytest.mark.parametrize("attempt", [1, 5, 6])
def test_what_the_upstream_says_counts_more_than_attempts(
    error: UpstreamError, decision: Defer | GiveUp, attempt: int
) -> None:
    assert decide(error, attempt, max_attempts=5, jitter=0.5) == decision


@pytest.mark.parametrize(
    ("failure_count", "seconds"),
    [
        pytest.param(0, 0.0, id="all is well"),
        pytest.param(4, 0.0, id="one less than it takes"),
        pytest.param(5, 1.0, id="the breaker opens"),
        pytest.param(6, 2.0, id="and waits twice as long"),
        pytest.param(10**9, 300.0, id="up to a cap"),
    ],
)
def test_breaker_leaves_a_failing_source_alone_longer_and_longer(
    failure_count: int, seconds: float
) -> None:
    assert retrying.breaker_seconds(failure_count, jitter=0.0) == seconds
    assert retrying.breaker_is_open(failure_count) is (seconds > 0)


@pytest.mark.parametrize(
    ("due_in_seconds", "wait_seconds"),
    [
        pytest.param(-1.0, 0.0, id="overdue"),
        pytest.param(0.0, 0.0, id="due now"),
        pytest.param(0.000_001, 0.000_001, id="due in a microsecond"),
        pytest.param(300.0, 300.0, id="the longest delay"),
        pytest.param(300.000_001, 0.0, id="further away than any delay: the clock was set back"),
        pytest.param(86_400.0, 0.0, id="the clock was set back by a day"),
    ],
)
def test_wait_is_until_due_unless_the_clock_was_set_back(
    due_in_seconds: float, wait_seconds: float
) -> None:
    not_before = NOW + timedelta(seconds=due_in_seconds)
    assert retrying.wait_seconds(not_before, NOW) == pytest.approx(wait_seconds)
