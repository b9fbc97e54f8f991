"""What no one can write into the tables, not even by hand."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.queues import TABLES, Queue

NOW = "'2026-03-01 12:00:00.000000'"


@pytest.fixture
def filled(queue: Queue) -> Queue:
    """A completed batch, one in flight, one that waits."""
    queue.submit(range(9))
    queue.complete(queue.claim_in_turn())
    queue.claim_in_turn()
    return queue


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE batches SET status = 'started'", id="no such state"),
        pytest.param("UPDATE batches SET status = 'COMPLETED'", id="nor in upper case"),
        pytest.param("UPDATE batches SET status = NULL", id="a batch has a state"),
        pytest.param("UPDATE batches SET priority_rank = 3", id="no such rank"),
        pytest.param("UPDATE batches SET position = 0 WHERE id = 1", id="positions count from 1"),
        pytest.param("UPDATE batches SET position = 1", id="one batch per position"),
        pytest.param("UPDATE batches SET attempt_count = -1", id="less than no attempt"),
        pytest.param("UPDATE batches SET status = 'triggered'", id="in flight without a lease"),
        pytest.param(
            f"UPDATE batches SET status = 'triggered', lease_expires_at = {NOW}",
            id="in flight without a token",
        ),
        pytest.param(
            "UPDATE batches SET status = 'triggered', claim_token = 't'",
            id="in flight without an end of its lease",
        ),
        pytest.param("UPDATE batches SET ids = NULL", id="a batch has IDs"),
        pytest.param("UPDATE batches SET ingestion_id = 'none'", id="a batch of no ingestion"),
        pytest.param("UPDATE ingestions SET priority = 'URGENT'", id="no such priority"),
        pytest.param("UPDATE ingestions SET priority_rank = 0", id="rank of another priority"),
        pytest.param("UPDATE ingestions SET id_count = 0", id="an ingestion of nothing"),
        pytest.param("UPDATE ingestions SET batch_count = 0", id="an ingestion without batches"),
        pytest.param("UPDATE dispatches SET outcome = 'gone'", id="no such outcome"),
        pytest.param("UPDATE dispatches SET outcome = NULL", id="finished without an outcome"),
        pytest.param("UPDATE dispatches SET finished_at = NULL", id="an outcome without an end"),
        pytest.param("UPDATE dispatches SET batch_id = 99", id="a dispatch of no batch"),
        pytest.param("UPDATE records SET outcome = 'found'", id="no such outcome of a record"),
        pytest.param("UPDATE records SET batch_id = 99", id="a record of no batch"),
        pytest.param("UPDATE records SET position = 1", id="two records of one ID"),
        pytest.param("INSERT INTO sources (name) VALUES (NULL)", id="a source has a name"),
        pytest.param("INSERT INTO sources (name) VALUES ('default')", id="a source has one row"),
        pytest.param(
            "INSERT INTO dispatch_totals VALUES ('default', 'gone', '0.1', 1, 0, 1, 0)",
            id="no such outcome of a total",
        ),
        pytest.param(
            "INSERT INTO dispatch_totals VALUES ('default', 'lost', '0.1', 1, 0, 1, -1)",
            id="fewer than no slots",
        ),
        pytest.param(
            "INSERT INTO request_totals VALUES ('/ingest', 'POST', '2xx', '0.1', -1, 0)",
            id="fewer than no requests",
        ),
        pytest.param("INSERT INTO dispatch_counting VALUES (2, 0, 0)", id="the ledger has one end"),
    ],
)
def test_illegal_value_is_refused(filled: Queue, statement: str) -> None:
    before = filled.everything()
    with pytest.raises(IntegrityError):
        filled.change(statement)
    assert filled.everything() == before


def test_ingestion_that_is_deleted_takes_all_its_rows_along(filled: Queue) -> None:
    filled.change("DELETE FROM ingestions")
    left = {table for table in TABLES if filled.rows(f"SELECT * FROM {table}")}
    assert left == {"sources"}  # and with it the slot


def test_id_of_a_deleted_batch_is_not_used_again(filled: Queue) -> None:
    # Or a late worker could settle a batch that is not its own.
    filled.change("DELETE FROM ingestions")
    filled.submit()
    assert filled.rows("SELECT id FROM batches") == [(4,)]


def test_times_are_readable_utc(filled: Queue) -> None:
    filled.clock.set_wall(0.5)
    filled.submit()
    (newest,) = filled.rows("SELECT max(created_at) FROM batches")[0]
    assert newest == filled.clock.read().at.strftime("%Y-%m-%d %H:%M:%S.%f")


def test_person_may_delete_the_lease_of_a_batch_with_its_state(filled: Queue) -> None:
    filled.change(
        "UPDATE batches SET status = 'yet_to_start', claim_token = NULL, lease_expires_at = NULL"
        " WHERE status = 'triggered'"
    )
    assert filled.claim_in_turn().batch_id == 2
