"""When a worker may take a lease that is over for a worker that is silent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ingest_app.queue.watching import LOOKS_A_LEASE, Watch
from tests.support.clocks import HOUR, FakeClock, without_boot_clock

LEASE = 30.0
LOOK = LEASE / LOOKS_A_LEASE


def judged(clock: FakeClock, gaps: Sequence[float]) -> list[bool]:
    """What the watch says at its first look and after each of these gaps."""
    watch = Watch(LEASE)
    found = [watch.look(clock.read())]
    for gap in gaps:
        clock.move(gap)
        found.append(watch.look(clock.read()))
    return found


@pytest.mark.parametrize(
    ("gaps", "last"),
    [
        pytest.param([], False, id="the first look knows nothing of before"),
        pytest.param([LOOK, LOOK], False, id="not yet half a lease"),
        pytest.param([LOOK] * 3, True, id="half a lease without a gap"),
        pytest.param([0.5] * 29, False, id="many looks do not make it sooner"),
        pytest.param([2 * LOOK, LOOK], True, id="one look was missed"),
        pytest.param([LOOK] * 3 + [2 * LOOK + 0.001], False, id="two were: nobody could renew"),
        pytest.param([LOOK] * 3 + [HOUR] + [LOOK] * 2, False, id="and it begins anew"),
        pytest.param([LOOK] * 3 + [HOUR] + [LOOK] * 3, True, id="until all had their time"),
    ],
)
def test_watch_judges_after_half_a_lease_without_a_stall(
    clock: FakeClock, gaps: list[float], last: bool
) -> None:
    assert judged(clock, gaps)[-1] is last


@pytest.mark.parametrize("step_seconds", [HOUR, -HOUR])
def test_step_of_the_wall_clock_is_no_stall(clock: FakeClock, step_seconds: float) -> None:
    watch = Watch(LEASE)
    found = []
    for _ in range(4):
        found.append(watch.look(clock.read()))
        clock.set_wall(step_seconds)
        clock.move(LOOK)
    assert found == [False, False, False, True]


def test_without_a_boot_clock_a_clock_set_back_costs_half_a_lease_and_no_more() -> None:
    clock = without_boot_clock()
    watch = Watch(LEASE)
    watch.look(clock.read())
    clock.set_wall(-HOUR)
    found = []
    for _ in range(4):
        found.append(watch.look(clock.read()))
        clock.move(LOOK)
    assert found == [False, False, False, True]
