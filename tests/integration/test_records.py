"""What was fetched, in the order of the request, a bounded part at a time."""

from __future__ import annotations

import tracemalloc

import pytest

from ingest_app.errors import UnknownIngestion
from ingest_app.queue import records
from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.records import find_records
from ingest_app.states import RecordOutcome
from tests.support.queues import Queue
from tests.support.states import put_record


@pytest.fixture
def queue(queue: Queue) -> Queue:
    return queue.using(interval_seconds=0, max_in_flight=64)


@pytest.fixture
def small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of two batches, and of three records."""
    monkeypatch.setattr(records, "BATCHES_A_READ", 2)
    monkeypatch.setattr(records, "RECORDS_A_READ", 3)


def ended(queue: Queue, id_count: int) -> str:
    """An ingestion whose IDs are their positions, all fetched."""
    ingestion_id = queue.submit(range(1, id_count + 1))
    while queue.rows("SELECT 1 FROM batches WHERE status = 'yet_to_start'"):
        queue.complete(queue.claim())
    return ingestion_id


def positions(queue: Queue, ingestion_id: str, **which: object) -> list[int]:
    parts = find_records(queue.database, ingestion_id).read(**which)  # type: ignore[arg-type]
    return [line.position for part in parts for line in part]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
@pytest.mark.usefixtures("small_reads")
def test_position_is_that_of_the_id_in_the_request(queue: Queue, batch_size: int) -> None:
    ingestion_id = ended(queue.using(batch_size=batch_size), 20)
    lines = [line for part in find_records(queue.database, ingestion_id).read() for line in part]
    assert [line.position for line in lines] == list(range(1, 21))
    assert [line.item_id for line in lines] == [str(line.position) for line in lines]
    assert [line.batch_id for line in lines] == [
        f"{ingestion_id}-{(line.position - 1) // batch_size + 1}" for line in lines
    ]


def test_batch_size_is_the_one_the_ingestion_was_cut_with(queue: Queue) -> None:
    ingestion_id = ended(queue.using(batch_size=2), 5)
    assert positions(queue.using(batch_size=4), ingestion_id) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        pytest.param(0, None, range(1, 14), id="all"),
        pytest.param(4, None, range(5, 14), id="after the middle of a batch"),
        pytest.param(6, None, range(7, 14), id="after the end of a batch"),
        pytest.param(0, 1, [1], id="one"),
        pytest.param(4, 5, range(5, 10), id="more than one read"),
        pytest.param(10, 50, range(11, 14), id="more than there are"),
        pytest.param(13, None, [], id="after the last"),
        pytest.param(2**63 - 1, None, [], id="the farthest position"),
    ],
)
@pytest.mark.usefixtures("small_reads")
def test_part_of_the_records_by_position(
    queue: Queue, after: int, limit: int | None, expected: list[int]
) -> None:
    ingestion_id = ended(queue, 13)
    assert positions(queue, ingestion_id, after=after, limit=limit) == list(expected)


@pytest.mark.usefixtures("small_reads")
def test_what_is_known_so_far_is_read_while_it_is_running(queue: Queue) -> None:
    ingestion_id = queue.submit(range(12))
    claims = [queue.claim() for _ in range(3)]
    queue.complete(claims[2])
    assert positions(queue, ingestion_id) == [7, 8, 9]
    queue.complete(claims[0])
    assert positions(queue, ingestion_id) == [1, 2, 3, 7, 8, 9]


@pytest.mark.usefixtures("small_reads")
def test_records_of_a_batch_that_has_not_ended_are_read(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    put_record(queue, ingestion_id, 2)
    put_record(queue, ingestion_id, 3, batch=2)
    assert positions(queue, ingestion_id) == [2, 6]


@pytest.mark.usefixtures("small_reads")
def test_long_stretch_without_records_is_passed_over(queue: Queue) -> None:
    queue = queue.using(batch_size=1)
    ingestion_id = queue.submit(range(20))
    queue.complete(queue.claim())
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    put_record(queue, ingestion_id, 1, batch=20)
    assert positions(queue, ingestion_id) == [1, 20]


@pytest.mark.parametrize("outcome", RecordOutcome)
@pytest.mark.usefixtures("small_reads")
def test_only_records_with_an_outcome(queue: Queue, outcome: RecordOutcome) -> None:
    ingestion_id = queue.submit(range(12))
    outcomes = list(RecordOutcome) * 4
    for index, one in enumerate(outcomes):
        put_record(queue, ingestion_id, index % 3 + 1, batch=index // 3 + 1, outcome=one)
    expected = [position for position, one in enumerate(outcomes, start=1) if one == outcome]
    assert positions(queue, ingestion_id, outcome=outcome) == expected
    assert (
        positions(queue, ingestion_id, outcome=outcome, after=1, limit=2)
        == [position for position in expected if position > 1][:2]
    )


def test_other_ingestions_do_not_show(queue: Queue) -> None:
    ended(queue, 2)
    assert positions(queue, ended(queue, 1)) == [1]


def test_no_part_is_larger_than_a_read(queue: Queue) -> None:
    ingestion_id = ended(queue.using(batch_size=1_000), 5_000)
    sizes = [len(part) for part in find_records(queue.database, ingestion_id).read()]
    assert max(sizes) == records.RECORDS_A_READ
    assert sum(sizes) == 5_000


def test_part_ends_early_when_its_data_is_long(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LENGTH_A_READ", 100)
    ingestion_id = queue.submit(range(3))
    for position in (1, 2, 3):
        put_record(queue, ingestion_id, position, data="x" * 60)
    parts = list(find_records(queue.database, ingestion_id).read())
    assert [len(part) for part in parts] == [2, 1]


def test_memory_does_not_grow_with_the_ingestion(queue: Queue) -> None:
    def peak(id_count: int) -> int:
        ingestion_id = queue.using(batch_size=1_000).submit(range(id_count))
        queue.change(
            "INSERT INTO records SELECT b.id, i.key + 1, i.value, 'fetched',"
            " '\"' || hex(zeroblob(100)) || '\"', NULL, '2026-03-01 12:00:00.000000'"
            " FROM batches b, json_each(b.ids) i WHERE b.ingestion_id = :id",
            id=ingestion_id,
        )
        found = find_records(queue.database, ingestion_id)
        tracemalloc.start()
        assert sum(len(part) for part in found.read()) == id_count
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(1_000)  # what is only made once
    assert peak(50_000) < 2 * peak(5_000)


def test_slow_reader_holds_no_snapshot(queue: Queue) -> None:
    # Or the log could not be written back, and would grow, for as long as the reader takes.
    parts = find_records(queue.database, ended(queue.using(batch_size=1_000), 3_000)).read()
    next(parts)
    queue.change("UPDATE batches SET last_error = 'x'")
    with queue.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        is_busy, in_log, written_back = raw.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    assert (is_busy, written_back) == (0, in_log)
    assert sum(len(part) for part in parts) == 2_000


def test_what_is_stored_meanwhile_is_seen_if_its_place_is_still_to_come(queue: Queue) -> None:
    queue = queue.using(batch_size=1_000)
    ingestion_id = queue.submit(range(3_000))
    first, second, third = (queue.claim() for _ in range(3))
    queue.complete(second)
    parts = find_records(queue.database, ingestion_id).read()
    assert next(parts)[0].position == 1_001
    queue.complete(first)
    queue.complete(third)
    assert [part[0].position for part in parts] == [2_001]


@pytest.mark.parametrize("ingestion_id", ["unknown", "", "' OR 1=1 --", "a\x00b"])
def test_unknown_ingestion_is_an_error_before_anything_is_read(
    queue: Queue, ingestion_id: str
) -> None:
    queue.submit()
    with pytest.raises(UnknownIngestion):
        find_records(queue.database, ingestion_id)
