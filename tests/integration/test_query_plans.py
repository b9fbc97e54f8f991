"""However long the queue is, the dispatcher's statements look batches up by an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from ingest_app.database import Database
from ingest_app.models import Priority
from ingest_app.queue.refusing import find_refusal
from tests.support.queues import Queue

SLOW = ("SCAN batches", "SCAN dispatches", "SCAN ingestions", "TEMP B-TREE", "AUTOMATIC")


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """The plans of all statements that are run meanwhile, to be read afterwards."""
    statements: list[tuple[str, Any]] = []
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            statements.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        for statement, values in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            found.append("; ".join(str(row[-1]) for row in plan))


@pytest.fixture(params=["as migrated", "analysed"])
def busy(request: pytest.FixtureRequest, queue: Queue) -> Queue:
    """A queue with batches of every kind, with and without SQLite's statistics."""
    queue = queue.using(max_in_flight=64, interval_seconds=0.001)
    for priority in Priority:
        queue.submit(range(300), priority)
    for _ in range(5):
        queue.complete(queue.claim_in_turn())
        queue.retry(queue.claim_in_turn(), delay_seconds=200)
        queue.claim_in_turn()
    queue.clock.move(1)
    if request.param == "analysed":
        with queue.database.engine.connect() as connection:
            connection.connection.driver_connection.execute("ANALYZE")
    return queue


def slow(found: list[str]) -> list[str]:
    return [plan for plan in found if any(word in plan for word in SLOW)]


def test_claim_looks_its_batch_up(busy: Queue) -> None:
    with plans(busy.database) as found:
        busy.claim()
    assert slow(found) == []
    assert any(
        plan == "SEARCH batches USING INDEX ix_batches_for_claim (source=?)" for plan in found
    )


def test_due_retries_are_looked_up(busy: Queue) -> None:
    with plans(busy.database) as found:
        busy.claim()
    assert any("ix_batches_for_retry (source=?" in plan for plan in found)


def test_look_before_a_claim_uses_the_indexes(busy: Queue) -> None:
    busy.change("UPDATE batches SET status = 'cancelled' WHERE not_before IS NULL AND id > 20")
    with plans(busy.database) as found:
        find_refusal(busy.database, busy.source, clock=busy.clock)
    assert slow(found) == []


def test_first_retry_is_looked_up(busy: Queue) -> None:
    busy.change(
        "UPDATE batches SET status = 'cancelled'"
        " WHERE status = 'yet_to_start' AND not_before IS NULL"
    )
    with plans(busy.database) as found:
        busy.refused()
    assert slow(found) == []
    assert any("ix_batches_for_retry (source=?" in plan for plan in found)


def test_recovery_looks_at_what_is_in_flight_only(busy: Queue) -> None:
    busy.clock.move(busy.source.lease_seconds)
    with plans(busy.database) as found:
        assert len(busy.recover()) == 5
    # Sorting the few batches that are in flight is no harm.
    assert [plan for plan in slow(found) if "ix_batches_for_recovery" not in plan] == []
    assert any("ix_batches_for_recovery (source=?" in plan for plan in found)


def test_settling_looks_its_rows_up(busy: Queue) -> None:
    claim = busy.claim()
    with plans(busy.database) as found:
        busy.complete(claim)
    assert slow(found) == []


@pytest.mark.parametrize("index", ["ix_batches_for_claim"])
def test_without_the_index_the_slow_look_up_is_seen(busy: Queue, index: str) -> None:
    # The negative control of the tests above.
    busy.change(f"DROP INDEX {index}")
    with plans(busy.database) as found:
        busy.claim()
    assert slow(found) != []
