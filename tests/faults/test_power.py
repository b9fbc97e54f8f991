"""P1 when the power fails: what was acknowledged is among what certainly reached the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.calls import read_calls, recording, unrecorded
from tests.support.ledger import Ledger
from tests.support.preloading import build_library, preloaded
from tests.support.promises import verified
from tests.support.service import Service, gunicorn, instance_path, running

pytestmark = pytest.mark.faults

SETTINGS = {"interval_seconds": 0.05, "simulated_latency_seconds": 0, "lease_seconds": 2}
CLIENT_COUNT = 4
SUBMISSION_COUNT = 250
"""Enough for the journal to be copied into the database, and begun anew, a few times."""

JOURNAL = "ingest.db-wal"
INDEX_OF_JOURNAL = "ingest.db-shm"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library("durable_copy", tmp_path_factory.mktemp("library"))


@pytest.mark.parametrize("database_is_ahead", [False, True])
def test_nothing_acknowledged_is_missing_after_the_power_failed(
    tmp_path: Path, library: Path, database_is_ahead: bool
) -> None:
    calls = tmp_path / "calls"
    command = recording(gunicorn("--workers", "1"), calls)
    with _running_on_watched_disk(tmp_path, command, library) as service:
        acknowledged = _submit_much(service)
        service.kill()
    called = read_calls(calls)  # before there are those of the next start
    _fail_power(tmp_path, database_is_ahead=database_is_ahead)
    with running(tmp_path, command, **SETTINGS) as service:
        ledger = service.ledger()
        assert unrecorded(called, ledger) == []
        assert _missing(acknowledged, ledger) == []
        for ingestion_id in acknowledged[:: SUBMISSION_COUNT // 10]:
            assert service.status(ingestion_id)["ingestion_id"] == ingestion_id
        service.wait_for_dispatches(len(ledger.dispatches) + 10)
        verified(service.database)


def test_commits_that_do_not_wait_for_the_disk_lose_what_was_acknowledged(
    tmp_path: Path, library: Path
) -> None:
    command = [*gunicorn("--workers", "1")[:-1], "tests.support.not_durable_app:app"]
    with _running_on_watched_disk(tmp_path, command, library) as service:
        acknowledged = _submit_much(service)
        service.kill()
    _fail_power(tmp_path, database_is_ahead=False)
    with running(tmp_path, **SETTINGS) as service:
        missing = _missing(acknowledged, service.ledger())
    assert missing
    # What is missing is the end: the test has lost writes, not files.
    assert len(missing) < len(acknowledged)


def _running_on_watched_disk(
    folder: Path, command: Sequence[str], library: Path
) -> AbstractContextManager[Service]:
    _durable(folder).mkdir()
    watched = {"DURABLE_OF": instance_path(folder).resolve(), "DURABLE_TO": _durable(folder)}
    return running(folder, preloaded(command, library, **watched), **SETTINGS)


def _durable(folder: Path) -> Path:
    return folder.resolve() / "durable"


def _submit_much(service: Service) -> list[str]:
    """The ids of the ingestions that were acknowledged, in the order of submission."""

    def submit(first: int) -> str:
        return service.ingest([first, first + 1, first + 2])

    with ThreadPoolExecutor(CLIENT_COUNT) as clients:
        return list(clients.map(submit, range(0, 3 * SUBMISSION_COUNT, 3)))


def _fail_power(folder: Path, *, database_is_ahead: bool) -> None:
    """Leave the service what reached the disk.

    database_is_ahead: later writes to the database reached it too, but none to the journal.
    """
    instance = instance_path(folder)
    before = instance.rename(folder / "before")
    shutil.copytree(_durable(folder), instance, ignore=shutil.ignore_patterns(".part"))
    assert not (instance / INDEX_OF_JOURNAL).exists()
    assert (instance / JOURNAL).exists()
    if database_is_ahead:
        shutil.copyfile(before / "ingest.db", instance / "ingest.db")


def _missing(acknowledged: Sequence[str], ledger: Ledger) -> list[str]:
    stored = {batch.ingestion_id for batch in ledger.batches}
    return [ingestion_id for ingestion_id in acknowledged if ingestion_id not in stored]
