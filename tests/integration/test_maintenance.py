"""Backups are whole and sound; what is restored knows what came after it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine

from ingest_app import sqlite
from ingest_app.database import Database
from ingest_app.errors import (
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    IngestError,
    MaintenanceRefused,
)
from ingest_app.maintenance import backing_up, carrying, copying, partial, restoring
from ingest_app.maintenance.backing_up import back_up
from ingest_app.maintenance.compacting import compact
from ingest_app.maintenance.copying import make_standalone
from ingest_app.maintenance.partial import Partial, beside
from ingest_app.maintenance.proving import find_in_backup
from ingest_app.maintenance.restoring import Restored, restore
from ingest_app.metrics.request_totals import (
    Bucket,
    Kind,
    Sums,
    add_request_totals,
    read_request_totals,
)
from ingest_app.migrating import migrate
from ingest_app.queue.control import pause_source
from ingest_app.queue.refusing import Wait
from ingest_app.queue.totals import count_dispatches, read_totals
from ingest_app.verifying import verify
from tests.integration.test_migrations import alembic
from tests.support.queues import Queue, opened

KEY = (
    "INSERT INTO api_keys (name, owner, prefix, digest, role, created_at, revoked_at)"
    " VALUES (:name, 'ann', :name, 'd', 'operator', '2026-03-01 11:00:00.000000', :revoked)"
)
AT = "2026-03-01 13:00:00.000000"
BROKEN, LOG = b"broken" * 1_000, b"of the broken one"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "copy.db"


@pytest.fixture(autouse=True)
def _make_folder(file: Path) -> None:
    file.parent.mkdir()


def take(queue: Queue, database_path: Path, file: Path) -> None:
    """A backup after some work."""
    queue.submit(range(9))
    queue.complete(queue.claim_in_turn())
    back_up(database_path, file)


def put_back(queue: Queue, database_path: Path, file: Path) -> Restored:
    """Restore it where nobody has the database open, and open that again."""
    queue.database.engine.dispose()
    done = restore(file, database_path, {"default", "catalog"}, clock=queue.clock)
    with opened(database_path) as database:
        migrate(database)
    return done


@pytest.fixture
def again(queue: Queue, database_path: Path) -> Iterator[Queue]:
    """The queue of the database that is there after a restore."""
    with opened(database_path) as database:
        yield Queue(database, queue.source, queue.clock)


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def break_database(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave something there that cannot be read, with a log that SQLite leaves alone."""
    database_path.write_bytes(BROKEN)
    database_path.with_name("ingest.db-wal").write_bytes(LOG)
    monkeypatch.setattr(restoring, "held", nullcontext)
    monkeypatch.setattr(restoring, "_read", lambda _: None)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)


