"""What ended long ago is deleted, nothing else is, and nobody sees the half of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Text, bindparam, update

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.models import ingestions
from ingest_app.queue import prunable, pruning
from ingest_app.queue.batch_listing import list_batches
from ingest_app.queue.control import cancel_ingestion, retry_ingestion
from ingest_app.queue.ending import note_forgotten_ends
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.queue.forecast import read_forecast
from ingest_app.queue.listing import Wanted, list_ingestions, read_ingestion
from ingest_app.queue.prunable import count_prunable
from ingest_app.queue.pruning import ROOM, Pruned, prune
from ingest_app.queue.reading import read_status
from ingest_app.queue.records import find_records
from ingest_app.queue.totals import count_dispatches, read_totals
from ingest_app.verifying import verify
from tests.integration.test_query_plans import plans
from tests.support.clocks import DAY
from tests.support.queues import TABLES, Queue

TIME = ingestions.c.ended_at.type
MARK_ALL = (
    update(ingestions)
    .where(
        ingestions.c.id == bindparam("the_ingestion"), bindparam("the_end", type_=Text).is_not(None)
    )
    .values(pruned_at=bindparam("the_time", type_=TIME))
)
"""A mark that looks at nothing: the control of the tests that say what it looks at."""


@pytest.fixture
def queue(queue: Queue) -> Queue:
    return queue.using(interval_seconds=0, max_in_flight=64)


def prune_all(queue: Queue, wait: Callable[[float], bool] = lambda _: False) -> Pruned:
    """Delete what ended more than a day ago."""
    before = queue.clock.read().at - timedelta(days=1)
    return prune(queue.database, before, clock=queue.clock, wait=wait)


def ended(queue: Queue, id_count: int = 6) -> str:
    """One that has completed."""
    ingestion_id = queue.submit(range(id_count))
    while queue.rows("SELECT 1 FROM ingestions WHERE ended_at IS NULL"):
        queue.complete(queue.claim())
    return ingestion_id


def failed(queue: Queue) -> str:
    ingestion_id = queue.submit()
    queue.fail(queue.claim())
    return ingestion_id


def kept(queue: Queue) -> list[str]:
    return [row[0] for row in queue.rows("SELECT id FROM ingestions ORDER BY created_at, id")]


def row_count(queue: Queue) -> int:
    return sum(queue.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)


def test_all_of_it_goes_and_all_of_the_others_stays(queue: Queue) -> None:
    old = ended(queue)
    queue.change(
        "INSERT INTO webhook_deliveries (endpoint, ingestion_id, ended_at, delivered_at)"
        " SELECT 'default', id, ended_at, ended_at FROM ingestions"
    )
    queue.clock.move(2 * DAY)
    young = ended(queue)
    under_way = queue.submit(range(6))
    queue.complete(queue.claim())
    before = queue.everything()
    done = prune_all(queue)
    assert (done.ingestion_count, done.batch_count, done.dispatch_count) == (1, 2, 2)
    assert (done.record_count, done.was_interrupted) == (6, False)
    assert {*kept(queue)} == {young, under_way}
    left = queue.everything()
    assert left["sources"] == before["sources"]
    for table in ("batches", "dispatches", "records"):
        assert left[table] == before[table][-len(left[table]) :]
    assert queue.rows("SELECT * FROM webhook_deliveries") == []
    assert old not in kept(queue)
    assert verify(queue.database).holds


def test_count_says_what_would_go(queue: Queue) -> None:
    ended(queue)
    queue.submit()
    queue.clock.move(2 * DAY)
    with queue.database.read() as connection:
        counted = count_prunable(connection, queue.clock.read().at - timedelta(days=1))
    assert tuple(counted) == (1, 2, 6)
    assert len(kept(queue)) == 2


@pytest.mark.parametrize("end", ["", "Z", ".5", ".5Z", "+00:00", ".1234567"])
def test_end_that_a_person_wrote_is_one_in_every_form_that_may_be_stored(
    queue: Queue, end: str
) -> None:
    ended(queue)
    queue.clock.move(1)
    ended(queue)
    queue.clock.move(2 * DAY)
    queue.change("UPDATE ingestions SET ended_at = substr(ended_at, 1, 19) || :it", it=end)
    with queue.database.read() as connection:
        counted = count_prunable(connection, queue.clock.read().at - timedelta(days=1))
    assert counted.ingestion_count == 2
    assert prune_all(queue).ingestion_count == 2


def test_run_that_finds_only_what_is_under_way_again_rests_and_ends_when_it_is_told_to(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prunable, "_ENDED", prunable._ENDED.limit(1))
    for _ in range(3):
        ended(queue)
        queue.clock.move(1)
    queue.change("UPDATE batches SET status = 'yet_to_start', completed_at = NULL")
    queue.clock.move(2 * DAY)
    pauses: list[float] = []

    def stop_at_the_second(pause_seconds: float) -> bool:
        pauses.append(pause_seconds)
        return len(pauses) == 2

    assert prune_all(queue, stop_at_the_second).was_interrupted
    assert pauses == [pruning.LEAST_PAUSE_SECONDS] * 2


@pytest.mark.parametrize("id_count", [6, 4_501])
def test_what_was_cancelled_before_it_began_goes_too(queue: Queue, id_count: int) -> None:
    ingestion_id = queue.submit(range(id_count))
    cancel_ingestion(queue.database, ingestion_id, clock=queue.clock)
    queue.clock.move(2 * DAY)
    assert prune_all(queue).ingestion_count == 1
    assert row_count(queue) == 0


def test_it_stays_until_every_endpoint_was_told(queue: Queue) -> None:
    keep_endpoint(queue.database, is_wanted=True, clock=queue.clock)
    ended(queue)
    queue.clock.move(2 * DAY)
    assert prune_all(queue).ingestion_count == 0
    queue.change(
        "UPDATE webhook_deliveries SET given_up_at = next_attempt_at, next_attempt_at = NULL"
    )
    assert prune_all(queue).ingestion_count == 1


READERS: dict[str, Callable[[Queue, str], Any]] = {
    "status": lambda queue, it: read_status(queue.database, it),
    "page of the status": lambda queue, it: read_status(queue.database, it, limit=1),
    "entry": lambda queue, it: read_ingestion(queue.database, it),
    "batches": lambda queue, it: list_batches(queue.database, it, limit=9),
    "records": lambda queue, it: list(find_records(queue.database, it).read()),
    "forecast": lambda queue, it: read_forecast(queue.database, it, {}, clock=queue.clock),
    "cancel": lambda queue, it: cancel_ingestion(queue.database, it, clock=queue.clock),
    "retry": lambda queue, it: retry_ingestion(queue.database, it),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_what_is_marked_is_shown_to_nobody(queue: Queue, read: Callable[[Queue, str], Any]) -> None:
    ingestion_id = ended(queue)
    read(queue, ingestion_id)  # as long as it is not
    queue.change("UPDATE ingestions SET pruned_at = ended_at")
    with pytest.raises(UnknownIngestion):
        read(queue, ingestion_id)
    assert list_ingestions(queue.database, Wanted(), limit=9).entries == []


def test_records_that_are_deleted_while_they_are_read_do_not_just_end(queue: Queue) -> None:
    parts = find_records(queue.database, ended(queue.using(batch_size=600), 1_200)).read(
        limit=1_100
    )
    assert len(next(parts)) == 1_000
    queue.change("UPDATE ingestions SET pruned_at = ended_at")
    with pytest.raises(UnknownIngestion):
        next(parts)


def test_its_key_is_free_from_the_mark_on(queue: Queue) -> None:
    first = queue.submit(key="again")
    queue.complete(queue.claim())
    queue.clock.move(2 * DAY)
    assert queue.submit(key="again") == first
    prune_all(queue)
    assert queue.submit(key="again") != first


EDITS = {
    "a batch waits again": "UPDATE batches SET status = 'yet_to_start' WHERE position = 1",
    "it waits with another priority": (
        "UPDATE batches SET status = 'yet_to_start', priority_rank = 0 WHERE position = 1"
    ),
    "it waits for a time": (
        "UPDATE batches SET status = 'yet_to_start', not_before = '2026-12-01 00:00:00'"
        " WHERE position = 1"
    ),
    "it is in flight": (
        "UPDATE batches SET status = 'triggered', claim_token = 'x',"
        " lease_expires_at = '2026-12-01 00:00:00' WHERE position = 1"
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_what_a_person_put_under_way_again_stays_and_has_not_ended(queue: Queue, edit: str) -> None:
    ended(queue)
    queue.change(edit)
    queue.clock.move(2 * DAY)
    assert prune_all(queue) == Pruned()
    assert queue.rows("SELECT ended_at, pruned_at FROM ingestions") == [(None, None)]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_edit_that_comes_between_look_and_mark_is_seen(
    queue: Queue, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(queue)
    queue.clock.move(2 * DAY)
    before_the_mark(monkeypatch, lambda: queue.change(edit))
    assert prune_all(queue).ingestion_count == 0
    assert len(kept(queue)) == 1


def before_the_mark(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let this happen when it was found what may be marked, and nothing is marked yet."""
    mark = prunable._mark

    def act_and_mark(*given: Any) -> Sequence[str]:
        act()
        return mark(*given)

    monkeypatch.setattr(prunable, "_mark", act_and_mark)


