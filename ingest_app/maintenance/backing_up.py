"""Take a copy of a database while a service works on it."""

from __future__ import annotations

from pathlib import Path

from ingest_app.access import counters
from ingest_app.errors import MaintenanceRefused, NoDatabase
from ingest_app.maintenance.copying import check_copy, copy_database
from ingest_app.maintenance.naming import speaking_of
from ingest_app.maintenance.partial import SIDE_FILES, already_there, beside


def back_up(database: Path, file: Path, *, may_replace: bool = False) -> int:
    """Write a consistent copy of the database to `file`, which is whole or not there; its bytes.

    Everything is in it that was acknowledged before this began. Readable by its owner alone.
    Raises MaintenanceRefused when the file exists, or the copy is not sound, DatabaseError and
    OSError; then a file that was there is as it was.
    """
    if not database.is_file():
        raise NoDatabase(database)
    _refuse_what_is_in_use(file, database)
    if not may_replace and file.exists():
        raise already_there(file)
    with beside(file) as partial:
        with speaking_of(database, partial):
            copy_database(database, partial.path)
            check_copy(partial.path)
        size = partial.path.stat().st_size
        partial.put_in_place(may_replace=may_replace)
    return size


def _refuse_what_is_in_use(file: Path, database: Path) -> None:
    if file.exists() and file.samefile(database):
        raise MaintenanceRefused(f"{file} is the database itself.")
    place, ours = file.resolve(), database.resolve()
    taken = {
        Path(f"{path}{end}")
        for path in (ours, counters.path_beside(ours))
        for end in ("", *SIDE_FILES)
    }
    if place in taken:
        raise MaintenanceRefused(f"{file} is a file that the service uses beside its database.")
