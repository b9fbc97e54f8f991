"""Starts on nothing, in a crowd, with wrong settings; and commands that are not the service."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from ingest_app.migrating import migrations_folder
from ingest_app.webhook_settings import new_secret
from tests.support.service import flask, gunicorn, instance_path, run_to_end, running

from .conftest import write_sources


@pytest.mark.faults
@pytest.mark.parametrize("_again", range(4))
def test_workers_that_start_at_once_on_nothing_migrate_once(tmp_path: Path, _again: int) -> None:
    with running(tmp_path, gunicorn("--workers", "4"), simulated_latency_seconds=0) as service:
        service.wait_for_log("dispatcher_started", count=4)
        service.ingest([1, 2, 3])
        ledger = service.wait_until_all_ended()
        assert "ERROR" not in service.log
        assert service.log.count("Booting worker") == 4
    assert len(ledger.calls()) == 1


WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "negative": ({"interval_seconds": -1}, "", "interval_seconds"),
    "not-a-number": ({"batch_size": "three"}, "", "batch_size"),
    "another-database": ({"database_url": "mysql://localhost/x"}, "", "database_url"),
    "no-such-file": ({"config": "missing.toml"}, "", "missing.toml"),
    "unknown-key": ({}, "intervall_seconds = 5\n", "intervall_seconds"),
    "not-toml": ({}, "interval_seconds = = 5\n", "ingest.toml"),
    "no-such-host": (
        {"webhook_url": "http://*.example/x", "webhook_secret": new_secret()},
        "",
        "webhook_url",
    ),
    "no-such-port": ({"bind": "127.0.0.1:none"}, "", "INGEST_BIND"),
    "unknown-kind": ({}, "[sources.a]\nkind = 'ftp'\n", "sources.a.kind"),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.e2e if case == "negative" else pytest.mark.faults)
        for case in WRONG
    ],
)
def test_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, case: str) -> None:
    settings, toml, named = WRONG[case]
    write_sources(tmp_path, toml)
    ended = run_to_end(gunicorn("--workers", "1"), tmp_path, **settings)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "dispatcher_started" not in ended.stderr


@pytest.mark.faults
def test_file_that_is_no_database_stops_the_start_and_is_named(tmp_path: Path) -> None:
    write_sources(tmp_path, "")
    (instance_path(tmp_path) / "ingest.db").write_bytes(b"not a database " * 100)
    ended = run_to_end(gunicorn("--workers", "1"), tmp_path)
    assert ended.returncode == 2
    assert "ingest.db" in ended.stderr


@pytest.mark.faults
def test_database_of_a_newer_version_stops_the_start_and_is_left_alone(tmp_path: Path) -> None:
    assert run_to_end(flask("db", "upgrade"), tmp_path).returncode == 0
    database = instance_path(tmp_path) / "ingest.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    ended = run_to_end(gunicorn("--workers", "1"), tmp_path)
    assert ended.returncode != 0
    assert "9999" in ended.stderr
    assert _revision(database) == ("9999",)


@pytest.mark.faults
def test_flask_db_upgrades_downgrades_and_tells_the_revision(tmp_path: Path) -> None:
    database = instance_path(tmp_path) / "ingest.db"
    (newest,) = ScriptDirectory(str(migrations_folder())).get_heads()
    for arguments, revision in (
        (("upgrade",), (newest,)),
        (("downgrade", "base"), None),
        (("upgrade",), (newest,)),
        (("check",), (newest,)),
    ):
        ended = run_to_end(flask("db", *arguments), tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert _revision(database) == revision
    assert f"{newest} (head)" in run_to_end(flask("db", "current"), tmp_path).stdout


@pytest.mark.e2e
def test_no_thread_runs_in_a_command_line_tool(tmp_path: Path) -> None:
    program = "import threading; print('threads:', threading.active_count())\n"
    ended = run_to_end(flask("shell"), tmp_path, program)
    assert "threads: 1" in ended.stdout, ended.stderr


def _revision(database: Path) -> tuple[str] | None:
    with closing(sqlite3.connect(database)) as connection:
        found: tuple[str] | None = connection.execute("SELECT * FROM alembic_version").fetchone()
    return found
