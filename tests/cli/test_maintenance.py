"""`ingest backup`, `restore`, `prune` and `db compact` as an operator calls them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ingest_app.cli import main
from ingest_app.cli import restore as restoring
from ingest_app.maintenance.sole import alone_at
from ingest_app.settings import SourceSettings
from tests.support.clocks import FakeClock
from tests.support.queues import Queue, opened


@pytest.fixture
def ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`ingest …` on a database with two ingestions, one of which ended long ago."""
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path))

    def run(*arguments: object, **more: Any) -> Result:
        return CliRunner().invoke(main, [str(each) for each in arguments], **more)

    assert run("db", "upgrade").exit_code == 0
    with opened(tmp_path / "ingest.db") as database:
        queue = Queue(database, SourceSettings(interval_seconds=0), FakeClock())
        queue.submit()
        queue.complete(queue.claim())
        queue.submit()
    return run


def test_backup_says_what_it_has_written(ingest: Any, tmp_path: Path) -> None:
    told = ingest("backup", tmp_path / "one.db")
    assert told.exit_code == 0
    assert told.stdout.startswith(f"{tmp_path / 'one.db'}: ")
    told = json.loads(ingest("backup", tmp_path / "two.db", "--json").stdout)
    assert told["bytes"] == (tmp_path / "two.db").stat().st_size
    assert told["database"] == str(tmp_path / "ingest.db")
    assert told["seconds"] >= 0
    assert told["findings"] == []


def test_what_speaks_against_a_promise_is_told_with_the_backup_and_may_be_restored(
    ingest: Any, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "ingest.db")) as connection, connection:
        connection.execute("DELETE FROM records")
    file = tmp_path / "one.db"
    told = ingest("backup", file)
    assert told.exit_code == 1
    assert "P" in told.stderr
    assert "--despite-findings" in told.stderr
    told = ingest("backup", file, "--force", "--json")
    assert (told.exit_code, len(json.loads(told.stdout)["findings"])) == (1, 1)
    told = ingest("backup", file, "--force", "--no-verify", "--json")
    assert (told.exit_code, json.loads(told.stdout)["findings"]) == (0, None)
    refused = ingest("restore", file, "--yes")
    assert (refused.exit_code, "--despite-findings" in refused.stderr) == (2, True)
    done = ingest("restore", file, "--yes", "--despite-findings", "--json")
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["findings"]) == 1


def test_backup_that_exists_is_replaced_only_by_force(ingest: Any, tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    assert ingest("backup", file).exit_code == 0
    refused = ingest("backup", file)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert ingest("backup", file, "--force").exit_code == 0
    refused = ingest("backup", tmp_path / "no" / "folder")
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"ingest: There is no folder {tmp_path}/no.\n",
    )


def test_restore_asks_on_a_terminal_and_refuses_without(
    ingest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.db"
    ingest("backup", file)
    refused = ingest("restore", file)
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    monkeypatch.setattr(restoring, "_is_asked", lambda: True)
    assert ingest("restore", file, input="n\n").exit_code == 130
    assert list(tmp_path.glob("*.replaced-*")) == []
    assert ingest("restore", file, input="y\n").exit_code == 0
    assert len(list(tmp_path.glob("*.replaced-*"))) == 1


def test_restore_tells_where_the_old_one_is_and_what_it_could_not_know(
    ingest: Any, tmp_path: Path
) -> None:
    file = tmp_path / "one.db"
    ingest("backup", file)
    done = ingest("restore", file, "--yes", "--json")
    told = json.loads(done.stdout)
    assert (told["was_read"], Path(told["kept"]).exists()) == (True, True)
    assert "fetched again" in done.stderr
    assert "revoked" not in done.stderr
    (tmp_path / "ingest.db").unlink()
    done = ingest("restore", file)
    assert done.exit_code == 0
    assert "revoked" in done.stderr
    assert ingest("verify").exit_code == 0


def test_prune_counts_deletes_and_tells(ingest: Any) -> None:
    counted = json.loads(ingest("prune", "--days", "1", "--dry-run", "--json").stdout)
    assert counted == {"ingestion_count": 1, "batch_count": 1, "id_count": 1}
    assert "1 ingestion would" in ingest("prune", "--days", "1", "--dry-run").stdout
    told = json.loads(ingest("prune", "--days", "1", "--json").stdout)
    assert (told["ingestion_count"], told["record_count"]) == (1, 1)
    assert "0 ingestions" in ingest("prune", "--days", "1").stdout


def test_prune_takes_its_term_from_the_settings(
    ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ingest("prune")
    assert (refused.exit_code, "retention_days" in refused.stderr) == (2, True)
    monkeypatch.setenv("INGEST_RETENTION_DAYS", "36600")
    assert "0 ingestions" in ingest("prune").stdout
    monkeypatch.setenv("INGEST_RETENTION_DAYS", "often")
    assert ingest("prune").exit_code == 2
    assert ingest("prune", "--days", "-1").exit_code == 2


def test_prune_beside_another_says_so(ingest: Any, tmp_path: Path) -> None:
    with alone_at(tmp_path):
        refused = ingest("prune", "--days", "1")
    assert (refused.exit_code, "Another process" in refused.stderr) == (2, True)


def test_compact_says_how_large_it_is(ingest: Any, tmp_path: Path) -> None:
    told = json.loads(ingest("db", "compact", "--json").stdout)
    assert told["bytes_after"] == (tmp_path / "ingest.db").stat().st_size
    assert ingest("db", "compact").exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("backup", "one.db"),
        ("db", "compact"),
        ("keys", "list"),
        ("prune", "--days", "1"),
        ("prune", "--days", "1", "--dry-run"),
        ("verify",),
    ],
    ids=" ".join,
)
def test_all_say_the_same_where_there_is_no_database(
    ingest: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    database = tmp_path / "ingest.db"
    database.unlink()
    refused = ingest(*command)
    told = f"There is no database {database} yet; the service makes it."
    assert (refused.exit_code, told in refused.stderr) == (2, True)
    assert len(refused.stderr.splitlines()) == 1
    assert not database.exists()
