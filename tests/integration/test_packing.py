"""Large ingestions wait packed in few rows; nothing else about them may differ."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, delete, literal, table
from sqlalchemy.exc import IntegrityError, OperationalError

from ingest_app.database import Database
from ingest_app.errors import UnknownIngestion
from ingest_app.queue import claim as claiming
from ingest_app.queue import packing
from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.listing import Wanted, list_ingestions, read_ingestion
from ingest_app.queue.reading import abandoned_sources, read_status
from ingest_app.queue.records import find_records
from ingest_app.queue.refusing import Refusal, Wait, find_refusal
from ingest_app.queue.source_states import read_sources
from ingest_app.queue.statements import NEXT_BATCH
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from ingest_app.verifying import verify
from tests.support.clocks import FakeClock
from tests.support.queues import Queue, keeps_what_an_error_interrupts, opened
from tests.support.racing import Crew, claim_all_in_real_time, in_threads

UNPACKED = 10**9
PACKED = "packed_goes_first"
PACKS = "SELECT first_position, batch_count FROM packed_batches ORDER BY first_batch_id"


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs of two batches."""
    monkeypatch.setattr(packing, "PACK_SIZE", 2)


@pytest.fixture
def packed(small_packs: None, queue: Queue) -> Queue:  # noqa: ARG001
    """An ingestion of five batches, in packs of two, two and one, for a source without a pace."""
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    queue.submit(range(13))
    return queue


def the_ingestion(queue: Queue) -> str:
    ((ingestion_id,),) = queue.rows("SELECT id FROM ingestions")
    return str(ingestion_id)


def states(queue: Queue, ingestion_id: str | None = None) -> list[str]:
    status = read_status(queue.database, ingestion_id or the_ingestion(queue))
    return [line["status"] for line in json.loads(f"[{','.join(status.parts)}]")]


@pytest.mark.parametrize(
    ("batch_count", "packs"),
    [
        pytest.param(1, [], id="one batch"),
        pytest.param(499, [], id="fewer than a pack"),
        pytest.param(500, [], id="exactly a pack: as quick without"),
        pytest.param(501, [(1, 500), (501, 1)], id="one more"),
        pytest.param(1000, [(1, 500), (501, 500)], id="exactly two packs"),
        pytest.param(1001, [(1, 500), (501, 500), (1001, 1)], id="one more than two"),
    ],
)
def test_what_does_not_fit_one_pack_is_packed(
    queue: Queue, batch_count: int, packs: list[tuple[int, int]]
) -> None:
    ids = list(range(3 * batch_count - 1))  # the last batch is not full
    ingestion_id = queue.submit(ids)
    assert queue.rows(PACKS) == packs
    assert queue.rows("SELECT count(*) FROM batches") == [(0 if packs else batch_count,)]
    waiting = queue.rows("SELECT batch_id, ids FROM queue")
    assert [batch_id for (batch_id, _) in waiting] == [
        f"{ingestion_id}-{position}" for position in range(1, batch_count + 1)
    ]
    assert list(chain.from_iterable(json.loads(text) for (_, text) in waiting)) == ids


def test_batches_of_many_ids_are_fewer_to_a_pack(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MOST_IDS", 20)
    queue.using(batch_size=10).submit(range(45))
    queue.using(batch_size=30).submit(range(45))
    assert queue.rows(PACKS) == [(1, 2), (3, 2), (5, 1), (1, 1), (2, 1)]


def test_claim_unpacks_the_next_pack_alone(packed: Queue) -> None:
    claims = [packed.claim()]
    assert packed.rows(PACKS) == [(3, 2), (5, 1)]
    claims += [packed.claim(), packed.claim()]
    assert packed.rows(PACKS) == [(5, 1)]
    assert [claim.ids for claim in claims] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]


def test_unpacked_batches_are_as_if_never_packed(packed: Queue) -> None:
    packed.claim()
    first, second = packed.batch(1), packed.batch(2)
    assert (first.position, second.position) == (1, 2)
    assert second.status == "yet_to_start"
    assert (second.attempt_count, second.not_before, second.completed_at) == (0, None, None)
    ((created_at,),) = packed.rows("SELECT created_at FROM ingestions")
    assert packed.rows("SELECT DISTINCT created_at FROM batches") == [(created_at,)]


