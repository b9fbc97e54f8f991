"""What goes when: the example everyone knows, a long backlog, and whatever may happen."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import Connection

from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.items import ItemId
from ingest_app.queue import claim as claiming
from ingest_app.queue import settle as settling
from ingest_app.queue.claim import Claim, hold_slot
from ingest_app.queue.refusing import Refusal, Wait
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.checks import too_close
from tests.support.clocks import FakeClock
from tests.support.queues import Queue

FETCH_SECONDS = 1.0
ENDS: list[Callable[..., None]] = [
    Queue.complete,
    Queue.retry,
    Queue.fail,
    Queue.release,
]


@dataclass
class Run:
    """A dispatcher that looks at every instant at which something may go."""

    queue: Queue
    dispatched: list[tuple[float, tuple[ItemId, ...]]] = field(default_factory=list)
    _in_flight: list[tuple[float, Claim]] = field(default_factory=list)

    def until(self, seconds: float) -> None:
        while (now := self.queue.clock.passed_seconds) <= seconds:
            self._settle_what_has_ended(now)
            answer = self.queue.ask()
            if isinstance(answer, Claim):
                self.dispatched.append((now, answer.ids))
                self._in_flight.append((now + FETCH_SECONDS, answer))
            else:
                self._wait(answer, seconds - now)

    def _settle_what_has_ended(self, now: float) -> None:
        for ended in [work for work in self._in_flight if work[0] <= now]:
            self._in_flight.remove(ended)
            self.queue.complete(ended[1])

    def _wait(self, refusal: Refusal, left_seconds: float) -> None:
        # When it is empty, only what the test does next can change that.
        wait_seconds = left_seconds if refusal.reason is Wait.EMPTY else refusal.wait_seconds
        left_after_end = left_seconds + 1e-6
        self.queue.clock.move(min(wait_seconds, left_after_end) or left_after_end)


def test_high_overtakes_the_rest_of_medium_at_the_pace_of_the_defaults(queue: Queue) -> None:
    run = Run(queue)
    queue.submit([1, 2, 3, 4, 5], Priority.MEDIUM)
    run.until(4)
    queue.submit([6, 7, 8, 9], Priority.HIGH)
    run.until(20)
    assert [ids for _, ids in run.dispatched] == [(1, 2, 3), (6, 7, 8), (9,), (4, 5)]
    times = [seconds for seconds, _ in run.dispatched]
    assert times == pytest.approx([0, 5, 10, 15], abs=3 * 0.025 + 1e-6)
    assert too_close(times, 5.0) == []


def test_no_slot_is_wasted_while_work_waits(queue: Queue) -> None:
    run = Run(queue)
    queue.submit(range(300))
    run.until(600)
    assert len(run.dispatched) == 100
    mean_gap_seconds = run.dispatched[-1][0] / 99
    assert 5.0 <= mean_gap_seconds <= 5.05


def test_pace_that_is_counted_from_the_end_of_the_work_is_seen_to_waste_slots(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control: a slot counted from the end of a call that takes a second.
    def spend_slot(connection: Connection, claim: Claim) -> None:
        original(connection, replace(claim, claimed=claim.claimed.later(FETCH_SECONDS)))

    original = claiming._spend_slot
    monkeypatch.setattr(claiming, "_spend_slot", spend_slot)
    run = Run(queue)
    queue.submit(range(30))
    run.until(100)
    assert run.dispatched[-1][0] / (len(run.dispatched) - 1) > 5.05


class Walk:
    """Whatever may happen to a queue, in any order, and the calls that were made meanwhile.

    Either the machine is rebooted, or its clock is also set forward: that it was set forward before
    a reboot is what no one can tell from time that has passed.
    """

    def __init__(self, queue: Queue, seed: int, *, reboots: bool) -> None:
        self.queue = queue
        self.reboots = reboots
        self.called_at: list[float] = []
        self._random = random.Random(seed)
        self._held: list[tuple[Claim, Moment]] = []

    def take(self, step_count: int) -> None:
        steps = [self.submit, self.pass_time, self.claim, self.claim, self.claim_late]
        steps += [self.settle, self.settle, self.recover, self.set_wall]
        steps += [self.reboot] if self.reboots else []
        for _ in range(step_count):
            self._random.choice(steps)()

    def submit(self) -> None:
        ids = range(self._random.randint(1, 9))
        self.queue.submit(ids, self._random.choice(list(Priority)))

    def pass_time(self) -> None:
        self.queue.clock.move(self._random.choice([0.001, 0.1, 1.0, 4.99, 5.0, 40.0]))

    def claim(self) -> None:
        answer = self.queue.ask()
        if isinstance(answer, Claim):
            self._call(answer)
        elif answer.wait_seconds:
            self.queue.clock.move(answer.wait_seconds)

    def claim_late(self) -> None:
        answer = self.queue.ask()
        if isinstance(answer, Claim):
            self.queue.clock.move(self._random.choice([0.1, 6.0]))
            self._call(hold_slot(self.queue.database, answer, clock=self.queue.clock))

    def settle(self) -> None:
        if self._held:
            claim, called = self._held.pop(self._random.randrange(len(self._held)))
            self._random.choice(ENDS)(self.queue, claim, called=called)

    def recover(self) -> None:
        lost = self.queue.recover()
        self._held = [held for held in self._held if held[0].batch_id not in lost]

    def set_wall(self) -> None:
        steps = [-3600, -2] if self.reboots else [-3600, -2, 2, 3600]
        self.queue.clock.set_wall(self._random.choice(steps))

    def reboot(self) -> None:
        self.queue.clock.reboot(self._random.choice([0, -2, -3600]))
        self._held.clear()

    def finish(self) -> None:
        """Let all work end."""
        for _ in range(1_000):
            self.recover()
            answer = self.queue.ask()
            if isinstance(answer, Claim):
                self._call(answer)
                claim, called = self._held.pop()
                self.queue.complete(claim, called=called)
            elif answer.reason is Wait.EMPTY:
                return
            else:
                self.queue.clock.move(answer.wait_seconds or self.queue.source.lease_seconds)
        raise AssertionError("there is work that never ends")

    def _call(self, claim: Claim) -> None:
        self.queue.clock.move(claim.margin_seconds * self._random.random())
        self.called_at.append(self.queue.clock.passed_seconds)
        now = self.queue.clock.read()
        # Answered at once, which brings the next slot nearest.
        self._held.append((replace(claim, answered=now), now))


WALKS = [
    pytest.param((seed, reboots), id=f"{seed}, {'reboots' if reboots else 'no reboot'}")
    for reboots in (False, True)
    for seed in range(6)
]
UNENDED = "SELECT * FROM batches WHERE status NOT IN ('completed', 'failed', 'cancelled')"
DOUBLE_RECORDS = """
SELECT batch_id FROM records JOIN batches ON batches.id = batch_id
GROUP BY batch_id HAVING count(*) <> json_array_length(ids)
"""


@pytest.fixture
def walk(request: pytest.FixtureRequest, database: Database) -> Walk:
    source = SourceSettings(max_attempts=3)
    seed, reboots = request.param
    walk = Walk(Queue(database, source, FakeClock()), seed, reboots=reboots)
    walk.submit()
    return walk


@pytest.mark.parametrize("walk", WALKS[:1], indirect=True)
def test_slot_brought_forward_to_the_claim_instead_of_the_answer_is_seen_to_be_too_early(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test below.
    def bring_forward(connection: Connection, claim: Claim, _answered: Moment) -> None:
        original(connection, claim, claim.claimed)

    original = settling._bring_slot_forward
    monkeypatch.setattr(settling, "_bring_slot_forward", bring_forward)
    walk.take(120)
    walk.finish()
    assert too_close(walk.called_at, 5.0) != []


@pytest.mark.parametrize("walk", WALKS, indirect=True)
def test_whatever_happens_the_promises_hold(walk: Walk) -> None:
    walk.take(120)
    walk.finish()
    assert too_close(walk.called_at, 5.0) == []
    assert walk.queue.rows(UNENDED) == []
    assert walk.queue.rows("SELECT * FROM dispatches WHERE outcome IS NULL") == []
    assert walk.queue.rows(DOUBLE_RECORDS) == []


@pytest.mark.parametrize("walk", WALKS[:1], indirect=True)
def test_without_the_slot_such_a_walk_is_seen_to_break_the_pace(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(claiming, "_spend_slot", lambda *_: None)
    walk.take(120)
    assert too_close(walk.called_at, 5.0) != []
