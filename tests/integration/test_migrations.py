"""The schema comes from the migrations; it is the one the models describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from ingest_app import migrating, models, sqlite
from ingest_app.database import Database
from ingest_app.errors import DatabaseUnavailable, MigrationError
from ingest_app.migrating import migrate, migrations_folder, schema_is_current
from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.totals import count_dispatches
from ingest_app.states import BatchStatus
from ingest_app.verifying import verify
from tests.support.queues import TABLES, Queue, opened
from tests.support.racing import Crew, migrate_and_tell

OBJECTS = """
SELECT type, name, sql FROM sqlite_master
WHERE name NOT LIKE 'sqlite_%' AND name <> 'alembic_version' ORDER BY type, name
"""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path / "empty.db") as database:
        yield database


def alembic(database: Database, verb: Callable[[Config, str], object], revision: str) -> None:
    """What `flask db upgrade` and `downgrade` do, as the service calls it."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with database.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            verb(config, revision)
        connection.invalidate()


def objects(database: Database) -> list[tuple[str, str, str]]:
    """Everything in the schema, each with the lines of its SQL in one order."""
    with database.read() as connection:
        found = connection.exec_driver_sql(OBJECTS).all()
    return [(kind, name, lines_in_order(sql)) for kind, name, sql in found]


def lines_in_order(sql: str | None) -> str:
    # A table that a migration had to rebuild has quotes around its name.
    plain = re.sub(r'CREATE TABLE "(\w+)"', r"CREATE TABLE \1", sql or "")
    lines = (line.strip().rstrip(",").strip() for line in plain.splitlines())
    return "\n".join(sorted(re.sub(r"\s+", " ", line) for line in lines if line))


@contextmanager
def made_by_the_models(path: Path) -> Iterator[Database]:
    engine = create_engine(f"sqlite:///{path}", **sqlite.engine_options())
    models.Base.metadata.create_all(engine)
    try:
        yield Database(engine)
    finally:
        engine.dispose()


def differences(database: Database) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, models.Base.metadata))


def test_alembic_finds_no_difference_between_models_and_migrations(database: Database) -> None:
    assert differences(database) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE sources ADD COLUMN extra TEXT",
        "ALTER TABLE sources DROP COLUMN next_slot_boot_seconds",
        "DROP INDEX ix_batches_for_retry",
        "CREATE TABLE extra (id INTEGER PRIMARY KEY)",
    ],
)
def test_difference_is_seen_by_alembic(queue: Queue, change: str) -> None:
    # The negative control of the test above.
    queue.change(change)
    assert differences(queue.database) != []


def test_tables_checks_and_indexes_are_those_of_the_models(
    database: Database, tmp_path: Path
) -> None:
    # Alembic compares no CHECK, no condition of an index, no AUTOINCREMENT, no WITHOUT ROWID.
    migrated = [thing for thing in objects(database) if thing[0] != "view"]
    with made_by_the_models(tmp_path / "models.db") as by_models:
        assert migrated == objects(by_models)


