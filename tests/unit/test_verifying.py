"""The checks of `ingest verify` go red for each violation, and stay green beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ingest_app.clock import Moment
from ingest_app.verifying.order import Choice, QueueKey, judge_order
from ingest_app.verifying.pace import Call, judge_pace
from tests.support.clocks import START

INTERVAL_SECONDS = 5.0
MARGIN_SECONDS = 0.025


def call(dispatch_id: int, at: Moment, **facts: Any) -> Call:
    return Call(
        **{
            "dispatch_id": dispatch_id,
            "at": at,
            "time_is_known": True,
            "interval_seconds": INTERVAL_SECONDS,
            "margin_seconds": MARGIN_SECONDS,
            "late_seconds": 0.0,
            "was_waiting": True,
            **facts,
        }
    )


def pair(gap_seconds: float, *, first: Any = (), second: Any = ()) -> list[Call]:
    return [call(1, START, **dict(first)), call(2, START.later(gap_seconds), **dict(second))]


UNKNOWN = {"time_is_known": False}


@pytest.mark.parametrize(
    ("calls", "is_violation"),
    [
        pytest.param(pair(5.0), False, id="exactly the interval"),
        pytest.param(pair(4.999), True, id="a millisecond short"),
        pytest.param(pair(0.0), True, id="at once"),
        pytest.param(pair(-1.0), True, id="before the other, on one boot"),
        pytest.param(pair(5.01, first=UNKNOWN), True, id="the first may have begun a margin later"),
        pytest.param(pair(5.025, first=UNKNOWN), False, id="which the slot allowed for"),
        pytest.param(pair(1.0, second={"interval_seconds": 1.0}), False, id="shortened meanwhile"),
        pytest.param(pair(5.0, second={"interval_seconds": 9.0}), True, id="lengthened meanwhile"),
        pytest.param(pair(0.0, second={"interval_seconds": 0.0}), False, id="no limit"),
        pytest.param(
            pair(-0.1, second={"interval_seconds": 0.0}), False, id="no limit: in any order"
        ),
    ],
)
def test_calls_closer_than_the_interval_in_force_are_found(
    calls: list[Call], is_violation: bool
) -> None:
    _, findings = judge_pace("default", calls)
    assert [finding.promise for finding in findings] == ["P2"] * is_violation


def test_smallest_gap_of_nothing_is_not_forgotten() -> None:
    figures, _ = judge_pace("default", [call(1, START), call(2, START), call(3, START.later(9))])
    assert figures.smallest_gap_seconds == 0.0


def test_gap_over_a_reboot_with_the_clock_set_back_is_counted_as_unproven() -> None:
    rebooted = Moment(START.at - timedelta(hours=1), 10.0, "second-boot")
    figures, findings = judge_pace("default", [call(1, START), call(2, rebooted)])
    assert (figures.unproven_gap_count, findings) == (1, [])


def test_short_gap_over_a_reboot_is_a_violation() -> None:
    rebooted = Moment(START.at + timedelta(seconds=1), 10.0, "second-boot")
    _, findings = judge_pace("default", [call(1, START), call(2, rebooted)])
    assert [finding.promise for finding in findings] == ["P2"]


def test_mean_and_unused_slots_count_only_where_work_waited() -> None:
    idle = {"was_waiting": False, "late_seconds": 100.0}
    calls = [
        call(1, START),
        call(2, START.later(5)),
        call(3, START.later(105), **idle),
        call(4, START.later(117), late_seconds=7.0),
    ]
    figures, _ = judge_pace("default", calls)
    assert (figures.mean_gap_seconds, figures.wasted_slot_count) == (8.5, 1)


def key(batch_id: int, rank: int = 1) -> QueueKey:
    return QueueKey(rank, START.later(batch_id).at, batch_id)


LOW, MEDIUM, HIGH = key(1, rank=2), key(2, rank=1), key(3, rank=0)


@pytest.mark.parametrize(
    ("choices", "is_violation"),
    [
        pytest.param([(HIGH, 3), (MEDIUM, 3), (LOW, 3)], False, id="in order"),
        pytest.param([(MEDIUM, 2), (HIGH, 3), (LOW, 3)], False, id="the HIGH came later"),
        pytest.param([(MEDIUM, 3), (HIGH, 3), (LOW, 3)], True, id="the HIGH waited"),
        pytest.param([(HIGH, 3), (LOW, 3)], True, id="the MEDIUM waits still"),
        pytest.param([(HIGH, 3), (HIGH, 3), (MEDIUM, 3)], False, id="called again first"),
    ],
)
def test_batch_that_went_while_a_better_one_waited_is_found(
    choices: list[tuple[QueueKey, int]], is_violation: bool
) -> None:
    made = [Choice(number, batch, newest) for number, (batch, newest) in enumerate(choices, 1)]
    findings = judge_order([LOW, MEDIUM, HIGH], made)
    assert [finding.promise for finding in findings] == ["P4"] * is_violation


def test_older_batch_of_the_same_priority_goes_first() -> None:
    younger_first = [Choice(1, key(2), 2), Choice(2, key(1), 2)]
    assert [finding.where for finding in judge_order([key(1), key(2)], younger_first)] == [
        "dispatch 1: batch 1 should have gone"
    ]
