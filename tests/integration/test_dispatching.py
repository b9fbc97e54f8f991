"""The dispatcher at work on a real file and the real clock, with a source as the test wants it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ingest_app import in_flight, outcomes, source_loop
from ingest_app.clock import SystemClock
from ingest_app.dispatcher import Dispatcher
from ingest_app.errors import DatabaseBusy
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.recover import renew_leases
from ingest_app.queue.settle import complete_batch
from ingest_app.queue.submit import submit_ingestion, work_arrived
from ingest_app.runtime import Runtime
from ingest_app.settings import Settings
from ingest_app.sources import Source
from ingest_app.states import Priority
from ingest_app.worker import worker_name
from tests.support.checks import slots_too_close
from tests.support.fetching import (
    TIMEOUT_SECONDS,
    FakeSource,
    HangingSource,
    broken,
    fetch_all,
    incomplete,
)
from tests.support.queues import Queue, opened

INTERVAL = 0.02
LEASE = 0.5
FAR_AWAY_SECONDS = 60.0


class Events(logging.Handler):
    """Counts the events of the service, and wakes who waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self._count: Counter[str] = Counter()
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self._count[getattr(record, "event", "")] += 1
            self._more.notify_all()

    def wait_for(self, event: str, count: int = 1) -> None:
        with self._more:
            seen = self._more.wait_for(lambda: self._count[event] >= count, TIMEOUT_SECONDS)
        assert seen, f"{event}: {self._count[event]} of {count}; {dict(self._count)}"