def test_ids_of_the_queue_are_kept_for_what_is_packed(packed: Queue) -> None:
    # The first ingestion of all: the table has never had a row.
    packed.submit([1])
    packed.submit(range(9))
    packed.submit([2])
    assert packed.rows("SELECT id FROM batches ORDER BY id") == [(6,), (10,)]
    firsts = packed.rows("SELECT first_batch_id FROM packed_batches ORDER BY first_batch_id")
    assert firsts == [(1,), (3,), (5,), (7,), (9,)]
    claims = [packed.claim() for _ in range(10)]
    assert [claim.batch_id for claim in claims] == list(range(1, 11))


def test_ledger_says_which_batches_a_claim_could_choose_from(packed: Queue) -> None:
    packed.claim()
    packed.submit([1])
    packed.claim()
    packed.submit(range(9), Priority.LOW)
    packed.claim()
    assert packed.rows("SELECT newest_batch_id FROM dispatches ORDER BY id") == [(5,), (6,), (9,)]


@pytest.mark.usefixtures("small_packs")
def test_failure_in_the_middle_stores_nothing_and_keeps_no_ids(queue: Queue) -> None:
    queue.submit([1])
    queue.change(FAIL_AT_THE_SECOND_PACK)
    with pytest.raises(IntegrityError):
        queue.submit(range(13))
    assert queue.rows("SELECT count(*) FROM ingestions") == [(1,)]
    assert queue.rows("SELECT count(*) FROM packed_batches") == [(0,)]
    assert queue.rows("SELECT seq FROM sqlite_sequence WHERE name = 'batches'") == [(1,)]


FAIL_AT_THE_SECOND_PACK = """
CREATE TRIGGER fail BEFORE INSERT ON packed_batches WHEN new.first_position = 3
BEGIN SELECT raise(ABORT, 'in the middle'); END
"""


