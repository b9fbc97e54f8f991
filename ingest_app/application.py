"""The application, put together: settings, database, dispatcher, routes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import URL, create_engine

from ingest_app import sqlite
from ingest_app.clock import SystemClock
from ingest_app.dashboard import register_dashboard
from ingest_app.database import Database, make_folder_of, parse_url
from ingest_app.dispatcher import Dispatcher
from ingest_app.environment import read_environment
from ingest_app.errors import MigrationError, SettingsError
from ingest_app.extensions import db, migrate
from ingest_app.migrating import migrate as migrate_database
from ingest_app.migrating import schema_is_current, schema_revision
from ingest_app.runtime import Runtime
from ingest_app.settings import Settings, database_url_of, instance_path_of, load_settings
from ingest_app.sources import options_of
from ingest_app.web import register_web
from ingest_app.web.entries import IngestionEntrySchema
from ingest_app.webhooks import Webhooks


def create_app(overrides: Mapping[str, object] | None = None) -> Flask:
    """The application, its database created and migrated; no thread runs yet.

    overrides: settings by name that come before environment and file.
    Raises SettingsError, MigrationError or DatabaseError.
    """
    app, settings = _configure(overrides or {})
    runtime = Runtime(settings, _open_database(app, settings), SystemClock())
    runtime.attach(app)
    if settings.dispatch:
        webhooks = Webhooks(runtime, describe=IngestionEntrySchema().dump)
        Dispatcher(runtime, webhooks).attach(app)
    register_web(app)
    register_dashboard(app)
    return app


def configured_database_path() -> Path:
    """The database file that the settings name; it need not exist. Raises SettingsError."""
    return Path(str(_configured_url().database))


@contextmanager
def configured_database() -> Iterator[Database]:
    """The database that the settings name, for as long as the block lasts; nothing is migrated.

    Raises SettingsError when there is none, MigrationError when its schema is not this version's.
    """
    url = _configured_url()
    if not Path(str(url.database)).is_file():
        raise SettingsError(f"There is no database {url.database} yet; the service makes it.")
    database = Database(create_engine(url, **sqlite.engine_options()))
    try:
        if not schema_is_current(database):
            raise MigrationError(
                f"The schema of {url.database} is not that of this version: ingest db upgrade"
                " brings an older one to it."
            )
        yield database
    finally:
        database.engine.dispose()


def upgrade_database() -> tuple[Path, str | None, str | None]:
    """Create or migrate the database that the settings name: its file, revision before and now.

    Raises SettingsError, MigrationError or DatabaseError.
    """
    url = _configured_url()
    make_folder_of(url)
    database = Database(create_engine(url, **sqlite.engine_options()))
    try:
        before = schema_revision(database)
        migrate_database(database)
        return Path(str(url.database)), before, schema_revision(database)
    finally:
        database.engine.dispose()


def _configured_url() -> URL:
    given = read_environment()
    instance_path = Path(Flask(__package__, instance_path=instance_path_of(given)).instance_path)
    return parse_url(database_url_of(instance_path, given), instance_path)


def _configure(overrides: Mapping[str, object]) -> tuple[Flask, Settings]:
    given = {**read_environment(), **overrides}
    app = Flask(__package__, instance_path=instance_path_of(given))
    settings = load_settings(
        Path(app.instance_path), given, options_of=options_of, environ=os.environ
    )
    return app, settings


def _open_database(app: Flask, settings: Settings) -> Database:
    url = parse_url(settings.database_url, Path(app.instance_path))
    make_folder_of(url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = sqlite.engine_options()
    db.init_app(app)
    migrate.init_app(app)
    with app.app_context():
        database = Database(db.engine)
    migrate_database(database)
    return database