class Service:
    """Dispatchers on one database, in real time."""

    def __init__(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue = queue.using(interval_seconds=INTERVAL, lease_seconds=LEASE)
        self.clock = SystemClock()
        self._monkeypatch = monkeypatch
        self._running: list[Dispatcher] = []

    def start(self, source: Source, **settings: Any) -> Dispatcher:
        self.queue = self.queue.using(**settings)
        self._monkeypatch.setattr(source_loop, "make_source", lambda _settings: source)
        running = Dispatcher(
            Runtime(
                Settings("sqlite:///none.db", sources={"default": self.queue.source}),
                self.queue.database,
                self.clock,
            )
        )
        running.start()
        self._running.append(running)
        return running

    def submit(self, ids: Sequence[ItemId]) -> str:
        return submit_ingestion(
            self.queue.database,
            ids=list(ids),
            priority=Priority.MEDIUM,
            source=self.queue.source,
            clock=self.clock,
        )

    def statuses(self) -> list[str]:
        return [status for (status,) in self.queue.rows("SELECT status FROM batches ORDER BY id")]

    def outcomes(self) -> list[str | None]:
        return [outcome for (outcome,) in self.queue.rows("SELECT outcome FROM dispatches")]

    def stop(self) -> None:
        for running in self._running:
            running.stop(grace_seconds=TIMEOUT_SECONDS)


@pytest.fixture
def events() -> Iterator[Events]:
    events, logger = Events(), logging.getLogger("ingest_app")
    level = logger.level
    logger.addHandler(events)
    logger.setLevel(logging.INFO)
    yield events
    logger.removeHandler(events)
    logger.setLevel(level)


@pytest.fixture
def service(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.01)
    service = Service(queue, monkeypatch)
    yield service
    service.stop()


def test_backlog_is_worked_through_at_the_pace(service: Service, events: Events) -> None:
    service.submit(range(30))
    service.start(FakeSource())
    events.wait_for("batch_settled", 10)
    assert service.statuses() == ["completed"] * 10
    assert slots_too_close(service.queue.ledger(), INTERVAL) == []
    assert service.queue.rows("SELECT count(*) FROM records") == [(30,)]


def test_two_dispatchers_share_one_pace(service: Service, events: Events) -> None:
    source = FakeSource()
    service.submit(range(30))
    service.start(source)
    with opened(service.queue.database.engine.url.database) as second:
        another = Dispatcher(
            Runtime(
                Settings("sqlite:///none.db", sources={"default": service.queue.source}),
                second,
                service.clock,
            )
        )
        another.start()
        events.wait_for("batch_settled", 10)
        another.stop(grace_seconds=TIMEOUT_SECONDS)
    assert len(source.calls) == 10
    assert slots_too_close(service.queue.ledger(), INTERVAL) == []


def test_submission_starts_idle_dispatcher_at_once(
    service: Service, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next look of its own would be a minute away.
    monkeypatch.setattr(source_loop, "LOOK_SECONDS", FAR_AWAY_SECONDS)
    service.submit([1])
    service.start(FakeSource())
    events.wait_for("batch_settled", 1)
    service.submit([2])
    events.wait_for("batch_settled", 2)


def test_work_of_another_process_is_found_by_looking(service: Service, events: Events) -> None:
    service.start(FakeSource())
    with work_arrived.muted():  # as if no signal came: another process has stored it
        service.submit([1])
    events.wait_for("batch_settled", 1)


def fails_first(errors: int) -> FakeSource:
    """A source whose first calls fail."""

    def answer(ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
        if len(source.calls) <= errors:
            raise OSError("no route")
        return fetch_all(ids)

    source = FakeSource(answer)
    return source


def test_failed_attempt_is_made_again(service: Service, events: Events) -> None:
    service.submit([1])
    service.start(fails_first(2))
    events.wait_for("batch_settled", 3)
    assert service.outcomes() == ["retried", "retried", "completed"]
    assert service.statuses() == ["completed"]


@pytest.mark.parametrize(
    ("upstream", "error"),
    [
        pytest.param(broken(OSError("no route")), "OSError: no route", id="every call fails"),
        pytest.param(incomplete(), "no answer for 1 IDs", id="a record is always missing"),
    ],
)
def test_batch_has_failed_when_its_attempts_are_used_up(
    service: Service, events: Events, upstream: FakeSource, error: str
) -> None:
    service.submit([1, 2])
    service.start(upstream, max_attempts=2)
    events.wait_for("batch_settled", 2)
    assert service.outcomes() == ["retried", "failed"]
    assert service.statuses() == ["failed"]
    assert error in service.queue.rows("SELECT last_error FROM batches")[0][0]
    outcome = "SELECT outcome, error LIKE :error FROM records WHERE position = 2"
    assert service.queue.rows(outcome, error=f"%{error}%") == [("error", 1)]


def test_fetched_records_outlive_a_fault_of_the_database(
    service: Service, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = complete_batch
    faults = [DatabaseBusy("busy"), DatabaseBusy("busy")]

    def complete_later(*arguments: Any, **facts: Any) -> None:
        if faults:
            raise faults.pop()
        complete(*arguments, **facts)

    monkeypatch.setattr(outcomes, "complete_batch", complete_later)
    monkeypatch.setattr(source_loop, "_FAULT_SECONDS", 0.0)
    source = FakeSource()
    service.submit([1])
    service.start(source)
    events.wait_for("batch_settled")
    assert (source.calls, service.outcomes()) == ([(1,)], ["completed"])


def test_stop_hands_back_what_is_in_flight_and_another_takes_it(
    service: Service, events: Events
) -> None:
    hanging = HangingSource()
    service.submit([1])
    stopped = service.start(hanging)
    assert hanging.called.wait(TIMEOUT_SECONDS)
    stopped.stop(grace_seconds=0)
    assert (service.statuses(), service.outcomes()) == (["yet_to_start"], ["released"])
    hanging.may_answer.set()
    service.start(FakeSource())
    events.wait_for("batch_settled")
    assert service.queue.rows("SELECT attempt_count FROM batches") == [(1,)]


def test_stopped_dispatcher_claims_nothing_more(service: Service, events: Events) -> None:
    stopped = service.start(FakeSource())
    service.submit([1])
    events.wait_for("batch_settled")
    stopped.stop(grace_seconds=TIMEOUT_SECONDS)
    service.submit([2])
    assert service.statuses() == ["completed", "yet_to_start"]


def test_batch_of_a_dead_worker_is_taken_over(service: Service, events: Events) -> None:
    service.submit([1])
    queue = service.queue
    dead = claim_next_batch(queue.database, queue.source, worker="dead", clock=service.clock)
    assert isinstance(dead, Claim)
    service.start(FakeSource())
    events.wait_for("batch_recovered")
    events.wait_for("batch_settled")
    assert service.outcomes() == ["lost", "completed"]


def test_batch_of_a_dead_process_is_taken_over_before_its_lease_is_over(
    service: Service, events: Events
) -> None:
    service.submit([1])
    queue = service.queue.using(lease_seconds=FAR_AWAY_SECONDS)
    own = worker_name()
    dead = own.replace("/", "/1")  # another start: the number was given to this process since
    claim_next_batch(queue.database, queue.source, worker=dead, clock=service.clock)
    service.start(FakeSource(), lease_seconds=FAR_AWAY_SECONDS)
    events.wait_for("batch_settled")
    assert service.outcomes() == ["lost", "completed"]


def counted(verb: Callable[..., None], often_enough: threading.Semaphore) -> Callable[..., None]:
    def count(*arguments: Any, **facts: Any) -> None:
        verb(*arguments, **facts)
        often_enough.release()

    return count


def test_heartbeat_keeps_a_call_that_takes_longer_than_its_lease(
    service: Service, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = threading.Semaphore(0)
    monkeypatch.setattr(in_flight, "renew_leases", counted(renew_leases, renewed))
    hanging = HangingSource()
    service.submit([1])
    service.start(hanging)
    for _ in range(5):  # a third of a lease apart
        assert renewed.acquire(timeout=TIMEOUT_SECONDS)
    hanging.may_answer.set()
    events.wait_for("batch_settled")
    assert service.outcomes() == ["completed"]


def test_without_the_heartbeat_such_a_call_is_seen_to_lose_its_lease(
    service: Service, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(in_flight, "renew_leases", lambda *_, **__: None)
    hanging = HangingSource()
    service.submit([1])
    service.start(hanging, max_in_flight=1)
    events.wait_for("batch_recovered")
    hanging.may_answer.set()
    events.wait_for("claim_lost")


def test_dispatcher_can_be_stopped_twice(service: Service) -> None:
    stopped = service.start(FakeSource())
    stopped.stop(grace_seconds=0)
    stopped.stop(grace_seconds=0)
