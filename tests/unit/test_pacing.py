"""When the next slot opens, on clocks that are set and with intervals that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_app.clock import Moment
from ingest_app.queue import pacing
from ingest_app.queue.pacing import UNUSED, Slot
from tests.support.checks import too_close
from tests.support.clocks import DAY, HOUR, START, FakeClock, without_boot_clock

INTERVAL = 5.0
STEPS = [HOUR, -HOUR, DAY, -DAY]
reproducibly = settings(max_examples=200, derandomize=True, database=None, deadline=None)


def spent(now: Moment, interval_seconds: float = INTERVAL) -> Slot:
    """The slot after a claim at `now`."""
    return pacing.next_slot(now, interval_seconds, pacing.margin_seconds(interval_seconds))


@pytest.mark.parametrize(
    ("interval_seconds", "margin_seconds"),
    [
        pytest.param(0.0, 0.0, id="no pace, no margin"),
        pytest.param(0.01, 0.003, id="a commit takes its time, however short the interval"),
        pytest.param(0.3, 0.003, id="1% of the interval"),
        pytest.param(0.6, 0.003, id="where the share meets the least"),
        pytest.param(1.0, 0.005, id="a share of the interval"),
        pytest.param(5.0, 0.025, id="where the share meets the most"),
        pytest.param(HOUR, 0.025, id="longer intervals need no more"),
    ],
)
def test_margin_is_a_share_of_the_interval_within_limits(
    interval_seconds: float, margin_seconds: float
) -> None:
    assert pacing.margin_seconds(interval_seconds) == pytest.approx(margin_seconds)


@reproducibly
@given(st.floats(0.3, 366 * DAY))
def test_margin_costs_at_most_one_percent_of_the_pace(interval_seconds: float) -> None:
    assert pacing.margin_seconds(interval_seconds) <= interval_seconds * 0.01 + 1e-9


def test_unused_source_has_an_open_slot() -> None:
    assert pacing.wait_seconds(UNUSED, INTERVAL, START) == 0
    assert not pacing.says_nothing(UNUSED, INTERVAL, START)


def test_slot_opens_an_interval_and_a_margin_after_the_claim() -> None:
    assert pacing.wait_seconds(spent(START), INTERVAL, START) == pytest.approx(5.025)


@pytest.mark.parametrize("start", [START, Moment(START.at)], ids=["boot clock", "wall clock"])
@pytest.mark.parametrize(
    ("seconds", "is_open"),
    [
        pytest.param(-0.000_001, False, id="a microsecond before"),
        pytest.param(0.0, True, id="at the very instant"),
        pytest.param(0.000_001, True, id="a microsecond after"),
        pytest.param(DAY, True, id="long after"),
    ],
)
def test_slot_opens_at_its_instant(start: Moment, seconds: float, is_open: bool) -> None:
    slot = spent(start)
    now = slot.opens.later(seconds)
    assert (pacing.wait_seconds(slot, INTERVAL, now) == 0) is is_open


@pytest.mark.parametrize(
    ("recorded_seconds", "in_force_seconds"),
    [
        pytest.param(5.0, 10.0, id="lengthened: the slot moves away"),
        pytest.param(5.0, 5.0, id="unchanged"),
        pytest.param(10.0, 5.0, id="shortened: the slot comes nearer"),
        pytest.param(5.0, 0.2, id="shortened, and with it the margin"),
        pytest.param(0.2, 5.0, id="lengthened, and with it the margin"),
        pytest.param(0.0, 5.0, id="paced from now on"),
    ],
)
def test_changed_interval_counts_from_the_last_claim(
    recorded_seconds: float, in_force_seconds: float
) -> None:
    opens = pacing.opening(spent(START, recorded_seconds), in_force_seconds)
    after_claim_seconds = opens.seconds_since(START)
    assert in_force_seconds - 1e-9 <= after_claim_seconds <= in_force_seconds + 0.025 + 1e-9


def test_slot_is_open_when_the_pace_is_lifted() -> None:
    # The last call may have started a margin after its claim.
    now = START.later(pacing.margin_seconds(INTERVAL))
    assert pacing.wait_seconds(spent(START), 0.0, now) == pytest.approx(0.0)


@pytest.mark.parametrize("step_seconds", STEPS)
def test_step_of_the_wall_clock_moves_no_slot(step_seconds: float) -> None:
    clock = FakeClock()
    slot = spent(clock.read())
    clock.move(2)
    before_seconds = pacing.wait_seconds(slot, INTERVAL, clock.read())
    clock.set_wall(step_seconds)
    assert pacing.wait_seconds(slot, INTERVAL, clock.read()) == before_seconds
    assert not pacing.says_nothing(slot, INTERVAL, clock.read())


@pytest.mark.parametrize("step_seconds", STEPS)
def test_without_the_boot_clock_a_step_is_seen_to_move_the_slot(step_seconds: float) -> None:
    # The negative control of the test above.
    clock = without_boot_clock()
    slot = spent(clock.read())
    clock.move(2)
    before_seconds = pacing.wait_seconds(slot, INTERVAL, clock.read())
    clock.set_wall(step_seconds)
    assert pacing.wait_seconds(slot, INTERVAL, clock.read()) != before_seconds


@pytest.mark.parametrize(
    ("step_seconds", "was_set_back"),
    [
        pytest.param(0.0, False, id="the wall clock went on through the reboot"),
        pytest.param(HOUR, False, id="it was set forward"),
        pytest.param(-HOUR, True, id="it was set back: the slot is an hour away"),
        pytest.param(-DAY, True, id="it was set back by a day"),
        pytest.param(-1.0, True, id="it was set back by less than an interval, at once"),
    ],
)
def test_reboot_with_the_wall_clock_set_back_is_noticed(
    step_seconds: float, was_set_back: bool
) -> None:
    clock = FakeClock()
    slot = spent(clock.read())
    clock.reboot(step_seconds)
    assert pacing.says_nothing(slot, INTERVAL, clock.read()) is was_set_back


def test_small_step_back_through_a_reboot_is_waited_for() -> None:
    clock = FakeClock()
    slot = spent(clock.read())
    clock.move(3)
    now = clock.reboot(-1.0)
    assert not pacing.says_nothing(slot, INTERVAL, now)
    assert pacing.wait_seconds(slot, INTERVAL, now) == pytest.approx(3.025)


def test_time_stored_to_the_microsecond_is_not_a_clock_set_back() -> None:
    slot = spent(Moment(START.at))
    rounded_up = Slot(
        Moment(slot.opens.at + timedelta(microseconds=1)), INTERVAL, slot.margin_seconds
    )
    assert not pacing.says_nothing(rounded_up, INTERVAL, Moment(START.at))


@dataclass(frozen=True)
class Step:
    """One dispatch: after a pause, with this interval, its slot moved so often as too late."""

    pause_seconds: float
    interval_seconds: float
    slot_moves: int
    lateness: float  # how much of its margin the call takes to start


def steps(intervals: st.SearchStrategy[float]) -> st.SearchStrategy[list[Step]]:
    step = st.builds(Step, st.floats(0, 20), intervals, st.integers(0, 3), st.floats(0, 1))
    return st.lists(step, min_size=2, max_size=12)


def calls(dispatches: Sequence[Step], start: Moment) -> list[Moment]:
    """When calls start, if a claim is asked for before each of them, at once after, and in turn."""
    slot, now, made = UNUSED, start, []
    for step in dispatches:
        interval_seconds = step.interval_seconds
        slot = looked_at(slot, interval_seconds, now)
        now = now.later(step.pause_seconds)
        slot = looked_at(slot, interval_seconds, now)
        now = now.later(pacing.wait_seconds(slot, interval_seconds, now))
        margin_seconds = pacing.margin_seconds(interval_seconds)
        slot = pacing.next_slot(now, interval_seconds, margin_seconds)
        for _ in range(step.slot_moves):
            now = now.later(margin_seconds * 1.5)
            margin_seconds *= 2
            slot = pacing.next_slot(now, interval_seconds, margin_seconds)
        made.append(now.later(margin_seconds * step.lateness))
    return made


def looked_at(slot: Slot, interval_seconds: float, now: Moment) -> Slot:
    """The slot after a claim was asked for, which records it anew after a clock set back."""
    set_back = pacing.says_nothing(slot, interval_seconds, now)
    return pacing.anew(slot, interval_seconds, now) if set_back else slot


def gaps_too_short(dispatches: Sequence[Step], made: Sequence[Moment]) -> list[float]:
    """The gaps before calls that are less than the interval in force."""
    found = []
    for step, (earlier, later) in zip(dispatches[1:], pairwise(made), strict=True):
        times = [0.0, later.seconds_since(earlier)]
        found += too_close(times, step.interval_seconds)
    return found


both_clocks = pytest.mark.parametrize(
    "start", [START, Moment(START.at)], ids=["boot clock", "wall clock"]
)


@both_clocks
@reproducibly
@given(dispatches=steps(st.just(INTERVAL)))
def test_calls_are_never_closer_than_the_interval(start: Moment, dispatches: list[Step]) -> None:
    assert gaps_too_short(dispatches, calls(dispatches, start)) == []


@both_clocks
@reproducibly
@given(dispatches=steps(st.sampled_from([0.05, 0.2, 1.0, 5.0, 60.0])))
def test_calls_are_never_closer_than_an_interval_that_changes(
    start: Moment, dispatches: list[Step]
) -> None:
    assert gaps_too_short(dispatches, calls(dispatches, start)) == []


def test_without_the_margin_in_the_slot_calls_are_seen_to_be_too_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The negative control: the first call starts a margin late, the second at once.
    def next_slot(now: Moment, interval_seconds: float, _margin: float) -> Slot:
        return Slot(now.later(interval_seconds), interval_seconds, 0.0)

    monkeypatch.setattr(pacing, "next_slot", next_slot)
    dispatches = [Step(0, INTERVAL, 0, lateness=1.0), Step(0, INTERVAL, 0, lateness=0.0)]
    assert gaps_too_short(dispatches, calls(dispatches, START)) != []