@pytest.mark.usefixtures("small_packs")
def test_without_the_transaction_a_failure_in_the_middle_is_seen(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    queue.change(FAIL_AT_THE_SECOND_PACK)

    monkeypatch.setattr(Database, "write", keeps_what_an_error_interrupts)
    with pytest.raises(IntegrityError):
        queue.submit(range(13))
    assert queue.rows("SELECT count(*) FROM packed_batches") == [(1,)]


def test_failure_while_unpacking_leaves_the_pack(
    packed: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = delete(table("nowhere")).where(literal(0) == bindparam("the_pack"))
    monkeypatch.setattr(packing, "_REMOVE", nowhere)
    before = packed.everything()
    with pytest.raises(OperationalError):
        packed.ask()
    assert {**packed.everything(), "sources": []} == {**before, "sources": []}


def test_retry_goes_before_the_rest_of_its_ingestion_that_is_packed(packed: Queue) -> None:
    claims = [packed.claim() for _ in range(2)]
    packed.release(claims[1])
    packed.retry(claims[0])
    packed.clock.move(2)
    assert [packed.claim().batch_id for _ in range(3)] == [1, 2, 3]


def test_packed_goes_before_a_later_submission_and_after_a_better_one(packed: Queue) -> None:
    packed.clock.move(1)
    packed.submit([100])
    packed.submit([200], Priority.HIGH)
    goes = [packed.claim().ids[0] for _ in range(7)]
    assert goes == [200, 0, 3, 6, 9, 12, 100]


def test_without_the_comparison_packed_batches_are_seen_to_go_too_late(
    packed: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    rows = [column for column in NEXT_BATCH.selected_columns if column.key != PACKED]
    blind = NEXT_BATCH.with_only_columns(*rows, literal(0).label(PACKED))
    monkeypatch.setattr(claiming, "NEXT_BATCH", blind)
    packed.clock.move(1)
    packed.submit([100])
    packed.submit([200], Priority.HIGH)
    assert [packed.claim().ids[0] for _ in range(2)] == [200, 100]
    packed.claim()
    assert "P4" in {finding.promise for finding in verify(packed.database).findings}


@pytest.mark.usefixtures("small_packs")
def test_of_one_priority_and_time_the_first_submitted_goes_first(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0, max_in_flight=64)
    for first in (100, 200, 300):
        queue.submit([first])
        queue.submit(range(first + 1, first + 10))
    expected = [start + more for start in (100, 200, 300) for more in (0, 1, 4, 7)]
    assert [queue.claim().ids[0] for _ in expected] == expected


@pytest.mark.parametrize("pack_size", [1, 2])
def test_threads_that_unpack_at_once_never_claim_a_batch_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, pack_size: int
) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", pack_size)
    queue = queue.using(interval_seconds=0, max_in_flight=64, batch_size=1)
    queue.submit(range(32))
    claims = list(chain.from_iterable(in_threads(8, lambda: [queue.claim() for _ in range(4)])))
    assert sorted(claim.batch_id for claim in claims) == list(range(1, 33))
    assert sorted(claim.ids[0] for claim in claims) == list(range(32))
    assert queue.rows("SELECT batch_id FROM dispatches ORDER BY id") == [
        (batch_id,) for batch_id in range(1, 33)
    ]


@pytest.mark.usefixtures("small_packs")
def test_processes_that_unpack_at_once_never_claim_a_batch_twice(queue: Queue, crew: Crew) -> None:
    real = Queue(
        queue.database, SourceSettings(interval_seconds=0.002, max_in_flight=64), FakeClock()
    )
    real.submit(range(90))
    crew.run(claim_all_in_real_time, queue.database.engine.url.database, real.source)
    assert queue.rows("SELECT batch_id FROM dispatches ORDER BY id") == [
        (batch_id,) for batch_id in range(1, 31)
    ]


def test_what_is_packed_is_work_for_the_source(packed: Queue) -> None:
    packed.claim()  # so that the source has a row
    packed.change("DELETE FROM batches")
    assert find_refusal(packed.database, packed.source, clock=packed.clock) is None
    packed.change("UPDATE packed_batches SET status = 'cancelled'")
    assert packed.refused() == Refusal(Wait.EMPTY)


def test_packed_batches_are_counted_as_waiting(packed: Queue) -> None:
    packed.submit(range(9), Priority.HIGH)
    packed.claim()
    (state,) = read_sources(packed.database, {}, clock=packed.clock)
    assert state.waiting == {"HIGH": 2, "MEDIUM": 5, "LOW": 0}


def test_source_with_nothing_but_packed_batches_is_known(packed: Queue) -> None:
    assert [state.name for state in read_sources(packed.database, {}, clock=packed.clock)] == [
        "default"
    ]


def test_source_with_packed_batches_is_abandoned_when_it_is_configured_no_more(
    packed: Queue,
) -> None:
    packed.claim()
    packed.change("DELETE FROM batches")
    assert abandoned_sources(packed.database, []) == ["default"]
    assert abandoned_sources(packed.database, ["default"]) == []


def test_listing_counts_packed_batches(packed: Queue) -> None:
    (entry,) = list_ingestions(packed.database, Wanted(), limit=5).entries
    assert (entry.status, entry.batch_count, entry.counts["yet_to_start"]) == ("yet_to_start", 5, 5)
    packed.complete(packed.claim())
    entry = read_ingestion(packed.database, entry.ingestion_id)
    assert (entry.status, entry.counts["completed"]) == ("triggered", 1)
    assert entry.counts["yet_to_start"] == 4


def test_cancel_ends_packed_batches_too(packed: Queue) -> None:
    packed.complete(packed.claim())
    packed.clock.move(1)
    cancel_ingestion(packed.database, the_ingestion(packed), clock=packed.clock)
    entry = read_ingestion(packed.database, the_ingestion(packed))
    assert (entry.counts["completed"], entry.counts["cancelled"]) == (1, 4)
    assert entry.status == "cancelled"
    assert entry.last_completed_at == entry.cancelled_at == packed.clock.read().at
    assert states(packed) == ["completed", *["cancelled"] * 4]
    assert packed.refused() == Refusal(Wait.EMPTY)
    assert packed.rows("SELECT * FROM queue") == []
    assert verify(packed.database).findings == ()


def test_cancel_of_what_is_all_packed_says_when(packed: Queue) -> None:
    cancel_ingestion(packed.database, the_ingestion(packed), clock=packed.clock)
    entry = read_ingestion(packed.database, the_ingestion(packed))
    assert entry.status == "cancelled"
    assert entry.last_completed_at == entry.cancelled_at == packed.clock.read().at
    assert packed.rows("SELECT count(*) FROM batches") == [(0,)]


def test_records_of_what_is_packed_are_none_yet(packed: Queue) -> None:
    found = find_records(packed.database, the_ingestion(packed))
    assert (found.batch_count, found.batch_size) == (5, 3)
    assert list(found.read()) == []


def test_deleting_an_ingestion_deletes_what_is_packed(packed: Queue) -> None:
    packed.change("DELETE FROM ingestions")
    assert packed.rows(PACKS) == []


def test_status_is_unknown_once_a_person_has_deleted_the_batches(packed: Queue) -> None:
    packed.change("DELETE FROM packed_batches")
    with pytest.raises(UnknownIngestion):
        read_status(packed.database, the_ingestion(packed))


def test_honest_work_on_what_was_packed_is_clean(packed: Queue) -> None:
    packed.submit(range(7), Priority.HIGH)
    for _ in range(4):
        packed.complete(packed.claim())
    assert packed.rows("SELECT count(*) FROM packed_batches") != [(0,)]
    assert verify(packed.database).findings == ()


TAMPERING = [
    pytest.param("P1", "DELETE FROM packed_batches WHERE first_position = 3", id="a pack is gone"),
    pytest.param(
        "P1", "UPDATE packed_batches SET ids = '[[]]' WHERE first_position = 5", id="an ID is gone"
    ),
    pytest.param(
        "P1",
        "UPDATE packed_batches SET first_position = 4 WHERE first_position = 3",
        id="two packs have one position",
    ),
    pytest.param(
        "P1",
        "UPDATE packed_batches SET first_position = 2 WHERE first_position = 3",
        id="a batch and a pack have one position",
    ),
    pytest.param(
        "P1",
        "UPDATE packed_batches SET first_batch_id = 2 WHERE first_position = 5",
        id="a batch and a pack have one id",
    ),
    pytest.param(
        "P1",
        "UPDATE packed_batches SET first_batch_id = 4 WHERE first_position = 5",
        id="two packs have one id",
    ),
    pytest.param(
        "P1",
        """UPDATE packed_batches SET ids = '[[6,7,8],"x"]' WHERE first_position = 3""",
        id="a batch is not an array",
    ),
    pytest.param(
        "P4",
        "UPDATE packed_batches SET priority_rank = 0 WHERE first_position = 5",
        id="a better one waited",
    ),
]


@pytest.mark.parametrize(("promise", "sql"), TAMPERING)
def test_tampering_with_a_pack_is_found(packed: Queue, promise: str, sql: str) -> None:
    packed.complete(packed.claim())
    packed.change(sql)
    assert promise in {finding.promise for finding in verify(packed.database).findings}


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("UPDATE packed_batches SET status = 'triggered'", id="a state it cannot have"),
        pytest.param("UPDATE packed_batches SET batch_count = 3", id="another count"),
        pytest.param("UPDATE packed_batches SET ids = '[1,'", id="not JSON"),
        pytest.param("UPDATE packed_batches SET first_position = 0", id="before the first"),
        pytest.param("UPDATE packed_batches SET priority_rank = 3", id="no priority"),
    ],
)
def test_hand_cannot_make_a_pack_what_it_may_not_be(packed: Queue, sql: str) -> None:
    with pytest.raises(IntegrityError):
        packed.change(sql)


