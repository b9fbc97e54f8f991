"""What a restore of a backup would find in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ingest_app.maintenance.copying import opened
from ingest_app.migrating import schema_is_current
from ingest_app.verifying import Finding, verify
from ingest_app.verifying.findings import ENDED_OTHERWISE


def find_in_backup(file: Path) -> Sequence[Finding] | None:
    """What speaks against a promise and is not mended by a restore.

    None when that cannot be told, since a restore will migrate it first. Raises DatabaseError.
    """
    with opened(file, is_to_be_written=False) as database:
        if not schema_is_current(database):
            return None
        return [each for each in verify(database).findings if each.what != ENDED_OTHERWISE]
