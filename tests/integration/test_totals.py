"""Running totals: every dispatch is counted once, and stays counted when its row is deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from ingest_app.clock import Moment
from ingest_app.queue import totals
from ingest_app.queue.claim import Claim
from ingest_app.queue.totals import (
    LATENESS_BOUNDS,
    SourceTotals,
    count_dispatches,
    read_totals,
)
from ingest_app.states import Priority
from ingest_app.verifying.pace import measure_pace
from tests.support.queues import Queue, opened

COUNTING = "SELECT counted_up_to, step_count FROM dispatch_counting"


@pytest.fixture
def queue(queue: Queue) -> Queue:
    """A source whose slots are 5 s apart, with room for many calls."""
    return queue.using(max_in_flight=64, max_attempts=3)


def counted(queue: Queue) -> SourceTotals:
    """What the source's dispatches add up to by now."""
    assert count_dispatches(queue.database)
    with queue.database.read() as connection:
        return read_totals(connection)["default"]


def dispatched(queue: Queue, *, late_seconds: float = 0.0) -> Claim:
    """A claim so long after its slot has opened."""
    claim = queue.claim_in_turn()
    queue.complete(claim)
    opens = queue.slot().opens
    assert opens is not None
    queue.clock.move(opens.seconds_since(queue.clock.read()) + late_seconds)
    return claim


ENDS: dict[str, Callable[[Queue, Claim], None]] = {
    "completed": lambda queue, claim: queue.complete(claim),
    "retried": lambda queue, claim: queue.retry(claim),
    "failed": lambda queue, claim: queue.fail(claim),
    "deferred": lambda queue, claim: queue.defer(claim),
    "released": lambda queue, claim: queue.release(claim),
    "lost": lambda queue, claim: queue.lose(claim),
}


@pytest.mark.parametrize("outcome", ENDS)
def test_every_outcome_is_counted(queue: Queue, outcome: str) -> None:
    queue.submit()
    ENDS[outcome](queue, queue.claim())
    found = counted(queue)
    assert found.outcomes == {outcome: 1}
    assert found.slots_used == 1


def test_what_is_counted_is_not_counted_again(queue: Queue) -> None:
    queue.submit(range(9))
    for _ in range(3):
        dispatched(queue)
    assert counted(queue) == counted(queue)
    assert counted(queue).outcomes == {"completed": 3}


