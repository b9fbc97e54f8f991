"""A status that is read part by part is of one instant, and its snapshot is never held for long."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ingest_app.errors import SnapshotExpired
from ingest_app.queue import held_parts, packing, reading, status_parts
from ingest_app.queue.reading import IngestionStatus, read_status
from ingest_app.states import BatchStatus
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.queues import Queue
from tests.support.service import until


@pytest.fixture(params=[1, 100], ids=["packed", "not packed"])
def large(
    request: pytest.FixtureRequest, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Queue]:
    """Seven batches, which are more than are read at once."""
    monkeypatch.setattr(packing, "PACK_SIZE", request.param)
    monkeypatch.setattr(status_parts, "PART_SIZE", 2)
    monkeypatch.setattr(reading, "PART_SIZE", 2)
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(range(20))
    yield queue
    assert queue.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def read(queue: Queue, after: int = 0) -> IngestionStatus:
    ((ingestion_id,),) = queue.rows("SELECT id FROM ingestions ORDER BY rowid LIMIT 1")
    status = read_status(queue.database, ingestion_id, after=after)
    assert status.version is not None
    return status


def version(queue: Queue, after: int = 0) -> str | None:
    status = read(queue, after)
    status.close()
    return status.version


def log_can_be_emptied(queue: Queue) -> bool:
    """Whether nobody reads a snapshot older than the newest."""
    queue.submit([1])
    with queue.database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout = 0")
        (is_busy, *_) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        driver.execute("PRAGMA busy_timeout = 5000")
    return not is_busy


def test_parts_are_of_one_instant(large: Queue) -> None:
    status = read(large)
    first = next(status.parts)
    while large.rows("SELECT 1 FROM queue"):
        large.complete(large.claim())
    lines = json.loads(f"[{','.join([first, *status.parts])}]")
    assert [line["status"] for line in lines] == ["yet_to_start"] * 7
    assert [item for line in lines for item in line["ids"]] == list(range(20))
    assert status.status == "yet_to_start"


def test_reading_to_the_end_lets_go_of_the_snapshot(large: Queue) -> None:
    status = read(large)
    assert not log_can_be_emptied(large)
    assert len(list(status.parts)) >= 4
    assert log_can_be_emptied(large)


def test_closing_lets_go_of_the_snapshot(large: Queue) -> None:
    status = read(large)
    next(status.parts)
    status.close()
    status.close()
    assert log_can_be_emptied(large)


def test_error_lets_go_of_the_snapshot(large: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("in the middle")

    status = read(large)
    next(status.parts)
    monkeypatch.setattr(status_parts, "fetch_value", fail)
    monkeypatch.setattr(status_parts, "fetch_one", fail)
    with pytest.raises(RuntimeError):
        next(status.parts)
    assert log_can_be_emptied(large)


def test_snapshot_of_a_slow_reader_is_taken_away(
    large: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 0.05)
    status = read(large)
    until(lambda: log_can_be_emptied(large), "the snapshot is let go")
    with pytest.raises(SnapshotExpired):
        next(status.parts)


def test_without_the_timer_a_slow_reader_is_seen_to_hold_the_snapshot(
    large: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 0.0)
    monkeypatch.setattr(held_parts.HeldParts, "_expire", lambda _self: None)
    status = read(large)
    status.parts._timer.join(TIMEOUT_SECONDS)  # type: ignore[attr-defined]
    assert not log_can_be_emptied(large)
    status.close()


@pytest.mark.parametrize("state", [s for s in BatchStatus if s != "yet_to_start"])
@pytest.mark.parametrize("position", [1, 4, 7])
def test_version_changes_with_the_state_of_any_batch(
    large: Queue, state: BatchStatus, position: int
) -> None:
    before = version(large)
    large.change(
        "UPDATE batches SET status = :state, claim_token = 't', lease_expires_at = created_at"
        " WHERE position = :position",
        state=state.value,
        position=position,
    )
    if state == "cancelled":
        large.change(
            "UPDATE packed_batches SET status = 'cancelled' WHERE first_position = :position",
            position=position,
        )
    changed = large.rows("SELECT 1 FROM ingestion_status WHERE yet_to_start_count < 7") != []
    assert (version(large) != before) is changed


def test_version_tells_which_batch_has_changed(large: Queue) -> None:
    claims = [large.claim() for _ in range(7)]
    large.release(claims[1])
    one = version(large)
    large.release(claims[2])
    assert large.claim().batch_id == claims[1].batch_id
    assert version(large) != one


def test_version_stays_while_nothing_changes(large: Queue) -> None:
    before = version(large)
    large.submit(range(20))
    large.submit([1])
    assert version(large) == before


def test_parts_have_versions_of_their_own(large: Queue) -> None:
    assert version(large) != version(large, after=1)


def test_letters_tell_the_states_apart() -> None:
    letters = {state[status_parts._LETTER_AT] for state in BatchStatus}
    assert len(letters) == len(BatchStatus)