def test_difference_in_a_check_is_seen_by_that_comparison(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The negative control of the test above.
    (check,) = (one for one in models.batches.constraints if one.name == "ck_batches_attempt_count")
    monkeypatch.setattr(models.batches, "constraints", models.batches.constraints - {check})
    migrated = [thing for thing in objects(database) if thing[0] != "view"]
    with made_by_the_models(tmp_path / "models.db") as by_models:
        assert migrated != objects(by_models)


def test_views_are_there_with_the_columns_people_rely_on(database: Database) -> None:
    with database.read() as connection:
        inspector = inspect(connection)
        assert set(inspector.get_view_names()) == {"ingestion_status", "queue"}
        found = {
            view: [column["name"] for column in inspector.get_columns(view)]
            for view in inspector.get_view_names()
        }
    states = [f"{state}_count" for state in BatchStatus]
    assert set(states) < set(found["ingestion_status"])
    assert {column.name for column in models.ingestion_status.columns} <= set(
        found["ingestion_status"]
    )
    assert found["queue"][:3] == ["source", "batch_id", "priority"]


def test_empty_file_is_brought_to_the_newest_schema(empty: Database) -> None:
    assert not schema_is_current(empty)
    migrate(empty)
    assert schema_is_current(empty)


def test_migrating_waits_for_who_is_at_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than SQLite waits by itself.
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    path = tmp_path / "empty.db"
    with opened(path) as empty, opened(path) as another, another.engine.connect() as holder:
        driver = holder.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def let_go_at_the_third(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                driver.execute("COMMIT")

        monkeypatch.setattr("ingest_app.migrating.time.sleep", let_go_at_the_third)
        migrate(empty)
        assert len(waits) == 3
        assert schema_is_current(empty)


def test_second_start_changes_nothing(queue: Queue) -> None:
    queue.submit(range(7))
    before = queue.everything(), objects(queue.database)
    migrate(queue.database)
    assert (queue.everything(), objects(queue.database)) == before


def test_migrated_database_has_no_connection_open(empty: Database) -> None:
    migrate(empty)
    assert empty.engine.pool.checkedin() == 0  # type: ignore[attr-defined]


def test_downgrade_leaves_nothing_behind(queue: Queue) -> None:
    fill(queue)
    alembic(queue.database, command.downgrade, "base")
    assert objects(queue.database) == []
    assert queue.rows("SELECT * FROM alembic_version") == []


def test_downgrade_and_upgrade_again_make_the_same_schema(queue: Queue) -> None:
    fill(queue)
    before = objects(queue.database)
    alembic(queue.database, command.downgrade, "base")
    alembic(queue.database, command.upgrade, "head")
    assert objects(queue.database) == before
    assert queue.everything() == {table: [] for table in TABLES}
    fill(queue)


def test_step_down_and_up_again_keeps_the_rows(queue: Queue) -> None:
    fill(queue)
    queue.change("DELETE FROM packed_batches")
    before = queue.everything()
    alembic(queue.database, command.downgrade, "0001")
    assert queue.rows("SELECT count(*) FROM dispatches") == [(2,)]
    alembic(queue.database, command.upgrade, "head")
    assert queue.everything() == before
    queue.submit()
    assert queue.rows("SELECT seq FROM sqlite_sequence WHERE name = 'dispatches'") == [(2,)]


def test_older_schema_has_what_was_packed_as_batches(queue: Queue) -> None:
    fill(queue)
    cancelled = queue.submit(range(1_501))
    cancel_ingestion(queue.database, cancelled, clock=queue.clock)
    seen = [
        "SELECT source, batch_id, priority, created_at, not_before, ids FROM queue",
        "SELECT * FROM ingestion_status ORDER BY id",
    ]
    before = [queue.rows(sql) for sql in seen]
    newest = queue.rows("SELECT seq FROM sqlite_sequence WHERE name = 'batches'")
    alembic(queue.database, command.downgrade, "0002")
    assert [queue.rows(sql) for sql in seen] == before
    assert queue.rows("SELECT count(*), max(id) FROM batches") == [(3 + 2 * 501, *newest[0])]
    alembic(queue.database, command.upgrade, "head")
    assert [queue.rows(sql) for sql in seen] == before
    assert verify(queue.database).findings == ()


def test_ids_of_batches_that_failed_before_get_a_record(queue: Queue) -> None:
    queue.submit([7, "b", 7])
    queue.fail(queue.claim())
    records = "SELECT position, item_id, outcome, error FROM records"
    before = queue.rows(records)
    alembic(queue.database, command.downgrade, "0001")
    queue.change("DELETE FROM records")  # as the older version left it
    alembic(queue.database, command.upgrade, "head")
    assert queue.rows(records) == before
    assert verify(queue.database).holds


def test_older_schema_reads_a_deferral_as_a_release(queue: Queue) -> None:
    queue.submit()
    queue.defer(queue.claim())
    alembic(queue.database, command.downgrade, "0001")
    assert queue.rows("SELECT outcome FROM dispatches") == [("released",)]


def test_ends_of_before_are_noted(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    for _ in range(2):
        queue.submit()
    cancelled = queue.submit(range(1_501))
    queue.complete(queue.claim())
    cancel_ingestion(queue.database, cancelled, clock=queue.clock)
    ends = "SELECT id, ended_at FROM ingestions ORDER BY id"
    before = queue.rows(ends)
    alembic(queue.database, command.downgrade, "0003")
    alembic(queue.database, command.upgrade, "head")
    assert queue.rows(ends) == before
    assert sum(at is None for _, at in before) == 1


def test_older_schema_forgets_what_is_being_pruned(queue: Queue) -> None:
    queue = queue.using(interval_seconds=0)
    queue.submit()
    queue.complete(queue.claim())
    queue.change("UPDATE ingestions SET pruned_at = '2026-11-29 12:00:00.000000'")
    queue.submit()
    kept = queue.rows("SELECT id FROM ingestions WHERE pruned_at IS NULL")
    alembic(queue.database, command.downgrade, "0003")
    assert queue.rows("SELECT id FROM ingestions") == kept
    assert queue.rows("SELECT ingestion_id FROM batches") == kept
    assert queue.rows("SELECT count(*) FROM records") == [(0,)]


def test_older_schema_leaves_an_idempotency_key_to_the_first_that_had_it(queue: Queue) -> None:
    first = queue.submit(key="key")
    queue.change("UPDATE ingestions SET submitted_by = 'anna'")
    queue.clock.move(1)
    queue.submit(key="key")
    alembic(queue.database, command.downgrade, "0003")
    query = "SELECT id FROM ingestions WHERE idempotency_key IS NOT NULL"
    assert queue.rows(query) == [(first,)]


def test_older_schema_forgets_the_totals_and_they_are_counted_anew(queue: Queue) -> None:
    queue.submit(range(6))
    queue.complete(queue.claim())
    assert count_dispatches(queue.database)
    totals = queue.rows("SELECT * FROM dispatch_totals")
    alembic(queue.database, command.downgrade, "0004")
    alembic(queue.database, command.upgrade, "head")
    assert queue.rows("SELECT * FROM dispatch_totals") == []
    assert count_dispatches(queue.database)
    assert queue.rows("SELECT * FROM dispatch_totals") == totals


def fill(queue: Queue) -> None:
    """A row in every table."""
    queue.submit(range(7))
    queue.complete(queue.claim_in_turn())
    queue.claim_in_turn()
    queue.submit(range(1_501))
    assert all(queue.everything().values())


def test_migration_that_fails_leaves_the_file_as_it_was(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def fail_at_the_end(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("out of order")

    monkeypatch.setattr(command, "upgrade", fail_at_the_end)
    with pytest.raises(RuntimeError):
        migrate(empty)
    assert objects(empty) == []
    assert not schema_is_current(empty)


def test_rows_that_refer_to_missing_ones_stop_a_migration(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def orphan(config: Config, _revision: str) -> None:
        config.attributes["connection"].exec_driver_sql("DELETE FROM ingestions")

    queue.submit()
    before = queue.everything()
    monkeypatch.setattr(migrating, "schema_is_current", lambda _database: False)
    monkeypatch.setattr(command, "upgrade", orphan)
    with pytest.raises(MigrationError, match="missing"):
        migrate(queue.database)
    assert queue.everything() == before


def test_newer_schema_is_refused_and_left_alone(queue: Queue) -> None:
    queue.submit()
    queue.change("UPDATE alembic_version SET version_num = '9999'")
    before = queue.everything(), objects(queue.database)
    assert not schema_is_current(queue.database)
    with pytest.raises(MigrationError, match="9999"):
        migrate(queue.database)
    assert (queue.everything(), objects(queue.database)) == before


def test_tables_of_someone_else_are_refused_and_left_alone(empty: Database) -> None:
    with empty.write() as connection:
        connection.exec_driver_sql("CREATE TABLE batches (mine TEXT)")
    before = objects(empty)
    with pytest.raises(DatabaseUnavailable):
        migrate(empty)
    assert objects(empty) == before


def test_many_processes_migrate_one_file_once(tmp_path: Path, crew: Crew) -> None:
    path = tmp_path / "shared.db"
    revision_count = len(list((migrations_folder() / "versions").glob("[0-9]*.py")))
    assert sum(crew.run(migrate_and_tell, path)) == revision_count
    with opened(path) as database:
        assert schema_is_current(database)
        assert differences(database) == []
