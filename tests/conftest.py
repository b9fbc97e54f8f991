"""A clock moved by hand, and a queue on a migrated SQLite file of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_app.database import Database
from ingest_app.migrating import migrate
from ingest_app.settings import SourceSettings
from tests.support.clocks import FakeClock
from tests.support.queues import Queue, opened


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=1000, help="how often the soak kills")
    parser.addoption("--seed", type=int, help="repeat a run of random faults")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source() -> SourceSettings:
    """A source on the defaults."""
    return SourceSettings()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the migrations make of an empty file; tests get copies, which are quicker."""
    path = tmp_path_factory.mktemp("migrated") / "ingest.db"
    with opened(path) as database:
        migrate(database)
    return path


@pytest.fixture
def database_path(tmp_path: Path, migrated_file: Path) -> Path:
    return Path(shutil.copyfile(migrated_file, tmp_path / "ingest.db"))


@pytest.fixture
def database(database_path: Path) -> Iterator[Database]:
    with opened(database_path) as database:
        yield database


@pytest.fixture
def queue(database: Database, source: SourceSettings, clock: FakeClock) -> Queue:
    return Queue(database, source, clock)