def test_nothing_is_written_when_there_is_nothing_new(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    counted(queue)
    before = queue.rows(COUNTING)
    counted(queue)
    assert queue.rows(COUNTING) == before


def test_call_that_goes_on_is_counted_when_it_ends(queue: Queue) -> None:
    queue.submit(range(6))
    slow = queue.claim_in_turn()
    dispatched(queue)
    assert counted(queue).outcomes == {"completed": 1}
    assert queue.rows("SELECT dispatch_id FROM uncounted_dispatches") == [(slow.dispatch_id,)]
    queue.fail(slow)
    assert counted(queue).outcomes == {"completed": 1, "failed": 1}
    assert queue.rows("SELECT * FROM uncounted_dispatches") == []


def test_totals_stay_when_the_ledger_is_deleted(queue: Queue) -> None:
    queue.submit(range(6))
    dispatched(queue)
    dispatched(queue)
    before = counted(queue)
    queue.change("DELETE FROM ingestions")
    assert queue.ledger() == []
    assert counted(queue) == before
    queue.submit()
    dispatched(queue)
    assert counted(queue).outcomes == {"completed": 3}


def test_open_row_that_is_deleted_is_forgotten(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    counted(queue)
    queue.change("DELETE FROM ingestions")
    assert counted(queue).outcomes == {}
    assert queue.rows("SELECT * FROM uncounted_dispatches") == []


def test_long_ledger_is_counted_in_steps(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "STEP_SIZE", 2)
    queue.submit(range(15))
    for _ in range(5):
        dispatched(queue)
    assert not count_dispatches(queue.database, within_seconds=0)
    assert queue.rows("SELECT sum(dispatch_count) FROM dispatch_totals") == [(2,)]
    assert counted(queue).outcomes == {"completed": 5}


def test_gap_of_ids_takes_no_step(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "STEP_SIZE", 2)
    queue.submit(range(15))
    for _ in range(4):
        dispatched(queue)
    queue.change("DELETE FROM dispatches WHERE id <= 3")
    queue.change("UPDATE sqlite_sequence SET seq = 30000000 WHERE name = 'dispatches'")
    dispatched(queue)
    assert not count_dispatches(queue.database, within_seconds=0)
    assert count_dispatches(queue.database, within_seconds=0)
    assert counted(queue).outcomes == {"completed": 2}
    assert queue.rows("SELECT counted_up_to FROM dispatch_counting") == [(30_000_001,)]


def test_two_that_count_at_once_count_once(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.submit(range(6))
    dispatched(queue)
    slow = queue.claim()
    counted(queue)
    queue.complete(slow)
    others: list[str] = []
    look = totals._look

    def look_while_another_counts(connection: Connection) -> totals._Step:
        step = look(connection)
        if not others:
            others.append("counts")
            with opened(str(queue.database.engine.url.database)) as another:
                assert count_dispatches(another)
        return step

    monkeypatch.setattr(totals, "_look", look_while_another_counts)
    assert counted(queue).outcomes == {"completed": 2}


def test_lateness_is_put_into_buckets(queue: Queue) -> None:
    queue.submit(range(9))
    first = queue.claim()
    queue.complete(first)
    queue.clock.move(5.5)
    late = queue.claim_in_turn()
    opened_at = queue.dispatch(late).slot_opened_at
    queue.complete(late, called=Moment(opened_at).later(0.0026))
    found = counted(queue)
    # The source's first slot had not been opened by anything.
    assert sum(found.late_counts) == 1
    assert found.late_counts[LATENESS_BOUNDS.index(0.005)] == 1
    assert found.late_seconds == pytest.approx(0.0026, abs=1e-6)


@pytest.mark.parametrize(
    ("late_seconds", "bucket"),
    [
        pytest.param(0.001, "0.001", id="up to the bound"),
        pytest.param(0.001001, "0.0025", id="beyond it"),
        pytest.param(10.5, "+Inf", id="beyond the last"),
        pytest.param(-3.0, "0.001", id="the wall clock was set back"),
    ],
)
def test_bucket_of_a_lateness(queue: Queue, late_seconds: float, bucket: str) -> None:
    queue.submit(range(6))
    dispatched(queue)
    queue.clock.move(20)
    claim = queue.claim()
    opened_at = queue.dispatch(claim).slot_opened_at
    queue.complete(claim, called=Moment(opened_at).later(late_seconds))
    counted(queue)
    query = "SELECT late_seconds FROM dispatch_totals WHERE late_up_to = :bucket"
    ((found,),) = queue.rows(query, bucket=bucket)
    assert found == pytest.approx(max(0.0, late_seconds), abs=1e-6)


def test_source_without_a_pace_uses_no_slots(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit()
    queue.complete(queue.claim())
    found = counted(queue)
    assert (found.outcomes, found.slots_used) == ({"completed": 1}, 0)


def test_slots_that_pass_while_work_waits_are_wasted(queue: Queue) -> None:
    queue.submit(range(6))
    dispatched(queue, late_seconds=16)
    dispatched(queue)
    assert counted(queue).slots_wasted == 3


def test_slot_that_is_late_by_less_than_an_interval_is_not_wasted(queue: Queue) -> None:
    queue.submit(range(6))
    dispatched(queue, late_seconds=4.9)
    dispatched(queue)
    assert counted(queue).slots_wasted == 0


def test_slots_that_nothing_waited_for_are_not_wasted(queue: Queue) -> None:
    queue.submit()
    dispatched(queue, late_seconds=16)
    queue.submit()
    dispatched(queue)
    assert counted(queue).slots_wasted == 0


def test_retry_that_waits_for_its_time_wastes_no_slot(queue: Queue) -> None:
    queue.submit()
    queue.retry(queue.claim(), delay_seconds=60)
    queue.clock.move(60)
    dispatched(queue)
    assert counted(queue).slots_wasted == 0


@pytest.mark.parametrize("has_gone", [True, False])
@pytest.mark.parametrize("id_count", [3, 1_600], ids=["a row", "packed"])
def test_slots_are_wasted_also_when_another_goes_first(
    queue: Queue, has_gone: bool, id_count: int
) -> None:
    queue.submit([1])
    queue.submit(range(id_count), Priority.LOW)
    dispatched(queue, late_seconds=11)
    queue.submit([1], Priority.HIGH)
    dispatched(queue)
    if has_gone:
        dispatched(queue)
    assert counted(queue).slots_wasted == 2


def test_ledger_as_a_whole_says_the_same(queue: Queue) -> None:
    for number in range(40):
        if number % 7 < 3:
            queue.submit(range(1 + number % 5), list(Priority)[number % 3])
        if number % 11 == 4 and queue.rows("SELECT 1 FROM queue"):
            dispatched(queue, late_seconds=float(number))
        elif queue.rows("SELECT 1 FROM queue"):
            dispatched(queue)
        else:
            queue.clock.move(number)
        if number % 5 == 0:
            counted(queue)
    found = counted(queue)
    with queue.database.read() as connection:
        figures, _ = measure_pace(connection, "default")
    assert found.slots_wasted == figures.wasted_slot_count > 0
    assert Counter(found.outcomes).total() == figures.call_count > 15