@pytest.mark.parametrize("is_checked", [True, False], ids=["checked", "control"])
def test_retry_that_comes_first_wins(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, is_checked: bool
) -> None:
    ingestion_id = failed(queue)
    queue.clock.move(2 * DAY)
    before_the_mark(monkeypatch, lambda: retry_ingestion(queue.database, ingestion_id))
    if not is_checked:
        monkeypatch.setattr(prunable, "_MARK", MARK_ALL)
    prune_all(queue)
    assert kept(queue) == ([ingestion_id] if is_checked else [])


def test_end_that_a_person_made_is_kept_as_long_as_others_once_it_is_noted(queue: Queue) -> None:
    queue.submit()
    queue.clock.move(2 * DAY)
    queue.change("UPDATE batches SET status = 'cancelled'")
    assert sum(note_forgotten_ends(queue.database, clock=queue.clock)) == 1
    assert prune_all(queue).ingestion_count == 0
    queue.clock.move(2 * DAY)
    assert prune_all(queue).ingestion_count == 1


def test_run_that_was_interrupted_is_finished_by_the_next_and_hides_what_is_left(
    queue: Queue,
) -> None:
    large = ended(queue, 600)
    queue.clock.move(1)
    ended(queue)
    queue.clock.move(2 * DAY)
    assert prune_all(queue, lambda _: True).was_interrupted
    assert queue.rows("SELECT count(*) FROM batches WHERE ingestion_id = :it", it=large)[0][0] > 0
    with pytest.raises(UnknownIngestion):
        read_status(queue.database, large)
    assert verify(queue.database).holds
    # Whatever the term is by then.
    long_ago = queue.clock.read().at - timedelta(days=3_650)
    done = prune(queue.database, long_ago, clock=queue.clock, wait=lambda _: False)
    assert (done.ingestion_count, kept(queue)) == (2, [])
    assert row_count(queue) == 1  # the source


