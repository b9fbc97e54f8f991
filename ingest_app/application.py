"""The application, put together: settings, database, dispatcher, routes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import URL, create_engine, inspect

from ingest_app import processes, sqlite
from ingest_app.access.keys import is_open
from ingest_app.clock import SystemClock
from ingest_app.dashboard import register_dashboard
from ingest_app.database import Database, make_file_of, open_for_reading, parse_url
from ingest_app.dispatcher import Dispatcher
from ingest_app.environment import read_environment, warn_of_unknown_settings
from ingest_app.errors import NoDatabase, SettingsError
from ingest_app.extensions import db, migrate
from ingest_app.logs import log_json_to_stderr
from ingest_app.migrating import check_schema, schema_revision
from ingest_app.migrating import migrate as migrate_database
from ingest_app.models import api_keys
from ingest_app.runtime import Runtime
from ingest_app.settings import (
    LOG_FORMATS,
    Settings,
    StoreSettings,
    instance_path_of,
    load_settings,
    load_store_settings,
    log_format_of,
)
from ingest_app.sources import options_of
from ingest_app.starting import check_startable
from ingest_app.tracing import trace_requests
from ingest_app.web import register_web
from ingest_app.web.access import needed_roles
from ingest_app.web.entries import IngestionEntrySchema
from ingest_app.webhooks import Webhooks


class _Application(Flask):
    """Flask for functions that are not coroutines; it would ask that of each at every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return func


def create_app(overrides: Mapping[str, object] | None = None) -> Flask:
    """The application, its database created and migrated; no thread runs yet.

    overrides: settings by name that come before environment and file.
    Raises SettingsError, MigrationError or DatabaseError.
    """
    app, settings = _configure(overrides or {})
    if settings.log_format == "json":
        log_json_to_stderr()
    warn_of_unknown_settings()
    runtime = Runtime(settings, _open_database(app, settings), SystemClock())
    runtime.attach(app)
    if settings.dispatch:
        webhooks = Webhooks(runtime, describe=IngestionEntrySchema().dump)
        Dispatcher(runtime, webhooks).attach(app)
    register_web(app)
    register_dashboard(app)
    needed_roles(app)  # each route has to say who may use it
    trace_requests(app, os.environ)
    return app


def configured_database_path() -> Path:
    """The database file that the settings name; it need not exist. Raises SettingsError."""
    return Path(str(_configured_url().database))


def configured_log_format() -> str:
    """The form of the log that the settings name; plain when they cannot be read."""
    given = read_environment()
    try:
        return log_format_of(_instance_path(given), given)
    except SettingsError:  # it will be said where they are read whole
        return LOG_FORMATS[0]


def configured_store() -> tuple[Path, StoreSettings]:
    """The same with the settings that concern the database alone. Raises SettingsError."""
    url, settings = _configured_store()
    return Path(str(url.database)), settings


def check_settings() -> None:
    """Raise SettingsError if the service could not start with the settings as they are now.

    Of the database only the keys are looked at, where it is to listen to other machines
    (DatabaseError). None is made.
    """
    processes.worker_count()
    app, settings = _configure({})
    url = parse_url(settings.database_url, Path(app.instance_path))
    check_startable(settings, processes.addresses(), is_open=lambda: _is_open_at(url))


def upgrade_database() -> tuple[Path, str | None, str | None]:
    """Create or migrate the database that the settings name: its file, revision before and now.

    Raises SettingsError, MigrationError or DatabaseError.
    """
    url = _configured_url()
    with _opened(url) as database:
        before = schema_revision(database)
        migrate_database(database)
        return Path(str(url.database)), before, schema_revision(database)


@contextmanager
def configured_database(*, may_make: bool = False) -> Iterator[Database]:
    """The database that the settings name, for a command; nothing is migrated.

    may_make: make it where there is none yet. Raises NoDatabase where there is none, MigrationError
    when its schema is not this version's, since a service of another version may be using it,
    SettingsError and DatabaseError.
    """
    url = _configured_url()
    is_new = not Path(str(url.database)).exists()
    if is_new and not may_make:
        raise NoDatabase(url.database)
    with _opened(url) as database:
        if is_new:
            migrate_database(database)
        else:
            check_schema(database)
        yield database


def _is_open_at(url: URL) -> bool:
    path = Path(str(url.database))
    if not path.exists():
        return True
    database = open_for_reading(path)
    try:
        return not _has_table(database, api_keys.name) or is_open(database)
    finally:
        database.engine.dispose()


def _has_table(database: Database, name: str) -> bool:
    with database.read() as connection:  # an older version's has none for keys
        return inspect(connection).has_table(name)


@contextmanager
def _opened(url: URL) -> Iterator[Database]:
    make_file_of(url)
    database = Database(create_engine(url, **sqlite.engine_options()))
    try:
        yield database
    finally:
        database.engine.dispose()


def _configured_url() -> URL:
    return _configured_store()[0]


def _configured_store() -> tuple[URL, StoreSettings]:
    given = read_environment()
    instance_path = _instance_path(given)
    settings = load_store_settings(instance_path, given, environ=os.environ)
    return parse_url(settings.database_url, instance_path), settings


def _instance_path(given: Mapping[str, object]) -> Path:
    return Path(Flask(__package__, instance_path=instance_path_of(given)).instance_path)


def _configure(overrides: Mapping[str, object]) -> tuple[Flask, Settings]:
    given = {**read_environment(), **overrides}
    # What is static has blueprints of its own.
    app = _Application(__package__, static_folder=None, instance_path=instance_path_of(given))
    app.url_map.merge_slashes = False  # else a redirect, to wherever the request says this is
    settings = load_settings(
        Path(app.instance_path), given, options_of=options_of, environ=os.environ
    )
    return app, settings


def _open_database(app: Flask, settings: Settings) -> Database:
    url = parse_url(settings.database_url, Path(app.instance_path))
    make_file_of(url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = sqlite.engine_options()
    db.init_app(app)
    migrate.init_app(app)
    with app.app_context():
        database = Database(db.engine)
    migrate_database(database)
    return database
