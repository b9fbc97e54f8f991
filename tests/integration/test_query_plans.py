"""However long the queue is, the dispatcher's statements look batches up by an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from ingest_app.database import Database
from ingest_app.metrics.exposition import expose
from ingest_app.queue import activity, packing, waiting_counts
from ingest_app.queue.activity import Span, read_activity
from ingest_app.queue.batch_listing import list_batches
from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.deliveries import claim_delivery, mark_delivered, put_off, seconds_until_due
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.queue.forecast import list_with_forecasts, read_forecast
from ingest_app.queue.listing import Place, Wanted, list_ingestions
from ingest_app.queue.previews import preview_submission
from ingest_app.queue.reading import read_status
from ingest_app.queue.records import find_records
from ingest_app.queue.refusing import find_refusal
from ingest_app.queue.source_states import read_sources
from ingest_app.queue.waiting_counts import Line, count_waiting
from ingest_app.queue.wasted_slots import count_wasted_slots
from ingest_app.runtime import Runtime
from ingest_app.settings import Settings
from ingest_app.states import BatchStatus, Priority, RecordOutcome
from tests.support.clocks import START
from tests.support.queues import Queue

SLOW = (
    "SCAN batches",
    "SCAN packed_batches",
    "SCAN dispatches",
    "SCAN ingestions",
    "TEMP B-TREE",
    "AUTOMATIC",
)


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """The plans of all statements that are run meanwhile, to be read afterwards."""
    statements: list[str] = []
    found: list[str] = []

    def watch(driver: Any, *_: Any) -> None:
        driver.set_trace_callback(statements.append)  # of SQLite: values stand in the text

    database.engine.dispose()
    event.listen(database.engine, "connect", watch)
    yield found
    event.remove(database.engine, "connect", watch)
    database.engine.dispose()
    with database.read() as connection:
        for statement in statements:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
                found.append("; ".join(str(row[-1]) for row in plan))


@pytest.fixture(params=["as migrated", "analysed"])
def busy(request: pytest.FixtureRequest, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue with batches of every kind, with and without SQLite's statistics."""
    queue = queue.using(max_in_flight=64, interval_seconds=0.001)
    with monkeypatch.context() as smaller:
        smaller.setattr(packing, "PACK_SIZE", 5)
        for _ in range(10):
            queue.submit(range(300), Priority.LOW)
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
    own, packed = "ix_batches_for_claim (source=?)", "ix_packed_batches_for_claim (source=? AND"
    assert any(f"SEARCH batches USING INDEX {own}" in plan and packed in plan for plan in found)


def test_unpacking_looks_its_row_up(busy: Queue) -> None:
    busy.change("DELETE FROM batches WHERE status = 'yet_to_start'")
    with plans(busy.database) as found:
        busy.claim()
    assert busy.rows("SELECT count(*) FROM batches WHERE status = 'yet_to_start'") == [(4,)]
    assert slow(found) == []
    assert any("ix_packed_batches_for_claim (source=?)" in plan for plan in found)
    assert any("SEARCH packed_batches USING INTEGER PRIMARY KEY" in plan for plan in found)


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
    busy.change("DELETE FROM packed_batches")
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


INGESTION = "SELECT ingestion_id FROM batches ORDER BY id LIMIT 1"
OF_THE_INGESTION = "sqlite_autoindex_batches_1 (ingestion_id=?"
OF_THE_INGESTION_PACKED = "sqlite_autoindex_packed_batches_1 (ingestion_id=?"


def test_cancel_looks_the_batches_of_its_ingestion_up(busy: Queue) -> None:
    ((ingestion_id,),) = busy.rows(INGESTION)
    with plans(busy.database) as found:
        cancel_ingestion(busy.database, ingestion_id, clock=busy.clock)
    assert slow(found) == []
    assert any(OF_THE_INGESTION in plan for plan in found)


def test_cancel_looks_at_what_is_in_flight_only(busy: Queue) -> None:
    ((ingestion_id,),) = busy.rows(INGESTION)
    cancel_ingestion(busy.database, ingestion_id, clock=busy.clock)
    busy.change("UPDATE ingestions SET cancelled_at = NULL")
    with plans(busy.database) as found:
        cancel_ingestion(busy.database, ingestion_id, clock=busy.clock)
    assert any("ix_batches_for_recovery (source=?" in plan for plan in found)


