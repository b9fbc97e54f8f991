from __future__ import annotations

from datetime import timedelta

from ingest_app.queue.backlog import Deliveries, count_deliveries, count_in_flight, find_oldest
from ingest_app.states import Priority
from tests.support.clocks import START
from tests.support.queues import Queue


def test_what_is_in_flight_is_counted_by_priority(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit(range(6), Priority.HIGH)
    queue.submit(range(9), Priority.LOW)
    for _ in range(3):
        queue.claim()
    with queue.database.read() as connection:
        found = count_in_flight(connection, "default")
        assert count_in_flight(connection, "another") == dict.fromkeys(Priority, 0)
    assert found == {Priority.HIGH: 2, Priority.MEDIUM: 0, Priority.LOW: 1}


def test_oldest_of_each_priority_is_found_wherever_it_waits(queue: Queue) -> None:
    queue.submit([1], Priority.MEDIUM)
    queue.retry(queue.claim(), delay_seconds=600)
    queue.clock.move(10)
    queue.submit(range(1_600), Priority.HIGH)
    queue.clock.move(10)
    for priority in (Priority.HIGH, Priority.MEDIUM):
        queue.submit([1], priority)
    with queue.database.read() as connection:
        found = find_oldest(connection, "default")
    assert found == {
        Priority.HIGH: START.at + timedelta(seconds=10),
        Priority.MEDIUM: START.at,
        Priority.LOW: None,
    }


def test_deliveries_are_counted_until_they_are_made(queue: Queue) -> None:
    ingestion_id = queue.submit()
    at = "2026-03-01 12:00:00.000000"
    for due, delivered, given_up in ((at, None, None), (None, at, None), (None, None, at)):
        queue.change(
            "INSERT INTO webhook_deliveries (endpoint, ingestion_id, ended_at, next_attempt_at,"
            " delivered_at, given_up_at) VALUES ('default', :id, :at, :due, :delivered, :given_up)",
            id=ingestion_id,
            at=at,
            due=due,
            delivered=delivered,
            given_up=given_up,
        )
    with queue.database.read() as connection:
        assert count_deliveries(connection) == Deliveries(waiting=1, given_up=1)