def test_no_transaction_deletes_more_than_there_is_room_for(queue: Queue) -> None:
    ended(queue, 450)
    ended(queue.using(batch_size=1_000), 1_000)  # larger than the room alone
    for _ in range(10):
        ended(queue)
    failed(queue)
    queue.change(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
        " INSERT INTO dispatches (source, batch_id, attempt, worker, finished_at, outcome,"
        " interval_seconds, margin_seconds, newest_batch_id)"
        " SELECT source, batch_id, attempt, worker, finished_at, 'deferred', 0, 0, 1"
        " FROM dispatches, n WHERE outcome = 'failed'"
    )
    queue.clock.move(2 * DAY)
    counts = [row_count(queue)]

    def look(pause_seconds: float) -> bool:
        assert pause_seconds >= pruning.LEAST_PAUSE_SECONDS
        counts.append(row_count(queue))
        assert verify(queue.database).holds
        return False

    assert prune_all(queue, look).ingestion_count == 13
    assert counts[-1] == 1
    steps = [earlier - later for earlier, later in pairwise(counts)]
    assert max(steps) <= ROOM + 3
    assert len(steps) < sum(steps) / ROOM * 2  # and not each row for itself


def test_ledger_with_holes_speaks_against_no_promise_and_tells_its_pace(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced = queue.using(interval_seconds=5)
    _interleave(paced)
    before = verify(paced.database).sources[0]
    assert prune_all(paced).ingestion_count == 1
    report = verify(paced.database)
    assert report.findings == ()
    (after,) = report.sources
    assert before.mean_gap_seconds == pytest.approx(5, rel=0.01)
    assert after.mean_gap_seconds == pytest.approx(5, rel=0.01)
    assert after.wasted_slot_count == 0
    monkeypatch.setattr("ingest_app.verifying.pace._is_gap_between", lambda *_: False)
    assert verify(paced.database).sources[0].mean_gap_seconds > 6


def _interleave(queue: Queue) -> None:
    """Dispatches of one that ended long ago, between those of one that goes on."""
    long_one, short_one = queue.submit(range(60)), queue.submit(range(15))
    for _ in range(4):
        queue.complete(queue.claim_in_turn())
    queue.change("UPDATE batches SET priority_rank = 0 WHERE ingestion_id = :it", it=short_one)
    for _ in range(9):
        queue.complete(queue.claim_in_turn())
    queue.change("UPDATE batches SET priority_rank = 1")
    queue.change(
        "UPDATE ingestions SET ended_at = '2026-01-01 00:00:00.000000' WHERE id = :it", it=short_one
    )
    assert read_status(queue.database, long_one).status == "triggered"


@pytest.mark.parametrize("is_counted", [True, False], ids=["as shipped", "control"])
def test_dispatches_are_counted_before_they_go(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, is_counted: bool
) -> None:
    ended(queue, 900)
    queue.clock.move(2 * DAY)
    if not is_counted:
        monkeypatch.setattr(pruning, "count_dispatches", lambda _: True)
    prune_all(queue)
    count_dispatches(queue.database)
    with queue.database.read() as connection:
        counted = sum(of.outcomes["completed"] for of in read_totals(connection).values())
    assert counted == (300 if is_counted else 0)


def test_half_deleted_is_found_to_be_one_where_nobody_marked_it(queue: Queue) -> None:
    """The control of those above: what verify leaves out is what is marked."""
    ended(queue, 600)
    queue.clock.move(2 * DAY)
    prune_all(queue, lambda _: True)
    queue.change("UPDATE ingestions SET pruned_at = NULL")
    assert not verify(queue.database).holds


def test_mark_reads_no_index_of_all_batches(queue: Queue, database: Database) -> None:
    ended(queue)
    queue.clock.move(2 * DAY)
    with plans(database) as all_plans:
        prune_all(queue)
    marking = [plan for plan in all_plans if "ix_batches_for_retry" in plan]
    assert marking
    assert [plan for plan in marking if "uq_batches" in plan or "SCAN" in plan] == []
