"""Errors name the file that a person gave, not the copy that is made of it under another name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest_app.errors import DatabaseError, DatabaseFull, MaintenanceRefused, MigrationError
from ingest_app.maintenance.partial import Partial


@contextmanager
def speaking_of(file: Path, partial: Partial) -> Iterator[None]:
    """What is wrong with the copy, which is made of this file, is wrong with the file.

    But for a full disk, which is that of the place.
    """
    try:
        yield
    except (DatabaseError, MaintenanceRefused, MigrationError) as error:
        named = str(partial.place if isinstance(error, DatabaseFull) else file)
        text = str(error).replace(str(partial.path), named)
        error.args = (text if named in text else f"{named}: {text}",)
        raise
