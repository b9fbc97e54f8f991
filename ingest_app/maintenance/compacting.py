"""Make a database as small as it can be, and able to shrink by itself from then on."""

from __future__ import annotations

from pathlib import Path

from ingest_app.errors import MaintenanceRefused, NoDatabase
from ingest_app.maintenance.copying import check_copy, our_errors
from ingest_app.maintenance.holding import held
from ingest_app.maintenance.naming import speaking_of
from ingest_app.maintenance.partial import beside
from ingest_app.maintenance.restoring import own_like


def compact(database: Path) -> tuple[int, int]:
    """Rewrite a database that nobody has open; its bytes before and after.

    The new file is made beside it, and takes its place when it is whole. Raises MaintenanceRefused,
    DatabaseError and OSError; then the database is as it was.
    """
    database = database.resolve()
    if not database.is_file():
        raise NoDatabase(database)
    with beside(database) as partial, held(database) as connection, our_errors():
        if connection is None:
            raise MaintenanceRefused(f"{database} is damaged; restore a backup.")
        before = database.stat().st_size
        connection.execute("COMMIT")  # the lock stays
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM INTO ?", (str(partial.path),))
        with speaking_of(database, partial):
            check_copy(partial.path)
        own_like(partial.path, database)
        partial.put_in_place(may_replace=True)
        return before, database.stat().st_size
