"""What the operator calls where the service runs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest_app.cli import main
from ingest_app.cli.serve import command_for


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The instance folder, which does not exist yet."""
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path / "instance"))
    return tmp_path / "instance"


def upgrade(*options: str) -> Result:
    return CliRunner().invoke(main, ["db", "upgrade", *options])


def test_upgrade_makes_the_database_and_then_finds_it_made(folder: Path) -> None:
    told = json.loads(upgrade("--json").stdout)
    assert told["database"] == str(folder / "ingest.db")
    assert (told["before"], told["after"] is None) == (None, False)
    again = upgrade()
    assert (again.exit_code, again.stdout) == (
        0,
        f"{folder / 'ingest.db'}: schema {told['after']} already.\n",
    )


def test_upgrade_of_a_newer_database_is_refused_with_one_line(folder: Path) -> None:
    upgrade()
    with closing(sqlite3.connect(folder / "ingest.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    result = upgrade()
    assert result.exit_code == 2
    assert "newer than this version" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_setting_that_cannot_be_used_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_DATABASE_URL", "mysql://here")
    result = upgrade()
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not folder.exists()


def test_serve_runs_gunicorn_with_our_defaults_and_then_what_is_wished() -> None:
    command = command_for("0.0.0.0:80", 3, ["--threads", "16"])
    assert command[1].endswith("gunicorn")
    assert command[2:] == [
        "-c",
        "python:ingest_app.gunicorn_defaults",
        "--bind",
        "0.0.0.0:80",
        "--workers",
        "3",
        "--threads",
        "16",
        "ingest_app:create_app()",
    ]
    assert command_for(None, None, [])[4:] == ["ingest_app:create_app()"]


@pytest.mark.parametrize("workers", ["0", "many"])
def test_serve_needs_workers(workers: str) -> None:
    assert CliRunner().invoke(main, ["serve", "--workers", workers]).exit_code == 2


def test_settings_are_checked_without_touching_the_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CliRunner().invoke(main, ["settings", "--check"]).exit_code == 0
    monkeypatch.setenv("INGEST_MAX_IDS", "0")
    result = CliRunner().invoke(main, ["settings", "--check"])
    assert result.exit_code == 2
    assert result.stderr.startswith("ingest: INGEST_MAX_IDS (max_ids): Must be")
    assert not folder.exists()