@pytest.mark.parametrize("all_ids", [False, True])
def test_retry_looks_the_batches_of_its_ingestion_up(busy: Queue, all_ids: bool) -> None:
    ((ingestion_id,),) = busy.rows(INGESTION)
    busy.change("UPDATE batches SET status = 'failed' WHERE id % 2")
    with plans(busy.database) as found:
        retry_ingestion(busy.database, ingestion_id, all_ids=all_ids)
    assert [plan for plan in found if "SCAN" in plan or "AUTOMATIC" in plan] == []
    assert all(OF_THE_INGESTION in plan for plan in found if "batches" in plan)
    assert any("SEARCH records USING PRIMARY KEY (batch_id=?" in plan for plan in found)


def test_end_is_noticed_without_looking_at_all_batches(busy: Queue) -> None:
    claim = busy.using(max_in_flight=64).claim_in_turn()
    with plans(busy.database) as found:
        busy.complete(claim)
    (plan,) = [plan for plan in found if "packed_batches" in plan]
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan
    assert "ix_batches_for_claim (source=? AND priority_rank=? AND created_at=?)" in plan
    assert OF_THE_INGESTION in plan


def test_key_is_looked_up(busy: Queue) -> None:
    with plans(busy.database) as found:
        busy.submit(key="key")
    assert any("ix_ingestions_by_idempotency_key" in plan for plan in found)


@pytest.mark.parametrize("after", [None, Place(START.at, "m")])
def test_list_goes_along_the_index_by_age(busy: Queue, after: Place | None) -> None:
    with plans(busy.database) as found:
        list_ingestions(busy.database, Wanted(), limit=50, after=after)
    assert "TEMP B-TREE" not in found[0]
    assert "USING INDEX ix_ingestions_by_age" in found[0]


def test_state_of_a_listed_ingestion_is_looked_up(busy: Queue) -> None:
    with plans(busy.database) as found:
        list_ingestions(busy.database, Wanted(), limit=50)
    assert len(found) == 1 + 10 + len(Priority)
    assert all(OF_THE_INGESTION in plan.replace(" b ", " batches ") for plan in found[1:])
    assert all(OF_THE_INGESTION_PACKED in plan for plan in found[1:])
    assert not any(re.search(r"SCAN [bp]\b", plan) for plan in found[1:])


@pytest.mark.parametrize("limit", [None, 100])
def test_status_is_read_in_order_without_sorting(busy: Queue, limit: int | None) -> None:
    for (ingestion_id,) in busy.rows("SELECT id FROM ingestions"):
        with plans(busy.database) as found:
            status = read_status(busy.database, ingestion_id, limit=limit)
            assert ",".join(status.parts)
            status.close()
        assert slow(found) == []


@pytest.mark.parametrize("status", [None, BatchStatus.FAILED, BatchStatus.YET_TO_START])
def test_batches_are_listed_in_order_without_sorting(
    busy: Queue, status: BatchStatus | None
) -> None:
    for (ingestion_id,) in busy.rows("SELECT id FROM ingestions"):
        with plans(busy.database) as found:
            list_batches(busy.database, ingestion_id, limit=100, status=status)
        assert slow(found) == []
        assert any(f"{OF_THE_INGESTION} AND position>? AND position<?)" in one for one in found)
        assert any(f"{OF_THE_INGESTION_PACKED} AND first_position<?)" in one for one in found)
        ledger = [one for one in found if "dispatches" in one]
        assert all("ix_dispatches_by_batch (batch_id=?)" in one for one in ledger)


@pytest.mark.parametrize("outcome", [None, RecordOutcome.ERROR])
def test_records_are_read_in_order_without_sorting(
    busy: Queue, outcome: RecordOutcome | None
) -> None:
    ((ingestion_id,),) = busy.rows("SELECT ingestion_id FROM batches WHERE status = 'completed'")[
        :1
    ]
    with plans(busy.database) as found:
        assert list(find_records(busy.database, ingestion_id).read())
        list(find_records(busy.database, ingestion_id).read(outcome=outcome))
    reads = [plan for plan in found if "records" in plan]
    assert reads
    assert [plan for plan in reads if slow([plan]) or "SCAN records" in plan] == []


def test_what_waits_is_counted_along_the_index(busy: Queue) -> None:
    with plans(busy.database) as found:
        read_sources(busy.database, {"default": busy.source}, clock=busy.clock)
    rank_by_rank = "ix_batches_for_claim (source=? AND priority_rank=? AND"
    assert [plan for plan in found if rank_by_rank in plan]
    # Sorting the few that wait again is no harm.
    assert [plan for plan in slow(found) if "ix_batches_for_retry" not in plan] == []


