"""Which database addresses will do, and what the driver's errors become."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from ingest_app import sqlite
from ingest_app.database import parse_url
from ingest_app.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    SettingsError,
)

INSTANCE = Path("/srv/instance")


def test_file_will_do() -> None:
    assert parse_url("sqlite:////data/ingest.db", INSTANCE).database == "/data/ingest.db"


def test_relative_file_is_below_the_instance_folder() -> None:
    assert parse_url("sqlite:///data/q.db", INSTANCE).database == "/srv/instance/data/q.db"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ingest.db", id="a path is not an address"),
        pytest.param("", id="nothing"),
        pytest.param("sqlite://", id="in memory: lost at a restart"),
        pytest.param("sqlite:///:memory:", id="in memory, by its name"),
        pytest.param("postgresql://host/name", id="another database"),
    ],
)
def test_address_that_will_not_do_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="database_url"):
        parse_url(url, INSTANCE)


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("SQLITE_BUSY", 5, DatabaseBusy),
        ("SQLITE_BUSY_SNAPSHOT", 517, DatabaseBusy),
        ("SQLITE_READONLY", 8, DatabaseUnavailable),
        ("SQLITE_READONLY_DBMOVED", 1032, DatabaseUnavailable),
        ("SQLITE_IOERR_FSYNC", 1034, DatabaseUnavailable),
        ("SQLITE_CORRUPT", 11, DatabaseUnavailable),
        ("SQLITE_FULL", 13, DatabaseFull),
        ("SQLITE_CANTOPEN", 14, DatabaseUnavailable),
        ("SQLITE_NOTADB", 26, DatabaseUnavailable),
        ("SQLITE_ERROR: a mistake in a statement", 1, None),
        ("SQLITE_CONSTRAINT: a mistake in a value", 19, None),
    ],
)
def test_fault_of_the_database_is_told_from_a_mistake(
    name: str, code: int, expected: type[DatabaseError] | None
) -> None:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    assert sqlite.translate(error) is expected


def test_own_sqlite_is_used_where_the_newer_one_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    assert sqlite.engine_options()["module"] is sqlite3


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        pytest.param((3, 40, 1), True, id="of Debian 12"),
        pytest.param((3, 51, 2), True, id="the last one with the fault"),
        pytest.param((3, 51, 3), False, id="the first one without"),
    ],
)
def test_sqlite_that_can_damage_the_file_is_warned_of_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    warned: bool,
) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    sqlite.engine_options()
    assert [message.split()[0] for message in caplog.messages] == ["sqlite_outdated"] * warned
    assert ("pip install" in caplog.text) is warned


def test_error_without_a_code_is_a_mistake() -> None:
    assert sqlite.translate(ValueError("not the database's")) is None


@pytest.mark.parametrize("error", [DatabaseBusy, DatabaseFull, DatabaseUnavailable])
def test_database_errors_say_when_to_try_again(error: type[DatabaseError]) -> None:
    assert error.retry_after_seconds >= 1
