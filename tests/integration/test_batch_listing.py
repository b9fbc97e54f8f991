"""The batches of one ingestion, packed or not, a bounded page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ingest_app.errors import UnknownIngestion
from ingest_app.queue import batch_listing, packing
from ingest_app.queue.batch_listing import BatchEntry, DispatchEntry, list_batches
from ingest_app.queue.control import cancel_ingestion
from ingest_app.states import BatchStatus
from tests.support.clocks import START
from tests.support.queues import Queue
from tests.support.states import put


@pytest.fixture
def packed(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> tuple[Queue, str]:
    """An ingestion of ten batches in packs of four, of which the first has been unpacked."""
    monkeypatch.setattr(packing, "PACK_SIZE", 4)
    queue = queue.using(interval_seconds=0)
    ingestion_id = queue.submit(range(30))
    queue.complete(queue.claim())
    assert queue.rows("SELECT count(*) FROM packed_batches") == [(2,)]
    return queue, ingestion_id


def pages(
    queue: Queue, ingestion_id: str, limit: int, status: BatchStatus | None = None
) -> Iterator[list[int]]:
    """The positions on each page, following the places."""
    after: int | None = 0
    while after is not None:
        page = list_batches(queue.database, ingestion_id, limit=limit, after=after, status=status)
        yield [entry.position for entry in page.entries]
        after = page.next_after


def entry(queue: Queue, ingestion_id: str, position: int = 1) -> BatchEntry:
    (found,) = list_batches(queue.database, ingestion_id, limit=1, after=position - 1).entries
    return found


@pytest.mark.parametrize(
    ("limit", "lengths"),
    [
        pytest.param(1, [1] * 10, id="one by one"),
        pytest.param(3, [3, 3, 3, 1], id="across the packs"),
        pytest.param(4, [4, 4, 2], id="as the packs are"),
        pytest.param(10, [10], id="exactly all: no empty page after it"),
        pytest.param(100, [10], id="more than there are"),
    ],
)
def test_pages_lead_through_all_batches_once_in_order(
    packed: tuple[Queue, str], limit: int, lengths: list[int]
) -> None:
    found = list(pages(*packed, limit))
    assert [one for page in found for one in page] == list(range(1, 11))
    assert [len(page) for page in found] == lengths


def test_packed_batch_is_told_as_one_that_never_went(packed: tuple[Queue, str]) -> None:
    queue, ingestion_id = packed
    assert entry(queue, ingestion_id, 9) == BatchEntry(
        batch_id=f"{ingestion_id}-9",
        position=9,
        ids=[24, 25, 26],
        status=BatchStatus.YET_TO_START,
    )


def test_batches_that_are_not_packed_may_be_on_both_sides_of_a_pack(
    packed: tuple[Queue, str],
) -> None:
    queue, ingestion_id = packed
    queue.change("UPDATE packed_batches SET priority_rank = 0 WHERE first_position = 9")
    queue.change("UPDATE batches SET status = 'cancelled'")
    queue.claim()  # of the last pack
    assert queue.rows("SELECT first_position FROM packed_batches") == [(5,)]
    assert list(pages(queue, ingestion_id, 100)) == [list(range(1, 11))]


def test_cancelled_packs_have_ended(packed: tuple[Queue, str]) -> None:
    queue, ingestion_id = packed
    at = queue.clock.move(1).at
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    found = entry(queue, ingestion_id, 9)
    assert (found.status, found.completed_at) == (BatchStatus.CANCELLED, at)


@pytest.mark.parametrize(
    ("status", "positions"),
    [
        pytest.param(BatchStatus.COMPLETED, [1], id="only in rows of their own"),
        pytest.param(BatchStatus.YET_TO_START, [*range(2, 11)], id="in both tables"),
        pytest.param(BatchStatus.CANCELLED, [], id="in neither"),
    ],
)
def test_only_batches_in_one_state(
    packed: tuple[Queue, str], status: BatchStatus, positions: list[int]
) -> None:
    assert list(pages(*packed, 100, status)) == [positions]


@pytest.mark.parametrize("state", BatchStatus)
def test_every_state_can_be_asked_for(queue: Queue, state: BatchStatus) -> None:
    ingestion_id = queue.submit(range(15))
    for position, one in enumerate(BatchStatus, start=1):
        put(queue, ingestion_id, position, one)
    assert list(pages(queue, ingestion_id, 10, state)) == [[list(BatchStatus).index(state) + 1]]


def test_entry_tells_what_happened_to_the_batch(queue: Queue) -> None:
    ingestion_id = queue.submit([1, "B7", 3])
    first = queue.claim()
    queue.retry(first, delay_seconds=20)
    retried_at = queue.clock.read().at
    waiting = entry(queue, ingestion_id)
    assert (waiting.status, waiting.attempt_count) == (BatchStatus.YET_TO_START, 1)
    assert waiting.not_before == retried_at + timedelta(seconds=20)
    assert (waiting.last_error, waiting.ids) == ("Boom: it broke", [1, "B7", 3])
    second = queue.claim_in_turn()
    claimed_at = queue.clock.read().at
    running = entry(queue, ingestion_id)
    assert (running.status, running.triggered_at) == (BatchStatus.TRIGGERED, claimed_at)
    ended_at = queue.clock.move(1).at
    queue.complete(second)
    done = entry(queue, ingestion_id)
    assert (done.status, done.attempt_count, done.completed_at) == ("completed", 2, ended_at)
    assert running.dispatches == [
        DispatchEntry(1, "worker", START.at, retried_at, "retried", "Boom: it broke"),
        DispatchEntry(2, "worker", claimed_at, None, None, None),
    ]
    assert done.dispatches == [
        running.dispatches[0],
        DispatchEntry(2, "worker", claimed_at, ended_at, "completed", None),
    ]


def test_of_many_dispatches_the_last_are_told(queue: Queue) -> None:
    ingestion_id = queue.submit()
    for _ in range(batch_listing.MOST_DISPATCHES + 2):
        queue.defer(queue.claim_in_turn(), delay_seconds=1)
    found = entry(queue, ingestion_id).dispatches
    assert len(found) == batch_listing.MOST_DISPATCHES
    assert found[-1].dispatched_at == queue.ledger()[-1].dispatched_at
    assert found[0].dispatched_at == queue.ledger()[2].dispatched_at


def test_page_looks_at_a_bounded_number_of_batches(
    packed: tuple[Queue, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, ingestion_id = packed
    monkeypatch.setattr(batch_listing, "MOST_LOOKED_AT", 3)
    queue.change("UPDATE packed_batches SET status = 'cancelled' WHERE first_position = 9")
    found = pages(queue, ingestion_id, 2, BatchStatus.CANCELLED)
    assert list(found) == [[], [], [9], [10]]


def test_page_has_a_bounded_length(
    packed: tuple[Queue, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_listing, "LONGEST", len("[0,1,2][3,4,5]"))
    found = list(pages(*packed, 100))
    assert found[0] == [1, 2]
    assert [one for page in found for one in page] == list(range(1, 11))


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(10, id="the last"),
        pytest.param(11, id="beyond the last"),
        pytest.param(2**63 - 1, id="as far as can be"),
    ],
)
def test_after_the_last_there_is_nothing(packed: tuple[Queue, str], after: int) -> None:
    queue, ingestion_id = packed
    page = list_batches(queue.database, ingestion_id, limit=5, after=after)
    assert (page.entries, page.next_after) == ([], None)


def test_no_cursor_is_left_open(packed: tuple[Queue, str]) -> None:
    queue, ingestion_id = packed
    list_batches(queue.database, ingestion_id, limit=1)
    queue.submit()
    # What a snapshot held back could not be written into the file itself.
    with queue.database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.parametrize("ingestion_id", ["unknown", "", "' OR 1=1 --", "a\x00b"])
def test_unknown_ingestion_is_an_error_that_names_it(queue: Queue, ingestion_id: str) -> None:
    with pytest.raises(UnknownIngestion) as caught:
        list_batches(queue.database, ingestion_id, limit=1)
    assert caught.value.ingestion_id == ingestion_id
