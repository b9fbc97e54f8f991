"""Many workers claim at once: no batch goes twice, no two slots come closer than the interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import pytest

from ingest_app.clock import SystemClock
from ingest_app.errors import StaleClaim
from ingest_app.queue import claim as claiming
from ingest_app.queue.claim import Claim
from ingest_app.queue.submit import submit_ingestion
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.checks import dispatched_twice, slots_too_close
from tests.support.queues import Queue, opened
from tests.support.racing import (
    Crew,
    claim_all,
    claim_all_in_real_time,
    claim_all_without_the_slot,
    in_threads,
)

THREADS = 8
BATCHES = 40
INTERVAL = 0.02


@pytest.fixture
def race(queue: Queue) -> Queue:
    """A queue with work for all, which no one waits for."""
    queue = queue.using(max_in_flight=64, batch_size=1)
    for priority in Priority:
        queue.submit(range(BATCHES // 4), priority)
    queue.submit(range(BATCHES - 3 * (BATCHES // 4)), Priority.LOW)
    return queue


def claims_in_threads(race: Queue) -> Sequence[Claim]:
    return list(chain.from_iterable(in_threads(THREADS, lambda: claim_all(race))))


def test_threads_never_claim_a_batch_twice(race: Queue) -> None:
    claims = claims_in_threads(race)
    assert sorted(claim.batch_id for claim in claims) == list(range(1, BATCHES + 1))
    assert dispatched_twice(race.ledger()) == []


def test_without_the_triggering_threads_are_seen_to_claim_a_batch_twice(
    race: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(claiming, "_trigger", lambda *_: None)
    in_threads(THREADS, race.claim_in_turn)
    assert dispatched_twice(race.ledger()) != []


def test_threads_never_get_slots_closer_than_the_interval(race: Queue) -> None:
    claims_in_threads(race)
    ledger = race.ledger()
    assert len(ledger) == BATCHES
    assert slots_too_close(ledger, race.source.interval_seconds) == []


def test_without_the_slot_threads_are_seen_to_be_too_close(
    race: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(claiming, "_spend_slot", lambda *_: None)
    claims_in_threads(race)
    assert slots_too_close(race.ledger(), race.source.interval_seconds) != []


def test_threads_get_batches_in_the_order_of_the_queue(race: Queue) -> None:
    waiting = race.rows("SELECT id FROM batches ORDER BY priority_rank, created_at, id")
    claims_in_threads(race)
    assert race.rows("SELECT batch_id FROM dispatches ORDER BY id") == waiting


def test_only_as_many_as_may_be_are_in_flight(race: Queue) -> None:
    race = race.using(max_in_flight=3, interval_seconds=0)
    claims = [answer for answer in in_threads(THREADS, race.ask) if isinstance(answer, Claim)]
    assert len(claims) == 3


def test_submissions_of_many_threads_are_all_there(queue: Queue) -> None:
    found = in_threads(THREADS, lambda: [queue.submit(range(7)) for _ in range(5)])
    ids = {ingestion_id for batch in found for ingestion_id in batch}
    assert len(ids) == 5 * THREADS
    complete = "SELECT id FROM ingestion_status JOIN ingestions USING (id, batch_count)"
    assert {row[0] for row in queue.rows(complete)} == ids


def test_one_settles_when_many_try_with_one_claim(race: Queue) -> None:
    claim = race.claim()

    def settle() -> bool:
        try:
            race.complete(claim)
        except StaleClaim:
            return False
        return True

    assert sum(in_threads(THREADS, settle)) == 1


def test_one_recovers_when_many_look(race: Queue) -> None:
    race.claim()
    race.clock.move(race.source.lease_seconds)
    recovered = in_threads(THREADS, race.recover)
    assert sum(map(len, recovered)) == 1
    assert race.rows("SELECT count(*) FROM dispatches WHERE outcome = 'lost'") == [(1,)]


@pytest.fixture
def race_of_processes(queue: Queue) -> Queue:
    """Work for all on the clock of the machine."""
    source = SourceSettings(interval_seconds=INTERVAL, max_in_flight=64, batch_size=1)
    submit_ingestion(
        queue.database,
        ids=list(range(BATCHES)),
        priority=Priority.MEDIUM,
        source=source,
        clock=SystemClock(),
    )
    return Queue(queue.database, source, queue.clock)


def test_processes_never_claim_a_batch_twice_nor_too_soon(
    race_of_processes: Queue, crew: Crew
) -> None:
    race = race_of_processes
    path = race.database.engine.url.database
    crew.run(claim_all_in_real_time, path, race.source)
    ledger = race.ledger()
    assert len(ledger) == BATCHES
    assert dispatched_twice(ledger) == []
    assert slots_too_close(ledger, INTERVAL) == []


def test_without_the_slot_processes_are_seen_to_be_too_close(
    race_of_processes: Queue, crew: Crew
) -> None:
    # The negative control of the test above.
    race = race_of_processes
    path = race.database.engine.url.database
    crew.run(claim_all_without_the_slot, path, race.source)
    assert slots_too_close(race.ledger(), INTERVAL) != []


def test_two_engines_in_one_process_keep_the_pace_too(race: Queue) -> None:
    # Without the lock that the threads of one Database share.
    with opened(race.database.engine.url.database) as second:
        races = [race, Queue(second, race.source, race.clock)]
        in_threads(2, lambda: claim_all(races.pop()))
    ledger = race.ledger()
    assert dispatched_twice(ledger) == []
    assert slots_too_close(ledger, race.source.interval_seconds) == []
