"""What the operator calls where the service runs."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest_app.cli import main
from ingest_app.cli.serve import command_for
from ingest_app.webhook_settings import new_secret


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


def test_serve_says_in_one_line_that_the_environment_has_no_number_of_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *command: started.append(command))
    monkeypatch.setenv("WEB_CONCURRENCY", "two")
    result = CliRunner().invoke(main, ["serve"])
    assert (result.exit_code, started) == (2, [])
    assert result.stderr.splitlines() == [
        "ingest: WEB_CONCURRENCY must be a whole number from 1 to 9999, not 'two'."
    ]


def check_settings(**settings: str) -> Result:
    environ = {f"INGEST_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(main, ["settings", "--check"], env=environ)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param({"max_ids": "0"}, "INGEST_MAX_IDS (max_ids): Must be", id="a value"),
        pytest.param(
            {"database_url": "/data/ingest.db"},
            "database_url is not a database address, as sqlite:////",
            id="a path in place of the address",
        ),
        pytest.param(
            {"webhook_url": "http://*.example/x", "webhook_secret": new_secret()},
            "webhook_url: its host is none that can exist.",
            id="a host that cannot be",
        ),
        pytest.param({"bind": "0.0.0.0:80"}, "No API key has been created, and 0.0.0.0", id="open"),
        pytest.param({"bind": "127.0.0.1:1,:80"}, "No API key has been created", id="also open"),
        pytest.param({"bind": "127.0.0.1:x"}, "INGEST_BIND: 'x' is not", id="no number of a port"),
        pytest.param({"bind": "127.0.0.1:65536"}, "INGEST_BIND: there is no port", id="no port"),
    ],
)
def test_check_refuses_what_the_service_would_refuse_and_makes_nothing(
    folder: Path, settings: dict[str, str], told: str
) -> None:
    result = check_settings(**settings)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"ingest: {told}")
    assert not folder.exists()


@pytest.mark.usefixtures("folder")
def test_check_names_variables_that_set_nothing() -> None:
    result = check_settings(intervall="3", interval_seconds="3")
    assert (result.exit_code, len(result.stderr.splitlines())) == (0, 1)
    assert result.stderr.startswith("INGEST_INTERVALL is no setting")


def test_check_refuses_no_number_of_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "0")
    assert check_settings().exit_code == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="by default"),
        pytest.param({"bind": "unix:/run/s"}, id="a socket of this machine"),
        pytest.param({"bind": "0.0.0.0:80", "allow_anonymous": "true"}, id="wanted so"),
    ],
)
def test_check_lets_pass_what_the_service_would_and_makes_nothing(
    folder: Path, settings: dict[str, str]
) -> None:
    result = check_settings(**settings)
    address = settings.get("bind", "127.0.0.1:8000")
    assert result.stdout == f"The service can start with these settings, at {address}.\n"
    assert not folder.exists()


def test_check_asks_the_database_for_keys(folder: Path) -> None:
    upgrade()
    assert check_settings(bind="0.0.0.0:80").exit_code == 2
    create = ["keys", "create", "anna", "--role", "operator"]
    assert CliRunner().invoke(main, create).exit_code == 0
    assert check_settings(bind="0.0.0.0:80").exit_code == 0
    with closing(sqlite3.connect(folder / "ingest.db")) as connection:  # as an older version's
        connection.execute("DROP TABLE api_keys")
    assert "No API key" in check_settings(bind="0.0.0.0:80").stderr
