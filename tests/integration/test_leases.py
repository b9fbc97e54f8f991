"""A batch whose worker gives no sign of life goes back; one whose worker lives does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ingest_app.clock import Moment
from ingest_app.database import Database
from ingest_app.queue.claim import Claim
from ingest_app.queue.recover import recover_expired_leases, renew_leases
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.clocks import DAY, HOUR, START, FakeClock, without_boot_clock
from tests.support.queues import Queue

LEASE = 30.0


@pytest.fixture
def claim(queue: Queue) -> Claim:
    queue.submit()
    return queue.claim()


def renew(queue: Queue, *claims: Claim) -> None:
    renew_leases(queue.database, claims, queue.source, clock=queue.clock)


@pytest.mark.parametrize(
    ("seconds", "recovered"),
    [
        pytest.param(0.0, False, id="just claimed"),
        pytest.param(LEASE - 0.001, False, id="a millisecond before the end"),
        pytest.param(LEASE, True, id="at the end"),
        pytest.param(DAY, True, id="long after, as when all workers were down"),
    ],
)
def test_batch_is_recovered_when_its_lease_is_over(
    queue: Queue, claim: Claim, seconds: float, recovered: bool
) -> None:
    queue.clock.move(seconds)
    assert queue.recover() == ([claim.batch_id] if recovered else [])
    assert (queue.batch(claim.batch_id).status == "yet_to_start") is recovered


def test_heartbeat_keeps_the_lease(queue: Queue, claim: Claim) -> None:
    for _ in range(10):
        queue.clock.move(LEASE - 1)
        renew(queue, claim)
        assert queue.recover() == []
    queue.clock.move(LEASE)
    assert queue.recover() == [claim.batch_id]


def test_heartbeat_renews_all_claims_it_is_given(queue: Queue, claim: Claim) -> None:
    queue.submit()
    second = queue.claim_in_turn()
    queue.clock.move(LEASE - 10)
    renew(queue, claim, second)
    queue.clock.move(LEASE - 1)
    assert queue.recover() == []


def test_late_heartbeat_does_not_renew_the_lease_of_another(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    queue.claim_in_turn()
    before = queue.everything()
    queue.clock.move(5)
    renew(queue, claim)
    assert queue.everything() == before


def test_late_heartbeat_does_not_lease_a_batch_that_waits(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    renew(queue, claim)
    assert queue.batch(claim.batch_id).lease_expires_at is None


@pytest.mark.parametrize("step_seconds", [HOUR, -HOUR, DAY, -DAY])
def test_step_of_the_wall_clock_takes_no_lease_away(
    queue: Queue, claim: Claim, step_seconds: float
) -> None:
    queue.clock.set_wall(step_seconds)
    queue.clock.move(LEASE - 1)
    assert queue.recover() == []
    queue.clock.move(1)
    assert queue.recover() == [claim.batch_id]


@pytest.mark.parametrize("step_seconds", [HOUR, -HOUR])
def test_without_the_boot_clock_a_step_is_seen_to_take_the_lease(
    database: Database, source: SourceSettings, step_seconds: float
) -> None:
    # The negative control of the test above.
    queue = Queue(database, source, without_boot_clock())
    queue.submit()
    claim = queue.claim()
    queue.clock.set_wall(step_seconds)
    assert queue.recover() == [claim.batch_id]


@pytest.mark.parametrize(
    ("down_seconds", "wall_step_seconds", "recovered"),
    [
        pytest.param(10, 0, False, id="the lease may be another host's: it is not over"),
        pytest.param(LEASE, 0, True, id="over by the wall clock"),
        pytest.param(0, HOUR, True, id="over by a wall clock set forward"),
        pytest.param(0, -HOUR, True, id="further away than a lease: the clock was set back"),
        pytest.param(10, -5, False, id="set back, but within a lease"),
    ],
)
def test_lease_of_another_boot_ends_by_the_wall_clock(
    queue: Queue, claim: Claim, down_seconds: float, wall_step_seconds: float, recovered: bool
) -> None:
    queue.clock.move(down_seconds)
    queue.clock.reboot(wall_step_seconds)
    assert queue.recover() == ([claim.batch_id] if recovered else [])


def test_other_host_with_a_younger_boot_clock_does_not_take_the_lease(
    queue: Queue, claim: Claim
) -> None:
    other_host = FakeClock(Moment(START.at, START.boot_seconds + DAY, "of another host"))
    queue = Queue(queue.database, queue.source, other_host)
    assert queue.recover() == []
    other_host.move(LEASE)
    assert queue.recover() == [claim.batch_id]


def recover_dead(queue: Queue, *dead: str) -> Sequence[int]:
    """Recover where these workers are known to be dead."""
    recovered = recover_expired_leases(
        queue.database, queue.source, clock=queue.clock, is_dead=dead.__contains__
    )
    return [batch.batch_id for batch in recovered]


def test_batch_of_a_dead_worker_is_recovered_before_its_lease_is_over(
    queue: Queue, claim: Claim
) -> None:
    assert recover_dead(queue, "worker") == [claim.batch_id]
    batch, entry = queue.batch(claim.batch_id), queue.dispatch(claim)
    assert (batch.status, batch.attempt_count) == ("yet_to_start", 1)
    assert (entry.outcome, entry.finished_at) == ("lost", queue.clock.read().at)
    assert batch.last_error == entry.error == "The worker died."


def test_batch_of_a_worker_that_lives_is_left(queue: Queue, claim: Claim) -> None:
    assert recover_dead(queue, "another worker") == []
    assert queue.batch(claim.batch_id).status == "triggered"


def test_worker_that_had_the_batch_before_does_not_matter(queue: Queue) -> None:
    queue.submit()
    queue.lose(queue.ask(worker="dead"))  # type: ignore[arg-type]
    queue.claim_in_turn()
    assert recover_dead(queue, "dead") == []


def test_dead_worker_of_another_boot_is_not_told_by_its_name(queue: Queue, claim: Claim) -> None:
    # Its name means another process by now, or a process of another host.
    queue.clock.reboot()
    assert recover_dead(queue, "worker") == []
    assert queue.batch(claim.batch_id).status == "triggered"


def test_batch_has_failed_when_its_last_worker_died(queue: Queue) -> None:
    queue = queue.using(max_attempts=1)
    queue.submit()
    claim = queue.claim()
    recover_dead(queue, "worker")
    assert queue.batch(claim.batch_id).status == "failed"


def test_dead_worker_does_not_give_its_slot_back(queue: Queue, claim: Claim) -> None:
    slot = queue.slot()
    recover_dead(queue, "worker")
    assert queue.slot() == slot
    assert claim.batch_id


def test_batch_without_a_dispatch_in_the_ledger_is_left_to_its_lease(
    queue: Queue, claim: Claim
) -> None:
    queue.change("DELETE FROM dispatches")  # by a person
    assert recover_dead(queue, "worker") == []
    queue.clock.move(LEASE)
    assert queue.recover() == [claim.batch_id]


def test_recovered_batch_waits_without_a_lease_and_says_why(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.attempt_count, batch.not_before) == ("yet_to_start", 1, None)
    assert (batch.claim_token, batch.lease_expires_at) == (None, None)
    assert "no sign of life" in batch.last_error


def test_ledger_says_lost(queue: Queue, claim: Claim) -> None:
    queue.lose(claim)
    entry = queue.dispatch(claim)
    assert (entry.outcome, entry.finished_at) == ("lost", queue.clock.read().at)
    assert "no sign of life" in entry.error


def test_dispatches_that_ended_before_keep_their_outcome(queue: Queue, claim: Claim) -> None:
    queue.retry(claim)
    queue.lose(queue.claim_in_turn())
    assert queue.rows("SELECT outcome FROM dispatches ORDER BY id") == [("retried",), ("lost",)]


def test_recovered_batch_keeps_its_place(queue: Queue) -> None:
    queue.submit(["first"])
    queue.submit(["second"])
    queue.lose(queue.claim())
    queue.submit(["urgent"], Priority.HIGH)
    assert [queue.claim_in_turn().ids[0] for _ in range(3)] == ["urgent", "first", "second"]


def test_lost_attempts_are_counted_until_the_batch_has_failed(queue: Queue) -> None:
    queue = queue.using(max_attempts=3)
    queue.submit()
    for attempt in (1, 2, 3):
        claim = queue.claim_in_turn()
        assert claim.attempt == attempt
        queue.lose(claim)
    batch = queue.batch(claim.batch_id)
    assert (batch.status, batch.completed_at) == ("failed", queue.clock.read().at)
    assert queue.rows("SELECT outcome FROM dispatches") == [("lost",)] * 3


def test_all_that_is_over_is_recovered_at_once(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(9))
    claims = [queue.claim() for _ in range(3)]
    queue.clock.move(LEASE)
    assert queue.recover() == [claim.batch_id for claim in claims]


def test_other_sources_are_not_touched(queue: Queue, claim: Claim) -> None:
    queue.clock.move(LEASE)
    assert queue.using(name="other").recover() == []
    assert queue.batch(claim.batch_id).status == "triggered"


def test_nothing_in_flight_takes_no_write_lock(
    queue: Queue, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.complete(claim)
    monkeypatch.setattr(Database, "write", None)
    assert queue.recover() == []


def test_look_that_may_not_judge_leaves_silent_workers_and_takes_from_dead_ones(
    queue: Queue,
) -> None:
    queue.submit()
    queue.submit()
    silent, dead = queue.ask(worker="silent"), queue.claim_in_turn(worker="dead")
    queue.clock.move(LEASE)
    looks: list[Moment] = []

    def look(now: Moment) -> bool:
        looks.append(now)
        return False

    recovered = recover_expired_leases(
        queue.database, queue.source, clock=queue.clock, is_dead="dead".__eq__, may_judge=look
    )
    assert [batch.batch_id for batch in recovered] == [dead.batch_id]
    assert looks == [queue.clock.read()]
    assert queue.recover() == [silent.batch_id]  # type: ignore[union-attr]


def test_batch_that_was_settled_between_look_and_lock_is_left(
    queue: Queue, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.clock.move(LEASE)
    write = Database.write

    def write_after_the_worker_has_settled(database: Database) -> object:
        monkeypatch.setattr(Database, "write", write)
        queue.complete(claim)
        return database.write()

    monkeypatch.setattr(Database, "write", write_after_the_worker_has_settled)
    assert queue.recover() == []
    assert queue.batch(claim.batch_id).status == "completed"
