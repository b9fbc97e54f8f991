"""A call that starts late takes its slot along, or is not made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest_app.database import Database
from ingest_app.errors import SlotTaken, StaleClaim
from ingest_app.queue import claim as claiming
from ingest_app.queue.claim import Claim, hold_slot
from ingest_app.settings import SourceSettings
from tests.support.checks import too_close
from tests.support.clocks import FakeClock, without_boot_clock
from tests.support.queues import Queue


def hold(queue: Queue, claim: Claim) -> Claim:
    return hold_slot(queue.database, claim, clock=queue.clock)


def test_moved_slot_opens_an_interval_and_twice_the_margin_from_now(queue: Queue) -> None:
    queue.submit(range(6))
    claim = queue.claim()
    queue.clock.move(3)
    moved = hold(queue, claim)
    assert moved.claimed == queue.clock.read()
    assert moved.margin_seconds == claim.margin_seconds * 2
    assert queue.refused().wait_seconds == pytest.approx(5.05)


def test_every_move_doubles_the_margin(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    margin_seconds = claim.margin_seconds
    for times in (2, 4, 8):
        claim = hold(queue, claim)
        assert claim.margin_seconds == margin_seconds * times


def test_ledger_has_the_time_of_the_move(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    queue.clock.move(3)
    moved = hold(queue, claim)
    entry = queue.dispatch(claim)
    assert entry.dispatched_at == queue.clock.read().at
    assert entry.dispatched_boot_seconds == queue.clock.read().boot_seconds
    assert entry.margin_seconds == moved.margin_seconds


def test_slot_that_another_claim_has_had_is_not_moved(queue: Queue) -> None:
    queue.submit(range(6))
    late = queue.claim()
    queue.claim_in_turn()
    before = queue.everything()
    with pytest.raises(SlotTaken):
        hold(queue, late)
    assert queue.everything() == before


def test_slot_of_a_batch_that_was_taken_away_is_not_moved(queue: Queue) -> None:
    queue.submit()
    late = queue.claim()
    queue.lose(late)
    before = queue.everything()
    with pytest.raises(StaleClaim):
        hold(queue, late)
    assert queue.everything() == before


def test_slot_of_another_source_does_not_matter(queue: Queue) -> None:
    queue.submit()
    claim = queue.claim()
    other = queue.using(name="other")
    other.submit()
    other.claim()
    hold(queue, claim)


def test_moved_claim_can_be_settled(queue: Queue) -> None:
    queue.submit()
    queue.complete(hold(queue, queue.claim()))
    assert queue.batch(1).status == "completed"


@pytest.mark.parametrize("make_clock", [FakeClock, without_boot_clock])
def test_look_of_another_worker_does_not_bring_a_moved_slot_nearer(
    database: Database, source: SourceSettings, make_clock: Callable[[], FakeClock]
) -> None:
    queue = Queue(database, source, make_clock())
    queue.submit(range(6))
    claim = queue.claim()
    queue.clock.move(1)
    moved = hold(queue, claim)
    slot = queue.slot()
    queue.refused()
    assert queue.slot() == slot
    first = moved.claimed.later(moved.margin_seconds)  # as late as this call may start
    second = queue.claim_in_turn().claimed
    assert too_close([0.0, second.seconds_since(first)], 5.0) == []


def test_without_the_check_a_slot_is_seen_to_be_used_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control: the late call is made beside the one whose slot it is by now.
    monkeypatch.setattr(claiming, "_check_still_next", lambda *_: None)
    queue.submit(range(6))
    late = queue.claim()
    punctual = queue.claim_in_turn()
    moved = hold(queue, late)
    assert too_close([punctual.claimed.boot_seconds, moved.claimed.boot_seconds], 5.0) != []


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param("UPDATE sources SET paused_at = '2026-03-01 12:00:00'", id="paused"),
        pytest.param("UPDATE sources SET deferred_until = '2026-03-02 12:00:00'", id="deferred"),
        pytest.param("UPDATE ingestions SET cancelled_at = '2026-03-01 12:00:00'", id="cancelled"),
    ],
)
def test_late_call_is_not_made_after_a_stop(queue: Queue, stop: str) -> None:
    queue.submit()
    claim = queue.claim()
    queue.clock.move(3)  # to connect took long
    queue.change(stop)
    with pytest.raises(SlotTaken):
        hold(queue, claim)
