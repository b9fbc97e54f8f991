"""Counters on the real file: shared by threads and processes; deleted, locked, damaged, full."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest_app.access import counter_file
from ingest_app.access.counters import Counters
from tests.support.clocks import FakeClock
from tests.support.counting import (
    LIMIT,
    PATIENCE_SECONDS,
    allowed_count,
    known,
    spend_alone,
    spend_shared,
)
from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.racing import Crew, in_threads

Make = Callable[..., Counters]


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The database that the counters lie beside."""
    path = tmp_path / "ingest.db"
    path.touch(0o640)
    return path


@pytest.fixture
def make(beside: Path, clock: FakeClock) -> Iterator[Make]:
    """Counters as another worker has them, with a connection of their own."""
    made = []

    def make(**more: float) -> Counters:
        made.append(Counters(beside, clock, **more))
        return made[-1]

    yield make
    for counters in made:
        counters.close()


@pytest.fixture
def counters(make: Make) -> Counters:
    return make()


def _overwrite(path: Path, begin: int) -> None:
    kept = path.read_bytes()[:begin]
    path.write_bytes(kept + b"no database " * 1000)


def _other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE buckets; CREATE TABLE buckets (other);")


def test_workers_share_one_count(make: Make) -> None:
    one, other = make(), make()
    assert allowed_count(one, 30) + allowed_count(other, 30) == LIMIT
    refused = known(one.take("key a", LIMIT))
    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert known(one.take("key b", LIMIT)).remaining == LIMIT - 1


def test_threads_are_allowed_the_limit_exactly(make: Make) -> None:
    counters = make(patience_seconds=PATIENCE_SECONDS)
    assert sum(in_threads(8, lambda: allowed_count(counters))) == LIMIT


def test_processes_are_allowed_the_limit_exactly(beside: Path, crew: Crew) -> None:
    assert sum(crew.run(spend_shared, beside)) == LIMIT


def test_processes_that_count_alone_are_allowed_more(beside: Path, crew: Crew) -> None:
    """The negative control of the test above."""
    assert sum(crew.run(spend_alone, beside)) == 4 * LIMIT