def test_forecasts_look_up_what_they_count(busy: Queue) -> None:
    configured = {"default": busy.source}
    with plans(busy.database) as found:
        _, forecasts = list_with_forecasts(
            busy.database, Wanted(), configured, limit=200, after=None, clock=busy.clock
        )
        for ingestion_id in forecasts:
            read_forecast(busy.database, ingestion_id, configured, clock=busy.clock)
        preview_submission(busy.database, busy.source, id_count=9, clock=busy.clock)
    assert len(forecasts) == 13
    ahead = "ix_batches_for_claim (source=? AND priority_rank=? AND created_at>? AND created_at<?)"
    assert [plan for plan in found if ahead in plan]
    harmless = ("ix_batches_for_retry", "ingestions USING")  # the few that wait again, are listed
    assert [plan for plan in slow(found) if not any(word in plan for word in harmless)] == []


def test_an_estimate_looks_each_of_its_probes_up(
    busy: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_counts, "COUNTED_MOST", 10)
    with plans(busy.database) as found, busy.database.read() as connection:
        assert count_waiting(connection, Line("default", 1)).is_estimate
    assert slow(found) == []
    (probes,) = [plan for plan in found if "VIRTUAL TABLE" in plan]
    assert "SEARCH batches USING INTEGER PRIMARY KEY (rowid=?)" in probes


@pytest.mark.parametrize("most", [pytest.param(1, id="estimated"), pytest.param(99, id="counted")])
def test_activity_looks_its_part_of_the_ledger_up(
    busy: Queue, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", most)
    with plans(busy.database) as found:
        read_activity(busy.database, Span.DAY, clock=busy.clock)
    assert len(found) <= 10  # a search among 15 rows, not one row after the other
    assert not any("SCAN dispatches" in plan for plan in found)
    block = "SEARCH dispatches USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    assert block in found[-1]


@pytest.mark.parametrize("most", [pytest.param(1, id="estimated"), pytest.param(99, id="counted")])
def test_activity_of_a_source_goes_along_its_index(
    busy: Queue, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(activity, "MOST_COUNTED", most)
    with plans(busy.database) as found:
        read_activity(busy.database, Span.DAY, clock=busy.clock, source="default")
    assert not any("SCAN dispatches" in plan for plan in found)
    block = "SEARCH dispatches USING INDEX ix_dispatches_by_source (source=? AND id>? AND id<?)"
    assert block in found[-1]


def test_scrape_looks_up_what_it_counts(busy: Queue) -> None:
    settings = Settings("sqlite:///ingest.db", sources={"default": busy.source})
    runtime = Runtime(settings, busy.database, busy.clock)
    busy.submit([1], Priority.HIGH)
    busy.clock.move(1)
    with plans(busy.database) as found:
        expose(runtime, "")
    # The few that wait again are sorted; totals are few rows, whatever they are made of.
    told = [plan for plan in slow(found) if "ix_batches_for_retry" not in plan]
    assert told == []
    for index in (
        "ix_batches_for_claim (source=? AND priority_rank=?)",
        "ix_packed_batches_for_claim (source=? AND priority_rank=?)",
        "ix_batches_for_recovery (source=?)",
        "ix_webhook_deliveries_due",
        "ix_webhook_deliveries_given_up",
    ):
        assert any(index in plan for plan in found), index
    assert any("SEARCH dispatches USING INTEGER PRIMARY KEY (rowid>?)" in p for p in found)


def test_whether_a_slot_was_wasted_is_looked_up(busy: Queue) -> None:
    newest = busy.claim().dispatch_id
    late = {"late_seconds": 9.0, "interval_seconds": 1.0}
    with plans(busy.database) as found, busy.database.read() as connection:
        assert count_wasted_slots(connection, newest, **late) == 9
    assert slow(found) == []
    assert any("SEARCH later USING" in plan for plan in found)


def test_deliveries_are_found_by_when_they_are_due(busy: Queue) -> None:
    keep_endpoint(busy.database, is_wanted=True, clock=busy.clock)
    for row in busy.rows("SELECT id FROM ingestions"):
        cancel_ingestion(busy.database, row[0], clock=busy.clock)
    failed: dict[str, Any] = {"error": "no", "delay_seconds": 5.0, "jitter": 0.0}
    failed["clock"] = busy.clock
    with plans(busy.database) as found:
        assert seconds_until_due(busy.database, clock=busy.clock) == 0
        told, first, second = (claim_delivery(busy.database, clock=busy.clock) for _ in range(3))
        assert mark_delivered(busy.database, told, clock=busy.clock)
        assert put_off(busy.database, first, pause_seconds=90.0, **failed)
        assert put_off(busy.database, second, pause_seconds=0.0, **failed)
    assert not any("SCAN webhook_deliveries" in plan and "_due" not in plan for plan in found)
    assert slow(found) == []
    assert any("ix_webhook_deliveries_due" in plan for plan in found)
