"""Alembic's environment: a connection given by the service at its start, or the application's for
`flask db`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from ingest_app.models import Base


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def run_for_flask() -> None:
    """`flask db …`: foreign keys are off, since rebuilding a table would delete the rows that refer
    to it.
    """
    from ingest_app.runtime import current_runtime

    with current_runtime().database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            run(connection)
        connection.invalidate()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("These migrations need a database to look at; --sql is not supported.")
if given is None:
    run_for_flask()
else:
    run(given)