SUBMISSIONS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(Priority), st.booleans()), min_size=1, max_size=5
)


@settings(max_examples=30, deadline=None)
@given(
    submissions=SUBMISSIONS,
    pack_size=st.integers(1, 4),
    batch_size=st.integers(1, 3),
    ends=st.lists(st.sampled_from(["complete", "retry", "release", "fail"]), max_size=12),
)
def test_packed_or_not_the_queue_and_the_status_are_the_same(
    migrated_file: Path,
    submissions: list[tuple[int, Priority, bool]],
    pack_size: int,
    batch_size: int,
    ends: list[str],
) -> None:
    histories = [
        list(history(migrated_file, size, batch_size, submissions, ends))
        for size in (pack_size, UNPACKED)
    ]
    assert histories[0] == histories[1]


def history(
    migrated_file: Path,
    pack_size: int,
    batch_size: int,
    submissions: Sequence[tuple[int, Priority, bool]],
    ends: Sequence[str],
) -> Iterator[object]:
    """What is claimed, and what people see after each claim, with ingestions by number."""
    source = SourceSettings(interval_seconds=0, max_in_flight=64, batch_size=batch_size)
    with patch.object(packing, "PACK_SIZE", pack_size), fresh(migrated_file, source) as queue:
        names: dict[str, str] = {}
        for number, (id_count, priority, comes_later) in enumerate(submissions):
            queue.clock.move(1 if comes_later else 0)
            names[queue.submit(range(id_count), priority)] = f"ingestion {number}"
        yield seen(queue, names)
        for end in ends:
            claim = queue.ask()
            yield claim if isinstance(claim, Refusal) else (claim.batch_id, claim.ids)
            if not isinstance(claim, Refusal):
                getattr(queue, end)(claim)
            yield seen(queue, names)
        assert verify(queue.database).findings == ()


