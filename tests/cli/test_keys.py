"""`ingest keys` on a database of its own, and the key that commands send."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from flask import Flask

from ingest_app.access.keys import create_key, revoke_key
from ingest_app.client_answers import Sources
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from tests.support.adapters import Said, Scripted
from tests.support.answers import answer
from tests.support.clocks import FakeClock

from .conftest import Run, one_line, runner_of


@pytest.fixture
def there(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name the application's database."""
    monkeypatch.setenv("INGEST_INSTANCE_PATH", app.instance_path)


@pytest.mark.usefixtures("there")
def test_create_prints_the_key_once_and_it_is_valid(run: Run) -> None:
    created = run("keys", "create", "anna", "--role", "submitter")
    key = created.stdout.strip()
    assert (created.exit_code, key[:4]) == (0, "ing_")
    assert key not in created.stderr
    assert run("submit", 1, env={"INGEST_API_KEY": key}).exit_code == 0
    assert run("pause", env={"INGEST_API_KEY": key}).exit_code == 3
    assert key not in run("keys", "list").stdout
    assert key not in run("keys", "list", "--json").stdout


@pytest.mark.usefixtures("there")
def test_limits_and_owner_are_kept_and_listed(run: Run) -> None:
    limits = ("--max-waiting-ids", 5_000, "--max-requests-per-minute", 60)
    made = run("keys", "create", "a", "--role", "reader", "--owner", "team", *limits, "--json")
    assert json.loads(made.stdout)["owner"] == "team"
    (listed,) = map(json.loads, run("keys", "list", "--json").stdout.splitlines())
    assert (listed["max_waiting_ids"], listed["max_requests_per_minute"]) == (5_000, 60)
    assert listed["revoked_at"] is None
    shown = run("keys", "list").stdout
    assert "5,000" in shown
    assert "team" in shown


@pytest.mark.usefixtures("there")
def test_revoke_ends_it_and_is_listed(run: Run) -> None:
    key = run("keys", "create", "anna", "--role", "operator").stdout.strip()
    assert run("keys", "revoke", "anna").stdout == "anna is revoked.\n"
    assert "not known here, or was revoked" in one_line(
        run("sources", env={"INGEST_API_KEY": key}), 3
    )
    assert json.loads(run("keys", "list", "--json").stdout)["revoked_at"]
    assert json.loads(run("keys", "revoke", "anna", "--json").stdout)["name"] == "anna"


@pytest.mark.usefixtures("there")
def test_times_are_told_as_everywhere_else(
    app: Flask, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    database = runtime_of(app).database
    create_key(database, "anna", Role.READER, clock=clock)
    clock.move(90)
    revoke_key(database, "anna", clock=clock)
    entry = json.loads(run("keys", "list", "--json").stdout)
    assert entry["created_at"] == "2026-03-01T12:00:00.000000Z"
    assert entry["revoked_at"] == "2026-03-01T12:01:30.000000Z"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        shown = run("keys", "list").stdout
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "2026-03-01 21:00:00 JST  2026-03-01 21:01:30 JST" in shown


@pytest.mark.usefixtures("there")
def test_what_cannot_be_done_is_one_line(run: Run) -> None:
    assert "no API key named anna" in one_line(run("keys", "revoke", "anna"), 2)
    assert "no name for" in one_line(run("keys", "create", "a b", "--role", "reader"), 2)
    run("keys", "create", "anna", "--role", "reader")
    again = run("keys", "create", "anna", "--role", "reader")
    assert "already" in one_line(again, 2)
    assert "operator. See: " in one_line(run("keys", "create", "b"), 2)


@pytest.mark.usefixtures("there")
def test_without_a_key_list_says_how_to_begin(run: Run) -> None:
    assert "ingest keys create NAME --role operator" in run("keys", "list").stderr


def test_first_key_may_be_created_before_the_first_start(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path / "new"))
    created = run("keys", "create", "anna", "--role", "operator")
    assert created.exit_code == 0
    assert (tmp_path / "new" / "ingest.db").exists()
    assert f"{tmp_path / 'new' / 'ingest.db'}, which there was not" in created.stderr


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_create_says_which_database_the_key_is_in(
    app: Flask, run: Run, options: tuple[str, ...]
) -> None:
    created = run("keys", "create", "anna", "--role", "operator", *options)
    assert created.stderr.endswith(f"whose database is {app.instance_path}/ingest.db.\n")


def test_without_a_key_a_closed_service_refuses_and_says_how_to_send_one(
    app: Flask, run: Run
) -> None:
    runtime = runtime_of(app)
    create_key(runtime.database, "anna", Role.READER, clock=runtime.clock)
    assert "INGEST_API_KEY" in one_line(run("sources"), 3)


def test_key_is_sent_whatever_netrc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine service.test login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    adapter = Scripted(Said(200, answer(Sources)))
    assert runner_of(adapter)("sources", env={"INGEST_API_KEY": "ing_x"}).exit_code == 0
    (request,) = adapter.requests
    assert request.headers["Authorization"] == "Bearer ing_x"


def test_key_that_cannot_be_one_is_not_shown(run: Run) -> None:
    told = one_line(run("sources", env={"INGEST_API_KEY": "secret\nX: y"}), 2)
    assert "INGEST_API_KEY" in told
    assert "secret" not in told


def test_database_that_is_made_is_for_owner_and_group_alone(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path / "new"))
    before = os.umask(0)
    try:
        run("keys", "create", "anna", "--role", "operator")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "ingest.db").stat().st_mode) == 0o660