def test_backup_is_all_of_a_database_in_use_and_its_owners_alone(
    queue: Queue, database_path: Path, file: Path
) -> None:
    take(queue, database_path, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert content(file) == content(database_path)
    assert [path.name for path in file.parent.iterdir()] == ["copy.db"]
    with opened(file) as copy:
        assert verify(copy).holds


def test_backup_replaces_nothing_unless_it_is_told_to(
    queue: Queue, database_path: Path, file: Path
) -> None:
    file.write_text("mine")
    with pytest.raises(MaintenanceRefused, match="--force"):
        back_up(database_path, file)
    assert file.read_text() == "mine"
    assert back_up(database_path, file, may_replace=True) == file.stat().st_size
    with pytest.raises(MaintenanceRefused, match="itself"):
        back_up(database_path, database_path, may_replace=True)
    assert verify(queue.database).holds


def test_file_that_comes_while_the_backup_is_made_is_not_replaced(
    queue: Queue, database_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue.rows("SELECT 1") == [(1,)]
    monkeypatch.setattr(
        "ingest_app.maintenance.backing_up.check_copy", lambda _: file.write_text("mine")
    )
    with pytest.raises(MaintenanceRefused):
        back_up(database_path, file)
    assert file.read_text() == "mine"
    assert len(list(file.parent.iterdir())) == 1


def test_what_a_dead_process_left_behind_is_used_again(
    database_path: Path, file: Path, queue: Queue
) -> None:
    for end in ("", "-wal", "-journal"):
        (file.parent / f".copy.db.partial{end}").write_text("half of it")
    take(queue, database_path, file)
    assert content(file) == content(database_path)
    assert len(list(file.parent.iterdir())) == 1


@pytest.mark.parametrize("look", ["_look", "_look_on"])
def test_ctrl_c_while_it_is_copied_or_checked_leaves_nothing(
    queue: Queue,
    database_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    look: str,
) -> None:
    queue.submit(range(3_000))

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(copying, look, interrupt)
    monkeypatch.setattr(copying, "_STEPS_A_LOOK", 100)
    with pytest.raises(KeyboardInterrupt):
        back_up(database_path, file)
    assert list(file.parent.iterdir()) == []


def test_link_in_the_place_of_the_half_made_file_is_not_followed(
    queue: Queue, database_path: Path, tmp_path: Path, file: Path
) -> None:
    queue.submit()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (file.parent / ".copy.db.partial").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        back_up(database_path, file)
    assert victim.read_text() == "mine"


def test_damaged_database_gives_no_backup(queue: Queue, database_path: Path, file: Path) -> None:
    queue.submit(range(30_000))
    queue.database.engine.dispose()
    make_standalone(database_path)
    size = database_path.stat().st_size
    with database_path.open("r+b") as damaged:
        damaged.seek(size // 2)
        damaged.write(b"\xff" * 3 * 4096)
    with pytest.raises(IngestError):
        back_up(database_path, file)
    assert list(file.parent.iterdir()) == []


def test_restore_brings_back_what_was_there_and_keeps_what_is(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    take(queue, database_path, file)
    before = queue.everything()
    queue.complete(queue.claim_in_turn())
    later = content(database_path)
    mode = stat.S_IMODE(database_path.stat().st_mode)
    done = put_back(queue, database_path, file)
    assert done.was_read
    assert {table: rows for table, rows in again.everything().items() if table != "sources"} == {
        table: rows for table, rows in before.items() if table != "sources"
    }
    assert content(done.kept) == later
    assert stat.S_IMODE(database_path.stat().st_mode) == mode
    assert verify(again.database).holds


@pytest.mark.parametrize("is_kept_from", [True, False], ids=["as shipped", "control"])
def test_every_source_waits_a_whole_interval_from_the_restore(
    queue: Queue,
    database_path: Path,
    file: Path,
    again: Queue,
    monkeypatch: pytest.MonkeyPatch,
    is_kept_from: bool,
) -> None:
    take(queue, database_path, file)
    queue.clock.move(3_600)
    claim = queue.claim()  # the slot of the backup opened an hour ago
    queue.clock.move(1)
    if not is_kept_from:
        monkeypatch.setattr(carrying, "_wait_a_whole_interval", lambda *_: None)
        monkeypatch.setattr(restoring, "read_replaced", lambda _: carrying.Replaced())
    put_back(queue, database_path, file)
    gap_seconds = again.claim_in_turn().claimed.seconds_since(claim.claimed)
    assert (gap_seconds >= 1 + queue.source.interval_seconds) is is_kept_from


@pytest.mark.parametrize("interval_seconds", [0.1, 5.0, 60.0])
def test_so_it_does_when_its_interval_was_changed_or_it_was_never_used(
    queue: Queue, database_path: Path, file: Path, again: Queue, interval_seconds: float
) -> None:
    take(queue, database_path, file)
    other = queue.using(name="catalog", interval_seconds=0)
    other.submit(range(9))
    other.complete(other.claim())
    put_back(queue, database_path, file)
    restored_at = queue.clock.read()
    for name in ("default", "catalog"):
        source = again.using(name=name, interval_seconds=interval_seconds)
        queue.clock.move(interval_seconds / 2)  # not from whenever there is something to do
        source.submit()
        assert source.refused().reason is Wait.SLOT
        waited_seconds = source.claim_in_turn().claimed.seconds_since(restored_at)
        assert interval_seconds <= waited_seconds < interval_seconds + 0.1
        queue.clock.now = restored_at


def test_what_held_a_source_still_holds_it(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    take(queue, database_path, file)
    pause_source(queue.database, "default", clock=queue.clock)
    pause_source(queue.database, "new", clock=queue.clock)
    queue.set_source(deferred_until=queue.clock.read().later(60).at, failure_count=3)
    put_back(queue, database_path, file)
    row = again.source_row()
    assert row.paused_at is not None
    assert (row.deferred_until, row.failure_count) == (queue.clock.read().later(60).at, 3)
    assert again.rows("SELECT count(*) FROM sources WHERE paused_at IS NOT NULL") == [(2,)]


def test_keys_revoked_since_stay_so_and_nobody_is_signed_in(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    for name in ("one", "two"):
        queue.change(KEY, name=name, revoked=None)
    queue.change("INSERT INTO browser_sessions VALUES ('s', 'one', :at, :at)", at=AT)
    take(queue, database_path, file)
    queue.change("UPDATE api_keys SET revoked_at = :at WHERE name = 'one'", at=AT)
    queue.change(KEY, name="three", revoked=None)
    put_back(queue, database_path, file)
    assert again.rows("SELECT name, revoked_at FROM api_keys ORDER BY name") == [
        ("one", AT),
        ("three", None),
        ("two", None),
    ]
    assert again.rows("SELECT * FROM browser_sessions") == []


def test_ids_that_were_given_away_are_given_to_no_other(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    take(queue, database_path, file)
    queue.submit(range(9))
    claim = queue.claim_in_turn()
    put_back(queue, database_path, file)
    again.submit()
    after = again.claim_in_turn()
    assert after.dispatch_id > claim.dispatch_id
    assert again.rows("SELECT max(id) FROM batches") == [(7,)]
    assert verify(again.database).holds


def counters(queue: Queue) -> tuple[Any, Any]:
    count_dispatches(queue.database)
    with queue.database.read() as connection:
        return dict(read_totals(connection)), dict(read_request_totals(connection))


def test_counters_do_not_go_down_and_count_nothing_twice(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    kind = Kind("/status", "GET", "2xx")
    queue.submit(range(30))
    slow = queue.claim_in_turn()
    for _ in range(2):
        queue.complete(queue.claim_in_turn())
    with queue.database.write() as connection:
        add_request_totals(connection, {Bucket(kind, "0.1"): Sums(2, 0.1)})
    count_dispatches(queue.database)
    queue.complete(queue.claim_in_turn())  # not counted yet
    back_up(database_path, file)
    queue.fail(slow)
    queue.complete(queue.claim_in_turn())
    with queue.database.write() as connection:
        add_request_totals(connection, {Bucket(kind, "0.1"): Sums(1, 0.1)})
    before = counters(queue)
    put_back(queue, database_path, file)
    assert counters(again) == before
    again.complete(again.claim_in_turn())
    assert counters(again)[0]["default"].outcomes == {"completed": 5, "failed": 1}


def test_counters_of_an_emptier_database_take_nothing_from_those_of_the_backup(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    queue.submit()
    queue.complete(queue.claim_in_turn())
    count_dispatches(queue.database)
    back_up(database_path, file)
    queue.change("DELETE FROM dispatches")
    queue.change("UPDATE dispatch_totals SET dispatch_count = 0")
    queue.change("UPDATE dispatch_counting SET counted_up_to = 0")
    put_back(queue, database_path, file)
    assert counters(again)[0]["default"].outcomes == {"completed": 1}


def test_restore_where_the_old_database_cannot_be_read_says_so_and_keeps_it(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    database_path.write_bytes(b"broken" * 1_000)
    database_path.with_name("ingest.db-wal").write_bytes(b"of the broken one")
    done = put_back(queue, database_path, file)
    assert not done.was_read
    assert done.kept.read_bytes() == b"broken" * 1_000
    assert verify(again.database).holds
    assert again.refused().reason is Wait.SLOT


def test_restore_where_there_is_none(queue: Queue, tmp_path: Path, file: Path) -> None:
    take(queue, tmp_path / "ingest.db", file)
    place = tmp_path / "elsewhere" / "ingest.db"
    place.parent.mkdir()
    place.with_name("ingest.db-wal").write_bytes(b"of one that was deleted")
    assert restore(file, place, {"default"}, clock=queue.clock) == Restored(None, was_read=False)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with opened(place) as database:
        assert verify(database).holds


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_restore_that_cannot_be_put_in_place_leaves_the_old_one_with_its_log(
    queue: Queue,
    database_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_links: bool,
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    break_database(database_path, monkeypatch)
    before = files_of(database_path.parent)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(Partial, "put_in_place", fail)
    if not has_links:
        without_links(monkeypatch)
    with pytest.raises(OSError, match="broken"):
        restore(file, database_path, {"default"}, clock=queue.clock)
    assert files_of(database_path.parent) == before


def test_restore_that_fails_when_it_is_in_place_does_not_mix_the_two(
    queue: Queue, database_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    break_database(database_path, monkeypatch)
    sync = partial.sync

    def fail(path: Path) -> None:
        if path.is_dir():
            raise OSError(errno.EIO, "broken")
        sync(path)

    monkeypatch.setattr(partial, "sync", fail)
    with pytest.raises(OSError, match="broken"):
        restore(file, database_path, {"default"}, clock=queue.clock)
    found = files_of(database_path.parent)
    (kept,) = [name for name in found if name.endswith("Z")]
    assert (found[kept], found[f"{kept}-wal"]) == (BROKEN, LOG)
    assert "ingest.db-wal" not in found
    with opened(database_path) as database:
        assert verify(database).holds


def test_restore_where_there_are_no_links_keeps_the_old_one(
    queue: Queue, database_path: Path, file: Path, again: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(queue, database_path, file)
    old = content(database_path)
    without_links(monkeypatch)
    done = put_back(queue, database_path, file)
    assert content(done.kept) == old
    assert verify(again.database).holds


def test_backup_that_begins_while_another_ends_has_its_file_to_itself(file: Path) -> None:
    with ExitStack() as second_ends:
        with beside(file) as first:
            first.path.write_text("first")
            first.put_in_place(may_replace=True)
            second = second_ends.enter_context(beside(file))
            second.path.write_text("second")
        assert stat.S_IMODE(second.path.stat().st_mode) == 0o600
        assert file.read_text() == "first"
        second.put_in_place(may_replace=True)
    assert files_of(file.parent) == {"copy.db": b"second"}


def test_backup_that_waits_for_a_file_which_goes_to_its_place_meanwhile_leaves_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def put_in_place_and_lock(*given: Any) -> None:
        file.with_name(".copy.db.partial").rename(file)
        lock(*given)

    monkeypatch.setattr(fcntl, "flock", put_in_place_and_lock)
    with pytest.raises(MaintenanceRefused, match="Another process"), beside(file):
        pass
    assert file.exists()


def test_backup_whose_process_died_when_it_was_in_place_is_not_written_over(
    queue: Queue, database_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(queue, database_path, file)
    os.link(file, file.with_name(".copy.db.partial"))
    before = file.read_bytes()
    queue.submit()

    def fail(*_: object) -> None:
        raise MaintenanceRefused("broken")

    with monkeypatch.context() as patch:
        patch.setattr(backing_up, "check_copy", fail)
        with pytest.raises(MaintenanceRefused, match="broken"):
            back_up(database_path, file, may_replace=True)
    assert files_of(file.parent) == {"copy.db": before}


@pytest.mark.parametrize(
    ("edit", "has_ended"),
    [
        ("UPDATE batches SET status = 'cancelled' WHERE status = 'yet_to_start'", True),
        ("UPDATE ingestions SET ended_at = created_at", False),
    ],
)
def test_backup_of_a_database_that_a_person_has_just_edited_is_restored(
    queue: Queue, database_path: Path, file: Path, again: Queue, edit: str, has_ended: bool
) -> None:
    queue.submit(range(9))
    queue.change(edit)
    back_up(database_path, file)
    assert not verify(queue.database).holds
    put_back(queue, database_path, file)
    assert again.rows("SELECT ended_at IS NOT NULL FROM ingestions") == [(has_ended,)]
    assert verify(again.database).holds


def test_restore_through_a_link_leaves_the_link(
    queue: Queue, database_path: Path, tmp_path: Path, file: Path
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    link = tmp_path / "link.db"
    link.symlink_to(database_path)
    done = restore(file, link, {"default"}, clock=queue.clock)
    assert link.is_symlink()
    assert done.kept.parent == database_path.parent
    assert done.kept.name.startswith("ingest.db.replaced-")


def test_older_backup_is_migrated_and_a_newer_one_refused(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    take(queue, database_path, file)
    with opened(file) as copy:
        alembic(copy, command.downgrade, "0002")
    put_back(queue, database_path, file)
    assert verify(again.database).holds
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused(queue, database_path, file, "9999")


def refused(queue: Queue, database_path: Path, file: Path, why: str) -> None:
    """It is not restored, and what is there stays as it is."""
    queue.database.engine.dispose()
    before, names = content(database_path), {*database_path.parent.iterdir()}
    with pytest.raises(IngestError, match=why):
        restore(file, database_path, {"default"}, clock=queue.clock)
    assert content(database_path) == before
    assert {*database_path.parent.iterdir()} <= names


def test_backup_says_at_once_what_its_restore_would_refuse_and_that_may_be_overridden(
    queue: Queue, database_path: Path, file: Path, again: Queue
) -> None:
    queue.submit()
    queue.complete(queue.claim_in_turn())
    queue.change("UPDATE batches SET status = 'yet_to_start', completed_at = NULL")
    queue.complete(queue.claim_in_turn())
    back_up(database_path, file)
    found = find_in_backup(file)
    assert [each.promise for each in found] == ["P7"]
    refused(queue, database_path, file, "--despite-findings")
    done = restore(file, database_path, {"default"}, clock=queue.clock, despite_findings=True)
    assert done.findings == tuple(found)
    assert again.rows("SELECT status FROM batches") == [("completed",)]


def test_backup_says_nothing_of_what_its_restore_mends_or_migrates(
    queue: Queue, database_path: Path, file: Path
) -> None:
    queue.submit()
    queue.change("UPDATE ingestions SET ended_at = created_at")
    back_up(database_path, file)
    assert not verify(queue.database).holds
    assert find_in_backup(file) == []
    with opened(file) as copy:
        alembic(copy, command.downgrade, "0004")
    assert find_in_backup(file) is None


def test_damage_is_refused_despite_findings(queue: Queue, database_path: Path, file: Path) -> None:
    take(queue, database_path, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM batches WHERE id = 1")
    queue.database.engine.dispose()
    with pytest.raises(MaintenanceRefused, match="refers to a missing one"):
        restore(file, database_path, {"default"}, clock=queue.clock, despite_findings=True)


@pytest.mark.parametrize(
    "name",
    ["ingest.db-wal", "ingest.db-shm", "ingest.db-journal", "ingest-limits.db"],
)
def test_backup_does_not_take_the_name_of_a_file_beside_the_database(
    queue: Queue, database_path: Path, tmp_path: Path, name: str
) -> None:
    queue.submit()
    place = database_path.with_name(name)
    is_there, link = place.exists(), tmp_path / "link.db"
    link.symlink_to(place)
    for file in (place, link):
        with pytest.raises(MaintenanceRefused, match="uses beside"):
            back_up(database_path, file, may_replace=True)
    assert place.exists() is is_there
    assert verify(queue.database).holds


@pytest.mark.parametrize(
    ("code", "kind"), [(13, DatabaseFull), (8, DatabaseUnavailable), (14, DatabaseUnavailable)]
)
def test_only_what_is_damaged_is_taken_for_it(
    queue: Queue,
    database_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[DatabaseError],
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    before = content(database_path)
    error: Any = sqlite.driver_error()("as SQLite says")
    error.sqlite_errorcode = code

    def fail(*_: object) -> None:
        raise error

    for name in ("holding._fold_in_log", "restoring.read_replaced"):
        with monkeypatch.context() as patch:
            patch.setattr(f"ingest_app.maintenance.{name}", fail)
            with pytest.raises(kind, match="as SQLite says"):
                restore(file, database_path, {"default"}, clock=queue.clock)
    monkeypatch.setattr("ingest_app.maintenance.holding._fold_in_log", fail)
    with pytest.raises(kind, match="as SQLite says"):
        compact(database_path)
    assert content(database_path) == before


def test_errors_name_the_file_that_was_given(
    queue: Queue, database_path: Path, file: Path, tmp_path: Path
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    copy = file.with_name("copy of it.db")
    cases: list[tuple[Path, Callable[[], object]]]
    cases = [(file, lambda: restore(file, database_path, {"default"}, clock=queue.clock))]
    cases += [(file, lambda: back_up(file, copy))]
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"x" * 10_000)
    cases += [(broken, lambda: restore(broken, database_path, {"default"}, clock=queue.clock))]
    cases += [(broken, lambda: back_up(broken, copy))]
    for named, fail in cases:
        with pytest.raises(IngestError) as raised:
            fail()
        assert str(named) in str(raised.value)
        assert ".partial" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("DELETE FROM records", "does not verify"),
        ("DROP TABLE alembic_version", "is not a database of this service"),
    ],
)
def test_what_does_not_verify_is_refused(
    queue: Queue, database_path: Path, file: Path, spoil: str, why: str
) -> None:
    take(queue, database_path, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(spoil)
    refused(queue, database_path, file, why)


def test_what_is_no_database_is_refused(queue: Queue, database_path: Path, file: Path) -> None:
    file.write_bytes(b"x" * 10_000)
    refused(queue, database_path, file, "not a database")
    file.write_bytes(b"")
    refused(queue, database_path, file, "not a database")
    file.unlink()
    refused(queue, database_path, file, "no database")
    with pytest.raises(MaintenanceRefused, match="itself"):
        restore(database_path, database_path, set(), clock=queue.clock)


def test_open_database_is_neither_replaced_nor_compacted_however_idle(
    queue: Queue, database_path: Path, file: Path
) -> None:
    take(queue, database_path, file)
    with opened(database_path) as idle:
        idle.engine.connect().close()  # opened, never used, and back in its pool
        queue.database.engine.dispose()
        with pytest.raises(MaintenanceRefused, match="in use"):
            restore(file, database_path, {"default"}, clock=queue.clock)
        with pytest.raises(MaintenanceRefused, match="in use"):
            compact(database_path)
    assert restore(file, database_path, {"default"}, clock=queue.clock).kept
    compact(database_path)


def test_who_waited_for_the_lock_meanwhile_does_not_write_to_the_old_file(
    queue: Queue, database_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(queue, database_path, file)
    queue.database.engine.dispose()
    waiting = _database_that_waits(database_path, file, monkeypatch)
    with pytest.raises(DatabaseUnavailable, match="replaced"), waiting.write() as connection:
        connection.exec_driver_sql("DELETE FROM records")
    waiting.engine.dispose()


def _database_that_waits(path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """One that finds the lock taken, and the file replaced when it gets it."""
    begin, looks = sqlite._try_to_begin, count()

    def replace_first(connection: Connection, *, is_last: bool) -> bool:
        if next(looks):
            return begin(connection, is_last=is_last)
        path.rename(path.with_name("old.db"))
        path.write_bytes(file.read_bytes())
        return False

    monkeypatch.setattr(sqlite, "_try_to_begin", replace_first)
    return Database(create_engine(f"sqlite:///{path}", **sqlite.engine_options()))
