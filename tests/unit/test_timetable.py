"""Which slot a waiting batch gets, against a queue that is played through slot by slot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_app.queue.timetable import Timetable, slot_for

PACE_SECONDS = 5.0


def played_through(first_seconds: float, releases: Sequence[float]) -> list[float]:
    """When each batch starts, in their order: at every slot the first one that may go does."""
    starts = [0.0] * len(releases)
    waiting = set(range(len(releases)))
    now = first_seconds
    while waiting:
        now = max(now, min(releases[batch] for batch in waiting))
        batch = min(batch for batch in waiting if releases[batch] <= now)
        waiting.remove(batch)
        starts[batch] = now
        now += PACE_SECONDS
    return starts


def foretold(first_seconds: float, releases: Sequence[float]) -> list[float]:
    """The same from the timetable; a release of 0 is that of a batch that may go at once."""
    timetable = Timetable(
        first_seconds=first_seconds,
        pace_seconds=PACE_SECONDS,
        ready_count=sum(not release for release in releases),
        releases=[release for release in releases if release],
    )
    starts = []
    for batch, release in enumerate(releases):
        ahead = releases[:batch]
        slot = slot_for(
            sum(not each for each in ahead),
            sorted(timetable.slot_at(each) for each in ahead if each),
            timetable.slot_at(release) if release else 0,
        )
        starts.append(timetable.seconds_of(slot))
    return starts


@given(
    first_seconds=st.sampled_from([0.0, 1.5, 5.0, 60.0]),
    releases=st.lists(st.just(0.0) | st.integers(1, 240).map(lambda n: n / 2), max_size=14),
)
def test_the_timetable_is_what_happens(first_seconds: float, releases: list[float]) -> None:
    assert foretold(first_seconds, releases) == pytest.approx(
        played_through(first_seconds, releases)
    )


@pytest.mark.parametrize(
    ("ready_ahead_count", "released_ahead", "released", "slot"),
    [
        pytest.param(0, [], 0, 0, id="nothing before it"),
        pytest.param(3, [], 0, 3, id="three before it"),
        pytest.param(3, [2], 0, 4, id="a retry before it that may go while it waits"),
        pytest.param(3, [3], 0, 4, id="a retry before it that may go when its own turn comes"),
        pytest.param(3, [4], 0, 3, id="a retry before it that comes too late"),
        pytest.param(3, [3, 4], 0, 5, id="a retry that delays it until another may go"),
        pytest.param(0, [], 7, 7, id="its own time comes later"),
        pytest.param(2, [7], 7, 8, id="another with the same time goes before it"),
        pytest.param(9, [], 7, 9, id="its own time comes while others go"),
    ],
)
def test_a_batch_waits_for_those_before_it_that_may_go(
    ready_ahead_count: int, released_ahead: list[int], released: int, slot: int
) -> None:
    assert slot_for(ready_ahead_count, released_ahead, released) == slot


def test_slots_go_on_from_the_retry_that_was_waited_for() -> None:
    timetable = Timetable(first_seconds=2.0, pace_seconds=5.0, ready_count=1, releases=[30.0, 31.0])
    assert [timetable.seconds_of(slot) for slot in range(4)] == [2.0, 30.0, 35.0, 40.0]
    assert [timetable.slot_at(seconds) for seconds in (0, 2, 2.1, 30, 31)] == [0, 0, 1, 1, 2]
