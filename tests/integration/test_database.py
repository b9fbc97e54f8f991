"""Transactions on a real file, and what its faults become."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from ingest_app import sqlite
from ingest_app.access.keys import is_open
from ingest_app.database import Database
from ingest_app.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    StaleClaim,
)
from ingest_app.migrating import migrate
from ingest_app.models import sources
from ingest_app.queue.claim import Claim
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.queues import Queue, opened

HOLD_THE_WRITE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    command = (sys.executable, "-I", "-c", HOLD_THE_WRITE_LOCK, str(path))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "locked\n"
        yield
        process.stdin.close()
    assert process.returncode == 0


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a lock gives up soon."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [
        pytest.param("synchronous", 2, id="FULL: what is committed survives a power cut"),
        pytest.param("journal_mode", "wal", id="readers go on beside a writer"),
        pytest.param("foreign_keys", 1, id="no rows that refer to missing ones"),
        pytest.param("mmap_size", 0, id="an I/O error must not be a signal"),
    ],
)
def test_every_connection_has_its_pragmas(
    database: Database, pragma: str, expected: object
) -> None:
    for transaction in (database.read, database.write):
        with transaction() as connection:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == expected


def test_error_undoes_the_transaction(queue: Queue) -> None:
    def half() -> None:
        with queue.database.write() as connection:
            connection.execute(text("INSERT INTO sources (name) VALUES ('half')"))
            raise StaleClaim(1)

    with pytest.raises(StaleClaim):
        half()
    assert queue.rows("SELECT * FROM sources") == []


def test_reader_sees_one_snapshot_while_a_writer_commits(queue: Queue) -> None:
    count = text("SELECT count(*) FROM ingestions")
    with queue.database.read() as connection:
        assert connection.execute(count).scalar_one() == 0
        queue.submit()
        assert connection.execute(count).scalar_one() == 0
    assert queue.rows("SELECT count(*) FROM ingestions") == [(1,)]


def test_look_holds_on_to_no_snapshot(queue: Queue) -> None:
    count = text("SELECT count(*) FROM ingestions")
    with queue.database.look() as connection:
        assert connection.execute(count).scalar_one() == 0
        queue.submit()
        assert connection.execute(count).scalar_one() == 1


def test_reading_transaction_that_writes_after_another_wrote_is_seen_to_fail(
    queue: Queue,
) -> None:
    # Why writers take the write lock first: the negative control of the test below.
    def read_then_write() -> None:
        with queue.database.read() as connection:
            connection.execute(text("SELECT count(*) FROM sources")).scalar_one()
            queue.submit()
            connection.execute(text("INSERT INTO sources (name) VALUES ('late')"))

    with pytest.raises(DatabaseBusy):
        read_then_write()


@pytest.mark.usefixtures("_impatient")
def test_writer_that_reads_first_is_not_overtaken(queue: Queue, database_path: Path) -> None:
    with opened(database_path) as another, queue.database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM sources")).scalar_one() == 0
        with pytest.raises(DatabaseBusy), another.write():
            pass
        connection.execute(text("INSERT INTO sources (name) VALUES ('first')"))


@pytest.mark.usefixtures("_impatient")
def test_lock_held_by_another_process_is_database_busy(database_path: Path, queue: Queue) -> None:
    with opened(database_path) as database, locked_by_another_process(database_path):
        waiting = Queue(database, queue.source, queue.clock)
        for verb in (waiting.submit, waiting.ask):
            with pytest.raises(DatabaseBusy) as caught:
                verb()
            assert caught.value.__cause__ is not None


@pytest.mark.usefixtures("_impatient")
def test_nothing_is_claimed_when_the_slot_cannot_be_recorded(
    database_path: Path, queue: Queue
) -> None:
    queue.submit()
    before = queue.everything()
    with opened(database_path) as database, locked_by_another_process(database_path):
        with pytest.raises(DatabaseBusy):
            Queue(database, queue.source, queue.clock).ask()
        assert queue.everything() == before  # and it can still be read


@pytest.mark.usefixtures("_impatient")
def test_database_works_again_when_the_lock_is_gone(database_path: Path, queue: Queue) -> None:
    with opened(database_path) as database:
        waiting = Queue(database, queue.source, queue.clock)
        with locked_by_another_process(database_path), pytest.raises(DatabaseBusy):
            waiting.submit()
        waiting.submit()
        assert isinstance(waiting.ask(), Claim)


@pytest.mark.usefixtures("_impatient")
def test_turn_held_by_another_thread_is_database_busy(queue: Queue) -> None:
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with queue.database.write():
            held.set()
            may_end.wait(TIMEOUT_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(TIMEOUT_SECONDS)
    try:
        with pytest.raises(DatabaseBusy):
            queue.submit()
    finally:
        may_end.set()
        thread.join()
    queue.submit()


@pytest.mark.usefixtures("_impatient")
def test_pool_without_a_free_connection_is_database_busy(database_path: Path) -> None:
    with (
        opened(database_path, pool_size=1, pool_timeout=0.05) as database,
        database.read(),
        pytest.raises(DatabaseBusy),
        database.read(),
    ):
        pass


def read_only(path: Path) -> str:
    return f"file:{path}?mode=ro&uri=true"


def overwritten(path: Path) -> str:
    path.write_bytes(b"this is not a database" * 1_000)
    return str(path)


def damaged(path: Path) -> str:
    """Its header is whole, its pages are not."""
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    return str(path)


def in_no_folder(path: Path) -> str:
    return str(path.with_name("missing") / path.name)


def a_folder(path: Path) -> str:
    return str(path.parent)


BROKEN = [
    pytest.param(overwritten, id="not a database"),
    pytest.param(damaged, id="damaged"),
    pytest.param(in_no_folder, id="its folder is missing"),
    pytest.param(a_folder, id="a folder in its place"),
]


@pytest.mark.parametrize("spoil", [*BROKEN, pytest.param(read_only, id="read-only")])
def test_file_that_cannot_be_written_is_database_unavailable(
    database_path: Path, queue: Queue, spoil: Callable[[Path], str]
) -> None:
    with opened(spoil(database_path)) as database:
        broken = Queue(database, queue.source, queue.clock)
        for verb in (broken.submit, broken.ask):
            with pytest.raises(DatabaseUnavailable):
                verb()


@pytest.mark.parametrize("spoil", BROKEN)
def test_file_that_cannot_be_read_is_database_unavailable(
    database_path: Path, queue: Queue, spoil: Callable[[Path], str]
) -> None:
    with opened(spoil(database_path)) as database, pytest.raises(DatabaseUnavailable):
        Queue(database, queue.source, queue.clock).rows("SELECT * FROM batches")


@pytest.mark.parametrize("spoil", BROKEN)
def test_file_that_cannot_be_looked_at_is_database_unavailable(
    database_path: Path,
    queue: Queue,  # noqa: ARG001 - makes the file
    spoil: Callable[[Path], str],
) -> None:
    with opened(spoil(database_path)) as database, pytest.raises(DatabaseUnavailable):
        is_open(database)


@pytest.mark.parametrize("spoil", BROKEN)
def test_file_that_cannot_be_used_is_found_out_at_the_start(
    database_path: Path, spoil: Callable[[Path], str]
) -> None:
    with opened(spoil(database_path)) as database, pytest.raises(DatabaseUnavailable):
        migrate(database)


def test_file_that_cannot_be_reached_any_more_is_database_unavailable(
    tmp_path: Path, database_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(database_path)
    with opened(link) as database:
        assert is_open(database)
        link.unlink()
        link.symlink_to(link)  # as root, whom no closed folder stops
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            is_open(database)
        link.unlink()
        link.symlink_to(database_path)
        assert is_open(database)


def test_read_only_file_can_be_read(database_path: Path, queue: Queue) -> None:
    queue.submit()
    with opened(read_only(database_path)) as database:
        count = Queue(database, queue.source, queue.clock).rows("SELECT count(*) FROM batches")
    assert count == [(1,)]


def test_full_disk_is_database_full_and_stores_nothing(queue: Queue) -> None:
    @event.listens_for(queue.database.engine, "checkout")
    def no_page_more(driver: Any, *_: object) -> None:
        # SQLite answers as on a full disk; the tier of faults has a real one.
        driver.execute("PRAGMA max_page_count = 1")

    with pytest.raises(DatabaseFull):
        queue.submit([f"{number:0200}" for number in range(1_000)])
    assert queue.rows("SELECT count(*) FROM ingestions") == [(0,)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("SELECT * FROM nowhere", OperationalError, id="a table that is not there"),
        pytest.param("INSERT INTO sources VALUES (NULL)", OperationalError, id="too few values"),
        pytest.param(
            "INSERT INTO sources (name) VALUES ('a'), ('a')", IntegrityError, id="a key twice"
        ),
    ],
)
def test_mistake_in_a_statement_stays_what_it_is(
    queue: Queue, statement: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        queue.change(statement)
    assert not isinstance(caught.value, DatabaseError)


def name_source(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(insert(sources), {"name": name})


def source_names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(select(sources.c.name)))


def test_what_is_written_as_one_appears_together(database: Database) -> None:
    with database.as_one():
        name_source(database, "one")
        name_source(database, "two")
        assert source_names(database) == set()
    assert source_names(database) == {"one", "two"}


def test_error_takes_back_all_that_is_written_as_one(database: Database) -> None:
    def write_both() -> None:
        with database.as_one():
            name_source(database, "one")
            name_source(database, "one")

    with pytest.raises(IntegrityError):
        write_both()
    assert source_names(database) == set()
    name_source(database, "alone again")
    assert source_names(database) == {"alone again"}


@pytest.mark.usefixtures("_impatient")
def test_reader_waits_as_long_as_before_after_a_writer_gave_up(
    queue: Queue, database_path: Path
) -> None:
    with locked_by_another_process(database_path), pytest.raises(DatabaseBusy):
        queue.submit()
    with queue.database.read() as connection:
        busy_timeout = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    assert busy_timeout == sqlite.BUSY_SECONDS * 1000
