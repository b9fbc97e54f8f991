"""Ingestions, newest first, a bounded page at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingest_app.errors import UnknownIngestion
from ingest_app.queue import listing
from ingest_app.queue.listing import Place, Wanted, list_ingestions, read_ingestion
from ingest_app.states import BatchStatus, Priority
from tests.support.queues import Queue
from tests.support.states import put

ANY = Wanted()


def pages(queue: Queue, wanted: Wanted, limit: int) -> Iterator[list[str]]:
    """The ids on each page, following the places."""
    after: Place | None = None
    while True:
        page = list_ingestions(queue.database, wanted, limit=limit, after=after)
        yield [entry.ingestion_id for entry in page.entries]
        after = page.next_after
        if after is None:
            return


def submitted(queue: Queue, count: int) -> list[str]:
    """So many ingestions a second apart, newest first."""
    found = []
    for number in range(count):
        found.append(queue.submit([number]))
        queue.clock.move(1)
    return found[::-1]


@pytest.mark.parametrize(
    ("limit", "lengths"),
    [
        pytest.param(2, [2, 2, 1], id="the last page is not full"),
        pytest.param(5, [5], id="exactly all: no empty page after it"),
        pytest.param(10, [5], id="more than there are"),
        pytest.param(1, [1] * 5, id="one by one"),
    ],
)
def test_pages_lead_through_all_ingestions_once_newest_first(
    queue: Queue, limit: int, lengths: list[int]
) -> None:
    newest = submitted(queue, 5)
    found = list(pages(queue, ANY, limit))
    assert [one for page in found for one in page] == newest
    assert [len(page) for page in found] == lengths


def test_ingestions_of_one_instant_are_listed_once_each(queue: Queue) -> None:
    ids = {queue.submit() for _ in range(7)}
    found = [one for page in pages(queue, ANY, 2) for one in page]
    assert found == sorted(ids, reverse=True)


def test_what_arrives_meanwhile_moves_no_page(queue: Queue) -> None:
    newest = submitted(queue, 4)
    page = list_ingestions(queue.database, ANY, limit=2)
    queue.submit()
    page = list_ingestions(queue.database, ANY, limit=2, after=page.next_after)
    assert [entry.ingestion_id for entry in page.entries] == newest[2:]


def test_nothing_was_handed_over_yet(queue: Queue) -> None:
    assert list(pages(queue, ANY, 10)) == [[]]


@pytest.mark.parametrize("state", BatchStatus)
def test_status_filter_goes_by_the_derived_state(queue: Queue, state: BatchStatus) -> None:
    ids = {}
    for one in BatchStatus:
        ids[one] = queue.submit([1])
        put(queue, ids[one], 1, one)
    assert list(pages(queue, Wanted(status=state), 10)) == [[ids[state]]]


def test_filters_by_priority_and_source_hold_together(queue: Queue) -> None:
    other = queue.using(name="other")
    wanted = other.submit(priority=Priority.LOW)
    other.submit(priority=Priority.HIGH)
    queue.submit(priority=Priority.LOW)
    found = pages(queue, Wanted(priority=Priority.LOW, source="other"), 10)
    assert list(found) == [[wanted]]


def test_unknown_source_has_no_ingestions(queue: Queue) -> None:
    queue.submit()
    assert list(pages(queue, Wanted(source="nowhere"), 10)) == [[]]


def test_page_looks_at_a_bounded_number_of_ingestions(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 3)
    newest = submitted(queue, 8)
    put(queue, newest[4], 1, BatchStatus.FAILED)
    assert list(pages(queue, Wanted(status=BatchStatus.FAILED), 10)) == [[], [newest[4]], []]


def test_page_counts_a_bounded_number_of_batches(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_BATCHES", 5)
    sizes = [2, 4, 9, 1]  # batches, oldest first
    for size in sizes:
        queue.submit(range(3 * size))
        queue.clock.move(1)
    found = list(pages(queue, ANY, 10))
    assert [len(page) for page in found] == [1, 1, 1, 1]


def test_entry_counts_the_batches_in_each_state(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    ingestion_id = queue.submit(range(13), Priority.HIGH)
    created = queue.clock.read().at
    first = queue.clock.move(1).at
    queue.complete(queue.claim())
    ended = queue.clock.move(1).at
    queue.fail(queue.claim())
    queue.claim()
    entry = read_ingestion(queue.database, ingestion_id)
    assert entry.counts == {
        "yet_to_start": 2,
        "triggered": 1,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert (entry.id_count, entry.batch_count, entry.status) == (13, 5, "triggered")
    assert (entry.priority, entry.source, entry.cancelled_at) == ("HIGH", "default", None)
    assert (entry.created_at, entry.first_triggered_at) == (created, first)
    assert entry.last_completed_at == ended


def test_entry_of_the_list_is_the_one_that_is_read(queue: Queue) -> None:
    ingestion_id = queue.submit(range(7))
    queue.claim()
    (entry,) = list_ingestions(queue.database, ANY, limit=1).entries
    assert entry == read_ingestion(queue.database, ingestion_id)


def test_ingestion_whose_batches_a_person_has_deleted_is_left_out(queue: Queue) -> None:
    ingestion_id = queue.submit()
    queue.change("DELETE FROM batches")
    assert list(pages(queue, ANY, 10)) == [[]]
    with pytest.raises(UnknownIngestion):
        read_ingestion(queue.database, ingestion_id)


@pytest.mark.parametrize("ingestion_id", ["unknown", "", "' OR 1=1 --", "a\x00b"])
def test_unknown_ingestion_is_an_error_that_names_it(queue: Queue, ingestion_id: str) -> None:
    with pytest.raises(UnknownIngestion) as caught:
        read_ingestion(queue.database, ingestion_id)
    assert caught.value.ingestion_id == ingestion_id