def test_transaction_is_what_keeps_threads_from_counting_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it two workers read the same count, and both are allowed."""
    one, other = make(), make()
    allowed_count(one, LIMIT - 1)
    begun = counter_file.CounterFile.writing

    def overtaken(file: counter_file.CounterFile, deadline: float) -> object:
        monkeypatch.setattr(counter_file.CounterFile, "writing", begun)
        assert known(other.take("key a", LIMIT)).is_allowed  # after the look, before the lock
        return begun(file, deadline)

    monkeypatch.setattr(counter_file.CounterFile, "writing", overtaken)
    assert not known(one.take("key a", LIMIT)).is_allowed


def test_refusal_stores_nothing_and_takes_no_lock(counters: Counters) -> None:
    allowed_count(counters, LIMIT)
    with closing(sqlite3.connect(counters.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not known(counters.take("key a", LIMIT)).is_allowed


def test_look_makes_no_file_and_counts_nothing(counters: Counters) -> None:
    assert known(counters.look("address x", 10)).remaining == 10
    assert not counters.path.exists()
    counters.take("address x", 10)
    assert [known(counters.look("address x", 10)).remaining for _ in range(2)] == [9, 9]


def test_file_has_the_permissions_of_the_database(counters: Counters, beside: Path) -> None:
    counters.take("key a", LIMIT)
    names = sorted(path.name for path in beside.parent.iterdir())
    assert names == [
        "ingest-limits.db",
        "ingest-limits.db-shm",
        "ingest-limits.db-wal",
        "ingest.db",
    ]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in beside.parent.iterdir()}
    assert modes == {0o640}


@pytest.mark.parametrize("gone", ["-limits.db", "-limits.db-wal", ""], ids=str)
def test_deleted_while_it_runs_it_begins_anew_for_all(make: Make, beside: Path, gone: str) -> None:
    one, other = make(), make()
    assert allowed_count(one, 30) + allowed_count(other, 30) == LIMIT
    for path in beside.parent.glob("ingest-limits.db*"):
        if path.name.endswith(gone):
            path.unlink()
    for counters in (one, other, one, other):
        counters.take("key a", 2 * LIMIT)  # perhaps in vain: the first that notices mends it
    left = known(make().look("key a", 2 * LIMIT)).remaining
    assert left >= 2 * LIMIT - 4
    assert known(one.look("key a", 2 * LIMIT)).remaining == left
    assert known(other.look("key a", 2 * LIMIT)).remaining == left


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: _overwrite(path, 100), id="overwritten but for its header"),
        pytest.param(_other_tables, id="tables of another"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
def test_damaged_file_lets_one_through_and_begins_anew(
    make: Make, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    before = make()
    before.take("key a", LIMIT)
    before.close()
    harm(before.path)
    counters = make()
    first = counters.take("key a", LIMIT)
    assert first is None or first.remaining == LIMIT - 1
    assert known(counters.take("key a", LIMIT)).is_allowed
    assert len(_complaints(caplog)) == (first is None)


def _foreign_counters(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE buckets (mine); INSERT INTO buckets VALUES (1);")


def _foreign_log(path: Path) -> None:
    _foreign_counters(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA application_id = 1")


def _foreign_damage(path: Path) -> None:
    _foreign_counters(path)
    path.write_bytes(path.read_bytes()[:4096])  # SQLite cannot even read whose it is


@pytest.mark.parametrize(
    "make_file",
    [_foreign_counters, _foreign_log, _foreign_damage, lambda path: _overwrite(path, 0)],
    ids=["with buckets", "with a log and a mark", "cut short", "no database"],
)
def test_file_of_somebody_else_stays_as_it_is_and_nothing_is_limited(
    counters: Counters, caplog: pytest.LogCaptureFixture, make_file: Callable[[Path], None]
) -> None:
    counters.path.touch()
    make_file(counters.path)
    before = counters.path.read_bytes()
    assert [counters.take("key a", LIMIT), counters.look("key a", LIMIT)] == [None, None]
    assert counters.path.read_bytes() == before
    assert len(_complaints(caplog)) == 1
    counters.path.unlink()
    assert known(counters.take("key a", LIMIT)).remaining == LIMIT - 1


@pytest.mark.parametrize(
    "held",
    [
        "{",
        '"x"',
        "[1, 2]",
        "[[NaN, 1]]",
        "[[1e999, 1]]",
        "[[1" + "0" * 400 + ", 1]]",
        '[["a", "b"]]',
        "null",
        "",
    ],
)
def test_bucket_that_a_person_broke_counts_as_empty(counters: Counters, held: str) -> None:
    counters.take("key a", LIMIT)
    with closing(sqlite3.connect(counters.path, isolation_level=None)) as connection:
        connection.execute("UPDATE buckets SET spent = ?", (held,))
    assert known(counters.take("key a", LIMIT)).remaining == LIMIT - 1


def test_locked_file_lets_through_after_a_moment_and_says_so_once(
    counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    counters.take("key a", LIMIT)
    with closing(sqlite3.connect(counters.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert [counters.take("key a", LIMIT) for _ in range(5)] == [None] * 5
        assert time.monotonic() - begun < 5  # SQLite's own patience, for each of them
        other.execute("ROLLBACK")
    assert len(_complaints(caplog)) == 1
    assert known(counters.take("key a", LIMIT)).remaining == LIMIT - 2


def test_waiting_threads_wait_together_not_one_after_the_other(make: Make) -> None:
    counters = make(patience_seconds=1.0)
    counters.take("key a", LIMIT)
    with closing(sqlite3.connect(counters.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert in_threads(8, lambda: counters.take("key a", LIMIT)) == [None] * 8
        assert time.monotonic() - begun < 8 / 2


def test_file_that_cannot_be_opened_lets_through(
    counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    counters.path.mkdir()
    assert counters.take("key a", LIMIT) is None
    assert len(_complaints(caplog)) == 1
    counters.path.rmdir()
    assert known(counters.take("key a", LIMIT)).is_allowed


def test_fork_has_a_connection_of_its_own(beside: Path) -> None:
    command = [sys.executable, "-m", "tests.support.counting", str(beside)]
    subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS)


def test_buckets_that_are_over_are_swept(counters: Counters, clock: FakeClock) -> None:
    for number in range(300):
        counters.take(f"address {number}", 10)
    assert _bucket_count(counters) == 300
    clock.move(61)
    for number in range(150):
        counters.take(f"address new {number}", 10)
    assert _bucket_count(counters) == 150


def test_size_is_bounded_also_within_a_minute(
    counters: Counters, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter_file, "MOST_PAGES", 16)
    for number in range(3_000):
        counters.take(f"address {number}", 10)
        if number % 100 == 0:
            clock.move(1)
    assert counters.path.stat().st_size <= 20 * 4096
    assert known(counters.look("address 2999", 10)).remaining == 9  # the newest are there
    monkeypatch.undo()
    for number in range(3_000):
        counters.take(f"address again {number}", 10)
    assert counters.path.stat().st_size > 20 * 4096  # the negative control


def _bucket_count(counters: Counters) -> int:
    with closing(sqlite3.connect(counters.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM buckets").fetchone()[0])


def _complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.event == "limits_unavailable"]  # type: ignore[attr-defined]
