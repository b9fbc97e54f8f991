"""`ingest verify` on real files: clean after honest work, and it finds what was tampered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest_app.cli import main
from ingest_app.verifying import verify
from tests.support.clocks import DAY
from tests.support.queues import Queue, fetched


def work(queue: Queue) -> None:
    """A retry with something to keep, a release, a lost worker, a failure; the rest completed."""
    queue.submit(range(15))
    partly = queue.claim_in_turn()
    queue.retry(partly, delay_seconds=20, fetched=fetched(partly)[:1])
    queue.release(queue.claim_in_turn())
    queue.lose(queue.claim_in_turn())
    queue.fail(queue.claim_in_turn())
    for _ in range(4):
        queue.complete(queue.claim_in_turn())


def run(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["verify", str(path), *options])


def test_honest_work_is_clean(queue: Queue) -> None:
    work(queue)
    report = verify(queue.database)
    assert report.findings == ()
    (figures,) = report.sources
    assert figures.call_count == 7  # the release was not called
    assert figures.dispatched_again == {"retried": 1, "released": 1, "lost": 1}
    assert figures.smallest_gap_seconds is not None
    assert figures.smallest_gap_seconds >= queue.source.interval_seconds


TAMPERING = [
    pytest.param("P1", "DELETE FROM batches WHERE position = 5", id="a batch is missing"),
    pytest.param("P1", "UPDATE batches SET ids = '[1]' WHERE position = 5", id="an ID is missing"),
    pytest.param(
        "P2",
        "UPDATE dispatches SET dispatched_boot_seconds = dispatched_boot_seconds - 1 WHERE id = 6",
        id="a call was too early",
    ),
    pytest.param(
        "P2", "UPDATE dispatches SET outcome = 'lost' WHERE id = 8", id="nothing says it completed"
    ),
    pytest.param(
        "P4",
        "UPDATE batches SET priority_rank = 0 WHERE id = (SELECT max(id) FROM batches)",
        id="a better one waited",
    ),
    pytest.param(
        "P6",
        "UPDATE dispatches SET outcome = NULL, finished_at = NULL WHERE outcome = 'failed'",
        id="a dispatch without an end",
    ),
    pytest.param(
        "P7",
        "INSERT INTO dispatches (source, batch_id, attempt, worker, dispatched_at,"
        " interval_seconds, margin_seconds, newest_batch_id)"
        " SELECT source, batch_id, attempt + 1, worker, datetime(dispatched_at, '+1 day'),"
        " interval_seconds, margin_seconds, newest_batch_id FROM dispatches WHERE id = 8",
        id="called again after it had completed",
    ),
    pytest.param("P9", "DELETE FROM records WHERE position = 2", id="a record is missing"),
    pytest.param(
        "P9",
        "UPDATE batches SET status = 'yet_to_start' WHERE status = 'completed'",
        id="a batch waits that has all its records",
    ),
    pytest.param(
        "P9",
        "DELETE FROM records WHERE outcome = 'error' AND position = 3",
        id="an ID of a failed batch has no record",
    ),
    pytest.param(
        "P9",
        "UPDATE dispatches SET outcome = 'released' WHERE outcome IN ('retried', 'failed')",
        id="records that no call has brought",
    ),
    pytest.param("P8", "UPDATE ingestions SET ended_at = NULL", id="an end is not noted"),
    pytest.param(
        "P8",
        "UPDATE batches SET status = 'yet_to_start' WHERE status = 'failed'",
        id="it is noted to have ended and has not",
    ),
    pytest.param(
        "P8",
        "UPDATE batches SET ingestion_id = 'nobody' WHERE position = 5",
        id="a row refers to a missing one",
    ),
]


@pytest.mark.parametrize(("promise", "statement"), TAMPERING)
def test_tampering_is_found(
    queue: Queue, database_path: Path, promise: str, statement: str
) -> None:
    work(queue)
    with queue.database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute(statement)
        connection.invalidate()
    found = {finding.promise for finding in verify(queue.database).findings}
    assert promise in found
    assert run(database_path).exit_code == 1


def test_stuck_batch_is_found_by_the_clock_and_not_held_against_a_copy(queue: Queue) -> None:
    queue.submit()
    queue.claim()
    queue.clock.move(DAY)
    assert verify(queue.database).holds
    assert [finding.promise for finding in verify(queue.database, clock=queue.clock).findings] == [
        "P6"
    ]


def test_command_tells_people_and_programs(queue: Queue, database_path: Path) -> None:
    work(queue)
    for_people, for_programs = run(database_path), run(database_path, "--json")
    assert (for_people.exit_code, for_programs.exit_code) == (0, 0)
    assert "Nothing in it speaks against" in for_people.output
    assert json.loads(for_programs.output)["sources"][0]["call_count"] == 7


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "other.db' does not exist", id="none"),
        pytest.param(b"", "ingest db upgrade", id="empty"),
        pytest.param(b"this is no database" * 100, "cannot be used: file is not", id="another"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    result = run(path)
    assert (result.exit_code, why in result.output) == (2, True), result.output
    assert len(result.output.strip().splitlines()) == 1
