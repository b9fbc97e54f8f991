"""The disk is full, read-only or damaged: nothing goes on unrecorded; with space all resumes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.support.calls import read_calls, recording, unrecorded
from tests.support.promises import verified
from tests.support.service import (
    Service,
    gunicorn,
    instance_path,
    run_to_end,
    running,
    until,
)
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.faults

SETTINGS = {"interval_seconds": 0.2, "simulated_latency_seconds": 0, "lease_seconds": 60}
MOST_SUBMISSIONS = 500
"""What the journal has room for before its file has to grow, many times over."""

PAGE_BYTES = 4096


def test_full_disk_refuses_work_stops_dispatching_and_all_resumes_with_space(
    tmp_path: Path,
) -> None:
    command = recording(gunicorn("--workers", "2", "--preload"), tmp_path / "calls")
    with (
        small_disk(instance_path(tmp_path)) as disk,
        running(tmp_path, command, **SETTINGS) as service,
    ):
        work = _Work(service)
        for _ in range(10):
            assert work.submit().status_code == 200
        workers = service.wait_for_workers(2)
        first = work.acknowledged[0]
        until(lambda: service.status(first)["status"] == "completed", "the first is settled")
        disk.fill()
        refused = work.submit_until_refused()
        _wait_until_dispatching_has_stopped(service)
        before = service.ledger()
        refused += [work.submit() for _ in range(10)]
        service.wait_for_log("dispatch_postponed", service.log.count("dispatch_postponed") + 4)
        assert service.ledger() == before
        assert unrecorded(read_calls(tmp_path / "calls"), before) == []
        assert service.status(first)["status"] == "completed"
        disk.empty()
        assert until(work.submit, "an answer").status_code == 200
        ledger = service.wait_until_all_ended()
        assert service.worker_pids() == workers
        assert "Traceback" not in service.log
        assert unrecorded(read_calls(tmp_path / "calls"), ledger) == []
        assert len(read_calls(tmp_path / "calls")) == len(ledger.batches)
        verified(service.database)
    _check_all_say_when_to_come_back(refused)
    assert {batch.ingestion_id for batch in ledger.batches} == set(work.acknowledged)
    assert {batch.status for batch in ledger.batches} == {"completed"}
    assert ledger.violations() == []


@pytest.mark.parametrize("lease_seconds", [60, 1])
def test_batch_whose_call_returned_on_a_full_disk_is_settled_with_space_and_not_called_again(
    tmp_path: Path, lease_seconds: float
) -> None:
    settings = {**SETTINGS, "simulated_latency_seconds": 1.5, "lease_seconds": lease_seconds}
    command = recording(gunicorn("--workers", "1"), tmp_path / "calls")
    with (
        small_disk(instance_path(tmp_path)) as disk,
        running(tmp_path, command, **settings) as service,
    ):
        work = _Work(service)
        assert work.submit().status_code == 200
        until(lambda: read_calls(tmp_path / "calls"), "the call")
        disk.fill()
        work.submit_until_refused()
        # A try a second. The shorter lease is over by then, though its holder lives; and space
        # returns when the jobs that would take it back run before the next try.
        service.wait_for_log("settle_postponed", count=3)
        disk.empty()
        ledger = service.wait_until_all_ended()
        verified(service.database)
    assert ledger.dispatched_again() == {}
    calls = read_calls(tmp_path / "calls")
    assert len(calls) == len({call.ids for call in calls}) == len(ledger.batches)
    assert {batch.ingestion_id for batch in ledger.batches} == set(work.acknowledged)
    assert ledger.violations() == []


def test_full_disk_makes_the_service_unready(tmp_path: Path) -> None:
    with (
        small_disk(instance_path(tmp_path)) as disk,
        running(tmp_path, **SETTINGS) as service,
    ):
        disk.fill()
        _Work(service).submit_until_refused()
        # For a second it believes what it found before the disk was full.
        until(lambda: service.get("/readyz").status_code != 200, "/readyz notices")
        unready = service.get("/readyz")
        disk.empty()
        service.wait_until_ready()
    _check_all_say_when_to_come_back([unready])


@dataclass(frozen=True)
class _Instance:
    """An instance folder that is not there yet, a good database for it, and what to undo."""

    folder: Path
    migrated_file: Path
    stack: ExitStack

    @property
    def database(self) -> Path:
        return self.folder / "ingest.db"

    def mount(self) -> SmallDisk:
        return self.stack.enter_context(small_disk(self.folder))

    def migrate(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        return Path(shutil.copyfile(self.migrated_file, self.database))


def _full(instance: _Instance) -> None:
    instance.mount().fill()


def _read_only(instance: _Instance) -> None:
    disk = instance.mount()
    instance.migrate()
    disk.make_read_only()


def _damaged(instance: _Instance) -> None:
    pages = instance.migrate().read_bytes()
    # The first page has the list of tables: without the others SQLite opens the file, no more.
    instance.database.write_bytes(pages[:PAGE_BYTES] + b"\xa5" * (len(pages) - PAGE_BYTES))


def _cut_short(instance: _Instance) -> None:
    instance.database.write_bytes(instance.migrate().read_bytes()[: PAGE_BYTES + 100])


def _not_a_database(instance: _Instance) -> None:
    instance.migrate().write_bytes(b"not a database " * 1000)


def _a_folder(instance: _Instance) -> None:
    instance.database.mkdir(parents=True)


def _newer(instance: _Instance) -> None:
    with closing(sqlite3.connect(instance.migrate(), isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def _folder_cannot_be_made(instance: _Instance) -> None:
    instance.folder.write_text("A file stands where the folder should be.")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_full, "full"),
        (_read_only, "ingest.db cannot be used"),
        (_damaged, "malformed"),
        (_cut_short, "malformed"),
        (_not_a_database, "not a database"),
        (_a_folder, "unable to open"),
        (_newer, "9999"),
        (_folder_cannot_be_made, "instance"),
    ],
)
def test_database_that_cannot_be_used_ends_the_start_with_one_line(
    tmp_path: Path, migrated_file: Path, spoil: Callable[[_Instance], None], named: str
) -> None:
    with ExitStack() as stack:
        spoil(_Instance(instance_path(tmp_path), migrated_file, stack))
        ended = run_to_end(gunicorn("--workers", "2"), tmp_path)
    said = [line for line in ended.stderr.splitlines() if "ingest cannot start: " in line]
    assert ended.returncode != 0
    assert len(said) == 1, ended.stderr
    assert named in said[0]
    assert "Traceback" not in ended.stderr
    assert "Booting worker" not in ended.stderr


class _Work:
    """Submissions of three IDs, none used twice, and which of them were acknowledged."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._first_ids = count(0, 3)
        self.acknowledged: list[str] = []

    def submit(self) -> requests.Response:
        """Submit the next three."""
        first = next(self._first_ids)
        body = {"ids": [first, first + 1, first + 2], "priority": "MEDIUM"}
        answer = self._service.post("/ingest", body)
        if answer.status_code == 200:
            self.acknowledged.append(answer.json()["ingestion_id"])
        return answer

    def submit_until_refused(self) -> list[requests.Response]:
        """Submit until the journal has no room left; the answer that said so."""
        for _ in range(MOST_SUBMISSIONS):
            answer = self.submit()
            if answer.status_code != 200:
                return [answer]
        raise AssertionError(f"{MOST_SUBMISSIONS} submissions fitted on a full disk")


def _wait_until_dispatching_has_stopped(service: Service) -> None:
    # A claim may still find the room that a larger submission could not use.
    seen = service.log.count("dispatch_postponed")
    service.wait_for_log("dispatch_postponed", seen + 4)


def _check_all_say_when_to_come_back(refused: list[requests.Response]) -> None:
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["status"] == 503
        assert "sqlite" not in answer.text.lower()