@contextmanager
def fresh(migrated_file: Path, source: SourceSettings) -> Iterator[Queue]:
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copyfile(migrated_file, Path(folder) / "ingest.db")
        with opened(path) as database:
            yield Queue(database, source, FakeClock())


def seen(queue: Queue, names: dict[str, str]) -> str:
    """The status of each, the counts and the queue, as text without the ids."""
    found: list[object] = [queue.rows("SELECT * FROM queue")]
    for ingestion_id in names:
        status = read_status(queue.database, ingestion_id)
        pages = [
            (page.status, page.next_after, ",".join(page.parts))
            for page in (
                read_status(queue.database, ingestion_id, after=after, limit=2)
                for after in range(4)
            )
        ]
        found += [status.status, status.batch_count, ",".join(status.parts), pages]
        found += queue.rows("SELECT * FROM ingestion_status WHERE id = :id", id=ingestion_id)
    text = repr(found)
    for ingestion_id, name in names.items():
        text = text.replace(ingestion_id, name)
    return text


@pytest.mark.parametrize("interval_seconds", [5.0, 0.0])
def test_pack_that_cannot_be_unpacked_does_not_stop_its_source(
    packed: Queue, interval_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    # As a person may leave it who deletes an ingestion with foreign keys off.
    queue = packed.using(interval_seconds=interval_seconds)
    caplog.set_level("ERROR")
    with closing(sqlite3.connect(str(queue.database.engine.url.database))) as shell, shell:
        shell.execute("DELETE FROM ingestions")
    behind = queue.submit([99], Priority.LOW)
    claim = queue.claim_in_turn()
    assert claim.ids == (99,)
    assert "pack_set_aside" in caplog.text
    assert queue.rows("SELECT DISTINCT status FROM packed_batches") == [("cancelled",)]
    assert queue.rows("SELECT DISTINCT ingestion_id FROM batches") == [(behind,)]


def test_source_with_nothing_but_such_packs_has_nothing_to_do(packed: Queue) -> None:
    with closing(sqlite3.connect(str(packed.database.engine.url.database))) as shell, shell:
        shell.execute("DELETE FROM ingestions")
    assert packed.refused().reason is Wait.EMPTY
    assert packed.rows("SELECT count(*) FROM packed_batches WHERE status <> 'cancelled'") == [(0,)]


def test_page_before_a_gap_leads_on(packed: Queue) -> None:
    (ingestion_id,) = packed.rows("SELECT DISTINCT ingestion_id FROM packed_batches")[0]
    packed.change("DELETE FROM packed_batches WHERE first_position = 1")
    first = packed.rows("SELECT min(first_position) FROM packed_batches")[0][0]
    page = read_status(packed.database, ingestion_id, limit=1)
    assert page.next_after == first
